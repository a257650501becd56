"""Turns errors inside models, losses and metrics, which are traced on shapes, into sentences about the config."""

import contextlib
from collections.abc import Iterable, Iterator

from kd_jax.config.errors import UserError
from kd_jax.config.own_code import explained, line_of_own_code
from kd_jax.core.forward import ReturnsNoArrays
from kd_jax.core.paths import Context, Path


def shown_paths(paths: Iterable[Path], context: Context) -> str:
    """Lists paths with the shapes of their arrays, for messages."""
    return ', '.join(f'{path} {list(context[path.source][path.name].shape)}' for path in paths)


@contextlib.contextmanager
def explain_shape_errors(message: str) -> Iterator[None]:
    """Turns a shape error inside a model or a loss into one sentence about the config, which starts with `message`.

    Any other error becomes one if it comes from the user's own code; the sentence then names the line there.
    """
    try:
        yield
    except ReturnsNoArrays:
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(error, (ValueError, TypeError, ZeroDivisionError)) and not line_of_own_code(error):
            raise
        hint = '.'
        if isinstance(error, ZeroDivisionError):
            hint = '; does a layer have size 0?'
        elif "unexpected keyword argument 'train'" in str(error):
            hint = '; every model is called with train=True or False: declare __call__(self, x, *, train=False).'
        raise UserError(f'{message}: {explained(error)}{hint}') from error
