"""Errors of a full memory."""

import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from kd_jax.config.errors import UserError
from kd_jax.config.memory_errors import memory_errors


def test_memory_that_cannot_be_allocated_is_one_sentence():
    said = r"^run 'a' needs more memory than there is \(Unable .*\); make batch_size smaller"
    with pytest.raises(UserError, match=said), memory_errors("run 'a'"):
        np.empty(2**58)
    said = r'\(RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes\)'
    with pytest.raises(UserError, match=said), memory_errors('x'):
        raise JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes.\nmore')


@pytest.mark.parametrize('error', [JaxRuntimeError('INTERNAL: memory'), ValueError('RESOURCE_EXHAUSTED: open files')])
def test_other_errors_stay(error):
    with pytest.raises(type(error)) as raised, memory_errors('x'):
        raise error
    assert raised.value is error
