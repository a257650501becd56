"""Checks that JAX finds the devices that it is told to use."""

import jax

from kd_jax.config.errors import UserError, first_line


def check_platform() -> None:
    """Raises a UserError if JAX has no devices of the platforms in JAX_PLATFORMS, or cannot start any."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # AssertionError: a platform whose plugin is not installed
        reason = first_line(error).partition(' (set JAX_PLATFORMS')[0].rstrip('.')
        asked = jax.config.jax_platforms  # type: ignore[attr-defined]
        if not asked:
            raise UserError(f'JAX cannot start a device ({reason}); JAX_PLATFORMS=cpu computes on the CPU.') from None
        reason = 'nothing for it is installed' if isinstance(error, AssertionError) else reason
        raise UserError(
            f'JAX_PLATFORMS={asked} cannot be used here ({reason}); leave JAX_PLATFORMS out, and JAX uses what it '
            'finds, or set it to cpu.'
        ) from None
