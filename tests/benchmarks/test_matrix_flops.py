"""Operations of programs that can be counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import pairs
from benchmarks.matrix_flops import matrix_flops
from kd_jax import models


def flops(function, *shapes):
    return matrix_flops(jax.make_jaxpr(function)(*(jnp.zeros(shape) for shape in shapes)))


def test_a_product_takes_two_operations_for_each_pair_of_factors():
    assert flops(lambda a, b: a @ b, (3, 4), (4, 5)) == 2 * 3 * 4 * 5
    assert flops(jnp.matmul, (7, 3, 4), (7, 4, 5)) == 7 * 2 * 3 * 4 * 5


def test_the_gradients_of_a_strided_convolution_take_as_many_operations_as_its_forward_pass():
    def loss(image, kernel):
        out = jax.lax.conv_general_dilated(image, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
        return jnp.sum(jnp.square(out))

    forward = 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3)  # outputs [2, 4, 4, 5], each of 3 x 3 x 3 products
    shapes = (2, 8, 8, 3), (3, 3, 3, 5)
    assert flops(loss, *shapes) == forward
    assert flops(jax.value_and_grad(loss, (0, 1)), *shapes) == 3 * forward


def test_a_loop_counts_each_turn_and_a_condition_its_most_expensive_branch():
    def loop(a):
        return jax.lax.scan(lambda carry, _: (carry @ a, None), a, None, length=6)[0]

    def condition(a):
        return jax.lax.cond(a[0, 0] > 0, lambda: a @ a, lambda: a @ a @ a)

    assert flops(jax.jit(loop), (3, 3)) == 6 * 54
    assert flops(condition, (3, 3)) == 2 * 54


def test_products_in_a_loop_of_unknown_length_are_not_counted_wrongly():
    with pytest.raises(ValueError, match='unknown length'):
        flops(lambda a: jax.lax.while_loop(lambda b: b[0, 0] < 9, lambda b: b @ b, a), (3, 3))
    assert flops(lambda a: jax.lax.while_loop(lambda b: b[0] < 9, lambda b: b + 1, a), (3,)) == 0


def test_a_resnet_18_takes_the_1_8_billion_multiply_adds_of_torchvision():
    net, image = models.resnet(depth=18), jax.ShapeDtypeStruct((1, 224, 224, 3), 'float32')
    variables = jax.eval_shape(net.init, jax.random.key(0), image)
    counted = matrix_flops(jax.make_jaxpr(net.apply)(variables, image))
    assert counted == pytest.approx(2 * 1.814e9, rel=1e-3)  # `_ops` of torchvision's ResNet18_Weights


@pytest.mark.parametrize('cached', [False, True])
def test_a_distillation_step_is_counted_without_the_gradient_of_its_images(cached):
    pair = pairs.mlp(batch_size=4, steps=3)
    student, teacher = (
        [2 * 4 * a * b for a, b in ((784, width), (width, width), (width, 10))] for width in (800, 1200)
    )
    one = 3 * sum(student) - student[0] + (0 if cached else sum(teacher))
    compiled = pairs.in_kd_jax(pair, cached)
    assert compiled.flops == 3 * one
    assert compiled.repeated(5).flops == 5 * 3 * one
