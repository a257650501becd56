"""Losses on relations between the channels of one layer or of two layers."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import channels, keep_nan, max_pooled, product, scaled, unit_length
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count
from kd_jax.losses.shape_checks import check_alike, check_maps


def fsp(
    student_in: jax.Array, student_out: jax.Array, target_in: jax.Array, target_out: jax.Array,
    *, form: Literal['repdistiller', 'paper'] = 'repdistiller',
) -> jax.Array:  # fmt: skip
    """Squared distance between the FSP matrices of student and teacher (flow of the solution procedure, FSP).

    Yim et al. (2017), section 3. The FSP matrix of two layers holds the products of their channels, averaged over
    positions; the larger map is max-pooled to the size of the smaller. 'paper' sums the squared differences over the
    matrix; 'repdistiller' (usual weight 50), a reimplementation by Tian et al. (2020), averages them.

    Args:
      student_in: the student's earlier layer, [..., height, width, channels].
      student_out: the student's later layer.
      target_in: the teacher's earlier layer, with as many channels as `student_in`.
      target_out: the teacher's later layer, with as many channels as `student_out`.
      form: 'repdistiller' or 'paper'.
    Returns:
      [...].
    Raises:
      UserError: different numbers of channels, or a map that equal blocks cannot pool to the other's size.
    """
    check_maps(student_in, student_out, target_in, target_out)
    for student, target in ((student_in, target_in), (student_out, target_out)):
        _check_channels(student, target)
    difference = _flow(student_in, student_out) - _flow(target_in, target_out)
    total = jnp.sum(jnp.square(difference), axis=(-2, -1))
    return total / (difference.shape[-2] * difference.shape[-1]) if form == 'repdistiller' else total


def ickd(student: jax.Array, target: jax.Array) -> jax.Array:
    """Squared distance between the channel correlations of student and teacher, over the number of channels (ICKD).

    Liu et al. (2021), section 3, normalised as in the published code: the Gram matrix of the flattened channels, with
    each row divided by its L2 norm, and the squared Frobenius norm of the difference, divided by channels. (The paper
    does not normalise the matrix and divides by channels^2.)

    Args:
      student: [..., height, width, channels].
      target: [..., height', width', channels].
    Returns:
      [...].
    Raises:
      UserError: different numbers of channels.
    """
    check_maps(student, target)
    _check_channels(student, target)

    def correlations(array):
        x = scaled(channels(array), axis=(-2, -1))
        return unit_length(product(x, x))

    difference = jnp.square(correlations(student) - correlations(target))
    return jnp.sum(difference, axis=(-2, -1)) / student.shape[-1]


def kdsvd(
    student_in: jax.Array, student_out: jax.Array, target_in: jax.Array, target_out: jax.Array, *, rank: Count = 1
) -> jax.Array:
    """Squared distance between student and teacher of the relations of two layers' leading singular vectors (KD-SVD).

    Lee et al. (2018), section 3. A map is read as a matrix [positions, channels]. The teacher keeps its `rank` leading
    right singular vectors and multiplies them by their singular values, which are first divided by their L2 norm. The
    student offers `rank` + 3 singular vectors, but only those whose singular value is not 0: the others are arbitrary
    (a map of 1 x 1 has one vector). Each teacher's vector is matched with the student's vector of largest
    |cosine|; that vector is multiplied by the cosine's sign and by the teacher's singular value. The relation of two
    layers is exp(-(a - b)^2 / 8) for every pair of a channel's entry a in one layer and b in the other. The loss is the
    sum of the squared differences of these relations.

    Args:
      student_in: the student's earlier layer, [..., height, width, channels].
      student_out: the student's later layer.
      target_in: the teacher's earlier layer, with the shape of `student_in`.
      target_out: the teacher's later layer, with the shape of `student_out`.
      rank: number of singular vectors kept.
    Returns:
      [...].
    Raises:
      UserError: different shapes.
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
    first_pooled, second_pooled = (channels(max_pooled(array, size)) for array in (first, second))
    flow = product(first_pooled, second_pooled) / first_pooled.shape[-1]
    sums = (jnp.sum(array, axis=(-3, -2, -1))[..., None, None] for array in (first, second))
    return keep_nan(flow, *sums)


def _check_channels(student: jax.Array, target: jax.Array) -> None:
    if student.shape[-1] != target.shape[-1]:
        raise UserError(
            f'the student has {student.shape[-1]} channels and the teacher {target.shape[-1]}: put a connector between '
            'them'
        )


def _matched(student: jax.Array, target: jax.Array, rank: int) -> tuple[jax.Array, jax.Array]:
    """Leading right singular vectors of both, [..., channels, rank]; the student's in the teacher's order and sign."""
    offered, x = _singular(student, rank + 3)
    values, y = _singular(target, rank)
    # A singular vector's sign is arbitrary. The sign with a positive sum makes the loss a function of the maps alone.
    y = y * jnp.where(jnp.sum(y, axis=-2, keepdims=True) < 0, -1.0, 1.0)
    values = unit_length(values)[..., None, :]
    cosines = jnp.where(offered[..., :, None] == 0, 0.0, jnp.swapaxes(x, -1, -2) @ y)
    best = jnp.argmax(jnp.abs(cosines), axis=-2, keepdims=True)
    signs = jnp.sign(jnp.take_along_axis(cosines, best, axis=-2))
    return jnp.take_along_axis(x, best, axis=-1) * signs * values, y * values


def _singular(maps: jax.Array, rank: int) -> tuple[jax.Array, jax.Array]:
    """The leading singular values and right singular vectors; a value that is 0 up to rounding is exactly 0."""
    x = channels(scaled(maps, axis=(-3, -2, -1)))
    squares, vectors = _eigenvectors(product(x, x))
    # The rounding errors of eigenvalues are of the size of the largest. A matrix has no more singular values than rows.
    noise = 16 * jnp.finfo(x.dtype).eps * squares.shape[-1] * squares[..., :1]
    zero = (squares <= noise) | (jnp.arange(squares.shape[-1]) >= x.shape[-1])
    values = jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, squares)))
    return values[..., :rank], vectors[..., :rank]


@jax.custom_jvp
def _eigenvectors(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues of symmetric matrices in descending order, and their eigenvectors as columns."""
    values, vectors = jax.lax.platform_dependent(matrix, cpu=_one_by_one, default=lambda m: tuple(jnp.linalg.eigh(m)))
    return values[..., ::-1], vectors[..., ::-1]


def _one_by_one(matrices: jax.Array) -> tuple[jax.Array, jax.Array]:
    # jaxlib's LAPACK splits a batch over XLA's threads and waits for them on one of these threads. Two such calls at
    # the same time on two cores deadlock. A batch of one is not split.
    one = jax.custom_batching.sequential_vmap(lambda matrix: tuple(jnp.linalg.eigh(matrix)))
    values, vectors = jax.vmap(one)(matrices.reshape(-1, *matrices.shape[-2:]))
    return values.reshape(matrices.shape[:-1]), vectors.reshape(matrices.shape)


@_eigenvectors.defjvp
def _tangent_of_eigenvectors(matrices, tangents):
    # Eigenvectors of equal eigenvalues can be rotated into each other without changing the matrix. There
    # linalg.eigh has an infinite derivative; this one is 0.
    (matrix,), (change,) = matrices, tangents
    values, vectors = _eigenvectors(matrix)
    inner = jnp.swapaxes(vectors, -1, -2) @ change @ vectors
    gaps = values[..., None, :] - values[..., :, None]
    apart = jnp.abs(gaps) > 1e-6 * jnp.abs(values[..., :1, None])
    turn = jnp.where(apart, inner / jnp.where(apart, gaps, 1.0), 0.0)
    return (values, vectors), (jnp.diagonal(inner, axis1=-2, axis2=-1), vectors @ turn)
