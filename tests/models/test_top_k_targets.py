"""The k largest probabilities of a teacher, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.models import top_k

TEACHER = jnp.log(jnp.array([0.125, 0.5, 0.125, 0.25]))


def test_the_largest_classes_come_first_and_the_mass_of_the_others_last():
    out = top_k(k=2, t=1.0).apply({}, TEACHER)
    assert out['classes'].tolist() == [1, 3]
    np.testing.assert_allclose(jnp.exp(out['log_probs']), [0.5, 0.25, 0.25], rtol=1e-6)
    assert out['t'] == 1.0
    # At t = 2 the probabilities are proportional to their square roots: 2, sqrt 2, 1 and 1 over sqrt 8.
    softened = np.array([2.0, 2**0.5, 2.0]) / (4 + 2**0.5)
    np.testing.assert_allclose(jnp.exp(top_k(k=2, t=2.0).apply({}, TEACHER)['log_probs']), softened, rtol=1e-6)


@pytest.mark.parametrize(('num_classes', 'kind'), [(256, jnp.uint8), (257, jnp.uint16), (65537, jnp.uint32)])
def test_classes_are_kept_in_the_smallest_integers(num_classes, kind):
    hot = jnp.zeros(num_classes).at[num_classes - 1].set(9.0)
    classes = top_k(k=2, t=1.0).apply({}, hot)['classes']
    assert classes.dtype == kind
    assert classes[0] == num_classes - 1


@pytest.mark.parametrize(('options', 'message'), [({'k': 5}, 'k is 5, but must lie'), ({'t': 0.0}, 't is 0, but must')])
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        top_k(**{'k': 2, **options}).apply({}, TEACHER)
