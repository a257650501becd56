"""No loss hides a NaN in an argument, or a label that is no class: the loss of the example that has it is NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.test_every_loss import CASES, SHAPES, arguments, compiled, differentiable, loss_of, taken

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


# 'class_wise' asks only which labels are equal, and the entropy of teachers needs no label.
NO_CLASSES = ('class_wise', 'confident_kd entropy')
OF_LABELS = [name for name, case in CASES.items() if 'labels' in case.kinds and name not in NO_CLASSES]


@pytest.mark.parametrize('label', [-1, -100, SHAPES['logits'][0]])
@pytest.mark.parametrize('name', OF_LABELS)
def test_a_label_that_is_no_class_gives_nan_and_where_it_does_not_count_nothing(name, label):
    args, rest = arguments(name), np.arange(len(arguments(name)[-1])) != EXAMPLE
    right = compiled(name)(*args)[0][1]
    spoilt = [*args[:-1], np.where(rest, args[-1], label).astype(np.int32)]
    out = np.asarray(compiled(name)(*spoilt)[0][1])
    assert np.isnan(out[EXAMPLE])
    np.testing.assert_array_equal(out[rest], right[rest])

    def masked(*args):
        return jnp.sum(jnp.where(rest, loss_of(name)(*args), 0.0))

    found = jax.grad(masked, argnums=differentiable(name))(*spoilt)
    sliced = compiled(name)(*taken(name, args, rest))[1]
    for place, own, expected in zip(differentiable(name), found, sliced, strict=True):
        axis = int(CASES[name].kinds[place] == 'teachers')
        np.testing.assert_allclose(np.compress(rest, own, axis), expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(np.compress(~rest, own, axis), 0.0)
