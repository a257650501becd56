"""Platforms that JAX is told to use and does not have."""

import jax
import pytest

from kd_jax.config.errors import UserError
from kd_jax.devices.platform import check_platform


def test_the_devices_that_are_there_are_no_mistake():
    check_platform()


@pytest.mark.parametrize(
    ('asked', 'error', 'said'),
    [
        (
            'cpuu',
            RuntimeError(
                "Unable to initialize backend 'cpuu': Backend 'cpuu' is not in the list of known backends: ['cpu', "
                "'tpu']. (set JAX_PLATFORMS='' to automatically choose an available backend)"
            ),
            "JAX_PLATFORMS=cpuu cannot be used here (Unable to initialize backend 'cpuu': Backend 'cpuu' is not in the "
            "list of known backends: ['cpu', 'tpu']); leave JAX_PLATFORMS out, and JAX uses what it finds, or set it "
            'to cpu.',
        ),
        (
            'cuda',
            AssertionError(),
            'JAX_PLATFORMS=cuda cannot be used here (nothing for it is installed); leave JAX_PLATFORMS out, and JAX '
            'uses what it finds, or set it to cpu.',
        ),
        (
            None,
            RuntimeError('The driver is too old.\nTry another.'),
            'JAX cannot start a device (The driver is too old); JAX_PLATFORMS=cpu computes on the CPU.',
        ),
    ],
)
def test_a_platform_that_is_missing_is_one_sentence(asked, error, said, monkeypatch):
    def devices():
        raise error

    monkeypatch.setattr(jax, 'devices', devices)
    before = jax.config.jax_platforms
    jax.config.update('jax_platforms', asked)
    try:
        with pytest.raises(UserError) as caught:
            check_platform()
    finally:
        jax.config.update('jax_platforms', before)
    assert str(caught.value) == said
