"""No loss hides a NaN: a NaN in any entry of any argument is a NaN in the loss of the example that has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.test_every_loss import CASES, arguments, differentiable, loss_of

EXAMPLE = 3


@pytest.mark.parametrize('name', CASES)
def test_a_nan_in_any_entry_of_any_argument_is_a_nan_in_the_loss(name):
    args, loss = arguments(name), loss_of(name)
    for place in differentiable(name):
        array, axis = args[place], int(CASES[name].kinds[place] == 'teachers')
        of_example = np.moveaxis(np.zeros(array.shape, bool), axis, 0)
        of_example[EXAMPLE] = True
        entries = np.argwhere(np.moveaxis(of_example, 0, axis))

        def spoilt(entry, place=place, array=array):
            return loss(*args[:place], jnp.asarray(array).at[tuple(entry)].set(jnp.nan), *args[place + 1 :])

        out = np.asarray(jax.jit(jax.vmap(spoilt))(entries))
        # One value for the batch; or the examples follow the axis of entries, after that of several students.
        of_example = out if out.ndim == 1 else out.take(EXAMPLE, 1 + int(CASES[name].kinds[0] == 'teachers'))
        own = np.isnan(of_example).reshape(len(entries), -1).any(axis=1)
        assert np.all(own), f'argument {place}: not at {entries[~own].tolist()}'
