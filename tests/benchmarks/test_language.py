import jax
import numpy as np
import pytest

from benchmarks.language import DECODERS, decoder, step_flops
from benchmarks.matrix_flops import matrix_flops
from tests.language.small_decoder import decoder as small_decoder


def test_the_work_of_a_step_is_that_of_its_matrix_products():
    module, tokens = small_decoder(tied=True), np.zeros((2, 7), np.int32)
    variables = jax.eval_shape(module.init, jax.random.key(0), tokens)

    def loss(variables):
        return module.apply(variables, tokens)['logits'].sum()

    # Of each layer's attention map, which nothing reads, the traced program still counts queries times keys, forward.
    maps = 2 * 2 * 2 * 4 * 7 * 7 * 4
    assert matrix_flops(jax.make_jaxpr(jax.grad(loss))(variables)) == step_flops(module, 2, 7) + maps


@pytest.mark.parametrize('size', DECODERS)
def test_decoders_have_as_many_parameters_as_they_say(size):
    shapes = jax.eval_shape(decoder(DECODERS[size]).init, jax.random.key(0), np.zeros((1, 2), np.int32))
    count = sum(array.size for array in jax.tree.leaves(shapes))
    assert count / 1e6 == pytest.approx(size, rel=0.05)
