"""Relations between the channels of a layer and between layers."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import channels, max_pooled, product, scaled, unit
from kd_jax.config.errors import UserError
from kd_jax.losses.shape_checks import check_alike, check_maps


def fsp(
    student_in: jax.Array, student_out: jax.Array, target_in: jax.Array, target_out: jax.Array,
    *, form: Literal['code', 'paper'] = 'code',
) -> jax.Array:  # fmt: skip
    """Squared distance between the flows of two layers, in the student and in the teacher (FSP).

    Yim et al. (2017), section 3: the flow of a pair of layers is the Gram matrix of their channels, averaged
    over positions; the larger map is max-pooled to the smaller. 'paper' sums over the matrix, 'code' takes its mean.

    Args:
      student_in: [..., height, width, channels].
      student_out: the student's later layer.
      target_in: as many channels as `student_in`.
      target_out: as many channels as `student_out`.
      form: 'code' or 'paper'.
    Returns:
      [...].
    Raises:
      UserError: channels that differ, or a map that has no equal blocks for the other's size.
    """
    check_maps(student_in, student_out, target_in, target_out)
    for student, target in ((student_in, target_in), (student_out, target_out)):
        _check_channels(student, target)
    difference = _flow(student_in, student_out) - _flow(target_in, target_out)
    total = jnp.sum(jnp.square(difference), axis=(-2, -1))
    return total / (difference.shape[-2] * difference.shape[-1]) if form == 'code' else total


def ickd(student: jax.Array, target: jax.Array) -> jax.Array:
    """Squared distance between the correlations of channels, over the number of channels (ICKD).

    Liu et al. (2021), section 3, with the normalisation of the published code: the Gram matrix of the
    flattened channels, each row over its L2 norm, the squared Frobenius norm of the difference over channels. (The
    paper divides the unnormalised one by channels^2.)

    Args:
      student: [..., height, width, channels].
      target: [..., height', width', channels].
    Returns:
      [...].
    Raises:
      UserError: numbers of channels that differ.
    """
    check_maps(student, target)
    _check_channels(student, target)

    def correlations(array):
        x = scaled(channels(array), axis=(-2, -1))
        return unit(product(x, x))

    difference = jnp.square(correlations(student) - correlations(target))
    return jnp.sum(difference, axis=(-2, -1)) / student.shape[-1]


def kdsvd(
    student_in: jax.Array, student_out: jax.Array, target_in: jax.Array, target_out: jax.Array, *, rank: int = 1
) -> jax.Array:
    """Distance between the relations of two layers' leading singular vectors, in the student and in the teacher.

    Lee et al. (2018), section 3: of a map [positions, channels] the teacher keeps its `rank` leading right
    singular vectors, times their singular values over the L2 norm of these; the student's (3 more candidates) are
    matched to them by the largest |cosine|, with its sign, and take the teacher's values. Two layers are related by
    exp(-(a - b)^2 / 8) for all pairs of their channels; the loss is the squared difference of the relations, summed.

    Args:
      student_in: [..., height, width, channels].
      student_out: the student's later layer.
      target_in: as many channels as `student_in`.
      target_out: as many channels as `student_out`.
      rank: singular vectors kept.
    Returns:
      [...].
    Raises:
      UserError: shapes that differ.
    """
    for student, target in ((student_in, target_in), (student_out, target_out)):
        check_maps(student, target)
        check_alike(student, target)
    vectors = [_matched(s, t, rank) for s, t in ((student_in, target_in), (student_out, target_out))]

    def relation(first, second):
        difference = first[..., :, None, :] - second[..., None, :, :]
        return jnp.exp(-jnp.square(difference) / 8.0)

    (student_first, target_first), (student_second, target_second) = vectors
    difference = relation(student_first, student_second) - relation(target_first, target_second)
    return jnp.sum(jnp.square(difference), axis=(-3, -2, -1))


def _flow(first: jax.Array, second: jax.Array) -> jax.Array:
    size = min(first.shape[-3], second.shape[-3]), min(first.shape[-2], second.shape[-2])
    first, second = (channels(max_pooled(array, size)) for array in (first, second))
    return product(first, second) / first.shape[-1]


def _check_channels(student: jax.Array, target: jax.Array) -> None:
    if student.shape[-1] != target.shape[-1]:
        raise UserError(
            f'the student has {student.shape[-1]} channels and the teacher {target.shape[-1]}: put a connector between '
            'them'
        )


def _matched(student: jax.Array, target: jax.Array, rank: int) -> tuple[jax.Array, jax.Array]:
    """Leading right singular vectors of both, [..., channels, rank], the student's in the teacher's order and sign."""
    _, x = _singular(student, rank + 3)
    values, y = _singular(target, rank)
    # A singular vector's sign is arbitrary; a positive sum makes the relation of two layers a function of their maps.
    y = y * jnp.where(jnp.sum(y, axis=-2, keepdims=True) < 0, -1.0, 1.0)
    values = unit(values)[..., None, :]
    cosines = jnp.swapaxes(x, -1, -2) @ y
    best = jnp.argmax(jnp.abs(cosines), axis=-2, keepdims=True)
    signs = jnp.sign(jnp.take_along_axis(cosines, best, axis=-2))
    return jnp.take_along_axis(x, best, axis=-1) * signs * values, y * values


def _singular(maps: jax.Array, rank: int) -> tuple[jax.Array, jax.Array]:
    x = channels(scaled(maps, axis=(-3, -2, -1)))
    squares, vectors = _eigenvectors(product(x, x))
    positive = squares > 0
    values = jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)
    return values[..., :rank], vectors[..., :rank]


@jax.custom_jvp
def _eigenvectors(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues of symmetric matrices, falling, and their eigenvectors in columns."""
    values, vectors = jax.lax.platform_dependent(matrix, cpu=_one_by_one, default=lambda m: tuple(jnp.linalg.eigh(m)))
    return values[..., ::-1], vectors[..., ::-1]


def _one_by_one(matrices: jax.Array) -> tuple[jax.Array, jax.Array]:
    # jaxlib's LAPACK splits a batch over XLA's threads and waits for them on one of these: two such calls at a time, on
    # two cores, wait for each other for ever. A batch of one is not split.
    one = jax.custom_batching.sequential_vmap(lambda matrix: tuple(jnp.linalg.eigh(matrix)))
    values, vectors = jax.vmap(one)(matrices.reshape(-1, *matrices.shape[-2:]))
    return values.reshape(matrices.shape[:-1]), vectors.reshape(matrices.shape)


@_eigenvectors.defjvp
def _tangent_of_eigenvectors(matrices, tangents):
    # Vectors of equal values can be turned into each other at no change of the matrix: there the derivative, which
    # linalg.eigh would have infinite, is taken as 0.
    (matrix,), (change,) = matrices, tangents
    values, vectors = _eigenvectors(matrix)
    inner = jnp.swapaxes(vectors, -1, -2) @ change @ vectors
    gaps = values[..., None, :] - values[..., :, None]
    apart = jnp.abs(gaps) > 1e-6 * jnp.abs(values[..., :1, None])
    turn = jnp.where(apart, inner / jnp.where(apart, gaps, 1.0), 0.0)
    return (values, vectors), (jnp.diagonal(inner, axis1=-2, axis2=-1), vectors @ turn)
