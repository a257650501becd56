"""Computes the values of a term: its loss and numbers, and the sum and count under its mask."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import finite_where_masked
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import value_at
from kd_jax.core.own_batches import cut_for_term, parts_of_term
from kd_jax.core.paths import Context, Path, read_path
from kd_jax.core.recipe import Recipe, trained_copies
from kd_jax.core.term import Term


def loss_values(term: Term, recipe: Recipe, context: Context, now: Mapping[str, jax.Array]) -> jax.Array:
    """The values of the term's loss before mask and weight: one for each example, or one for the whole batch.

    A loss that compares examples with each other gets the mask, and is called for each stacked copy by itself.

    Args:
      term: the term.
      recipe: the recipe that it belongs to.
      context: the arrays that it reads.
      now: the values of its numbers, from `numbers_now`.
    Returns:
      [batch, ...] or a scalar; with stacked copies, after a leading axis of copies.
    """
    loss = functools.partial(term.loss, **term.static, **{key: now[key] for key in now if key != 'weight'})
    parts = parts_of_term(term, recipe)
    arrays = [_guarded(read, term, recipe, context, parts) for read in term.reads]
    if parts:
        return _values_of_parts(loss, term, recipe, context, arrays, parts)
    copies = trained_copies(term, recipe)
    if not term.compares:
        return loss(*(_beside_copies(a, read, recipe, copies) for a, read in zip(arrays, term.reads, strict=True)))
    mask = None if term.mask is None else read_path(context, term.mask)
    if not copies:
        return loss(*arrays, where=mask)
    axes = [axis_of_copies(path, recipe, copies) for path in (*term.reads, term.mask)]
    return jax.vmap(lambda where, *own: loss(*own, where=where), in_axes=(axes[-1], *axes[:-1]))(mask, *arrays)


def _read(read: Path | tuple[Path, ...], recipe: Recipe, context: Context, parts: int) -> jax.Array:
    """The array at a path, cut into `parts` if the term reads copies with batches of their own."""
    if isinstance(read, tuple):
        return jnp.stack([_read(path, recipe, context, parts) for path in read])
    return cut_for_term(read_path(context, read), read, recipe, parts)


def _beside_copies(array: jax.Array, read: Path | tuple[Path, ...], recipe: Recipe, copies: int) -> jax.Array:
    """Arrays of several networks, [networks, ...], as [networks, 1, ...] if the term trains copies and they have none.

    Otherwise as many networks as copies would be taken for the copies' own, one for each.
    """
    alone = isinstance(read, tuple) and copies and axis_of_copies(read, recipe, copies) is None
    return array[:, None] if alone else array


def _guarded(read: Path | tuple[Path, ...], term: Term, recipe: Recipe, context: Context, parts: int) -> jax.Array:
    """The array at a path; a value that the term's mask leaves out cannot make the gradient infinite or NaN.

    A loss may be infinite at such a position, and 0 times its derivative is NaN. Finite gradients pass: what does not
    count itself may be what others are related to, as the keys are that `token_relations` reads.
    """
    array = _read(read, recipe, context, parts)
    if term.mask is None or not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    mask, copies = _read(term.mask, recipe, context, parts), trained_copies(term, recipe)
    own, theirs = (int(bool(copies) and axis_of_copies(p, recipe, copies) is not None) for p in (read, term.mask))
    lead = int(isinstance(read, tuple)) + own
    if theirs > own or array.shape[lead : lead + mask.ndim - theirs] != mask.shape[theirs:]:
        return array
    first = mask.shape[:theirs] if theirs else (1,) * own
    stacked = (1,) * int(isinstance(read, tuple))
    rest = (1,) * (array.ndim - lead - mask.ndim + theirs)
    return finite_where_masked(array, (mask > 0).reshape(*stacked, *first, *mask.shape[theirs:], *rest))


def _values_of_parts(
    loss: Callable[..., jax.Array], term: Term, recipe: Recipe, context: Context, arrays: list[jax.Array], parts: int
) -> jax.Array:
    """The values of a loss on each part of the batch by itself, [parts, ...]."""
    axes = [int(isinstance(read, tuple)) for read in term.reads]
    if not term.compares:
        return jax.vmap(loss, in_axes=tuple(axes))(*arrays)
    mask = None if term.mask is None else _read(term.mask, recipe, context, parts)
    over = jax.vmap(lambda where, *own: loss(*own, where=where), in_axes=(None if mask is None else 0, *axes))
    return over(mask, *arrays)


def numbers_now(term: Term, context: Context, numbers: Mapping[str, Any], progress: jax.Array) -> dict[str, jax.Array]:
    """The values of the term's weight and of the numbers of its loss at `progress`, by name.

    Each is a constant, the value of a schedule, or a scalar that a network computes.

    Raises:
      UserError: a network gives an array that is not a scalar.
    """
    now = {key: value_at(schedule, numbers[key], progress) for key, schedule in term.schedules.items()}
    for key, path in term.given.items():
        now[key] = read_path(context, path)
        if now[key].ndim:
            raise UserError(f"'{path}' has shape {list(now[key].shape)}, but {key} must be one number")
    return now


def axis_of_copies(read: Path | tuple[Path, ...] | None, recipe: Recipe, copies: int) -> int | None:
    """The position of the axis of the trained copies in the array at a path; None if the array has no such axis."""
    path = read[0] if isinstance(read, tuple) else read
    if path is None or path.source == 'batch' or recipe.network(path.source).copies != copies:
        return None
    return int(isinstance(read, tuple))


def sum_and_count(term: Term, recipe: Recipe, context: Context, array: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum and the count of a term's values, both weighted by its mask.

    A mask of floats holds weights, and one below 0 counts nothing; in a mask of integers or booleans, whatever is
    greater than 0 counts once. It has the leading axes of the values, after the axis of copies, and applies to all
    positions of the other axes. The sum runs over the stacked copies of a trained network, but the count is that of one
    copy; so each copy learns exactly as it would alone. One value for the whole batch counts for as many examples as
    the mask keeps. If copies have batches or masks of their own, each is averaged over what is kept of its part.

    A value that does not count may be infinite or NaN; it changes neither the sum nor the gradient (`loss_values`).

    Raises:
      UserError: the shape of the mask does not fit, or the loss gives one value for the whole batch and does not take
        the mask itself.
    """
    copies = trained_copies(term, recipe)
    if term.mask is None:
        return jnp.sum(array), jnp.asarray(array.size, jnp.float32) / max(1, copies)
    parts = parts_of_term(term, recipe)
    mask = _read(term.mask, recipe, context, parts) if parts else read_path(context, term.mask)
    if not parts and (not copies or axis_of_copies(term.mask, recipe, copies) is None):
        return _masked(array, mask, term.compares, copies)
    summed, count = jax.vmap(lambda a, m: _masked(a, m, term.compares, 0))(array, mask)
    if not copies:
        return jnp.sum(summed), jnp.sum(count)
    each = jnp.mean(count)
    return jnp.sum(summed / jnp.where(count > 0, count, 1.0)) * each, each


def _masked(array: jax.Array, mask: jax.Array, compares: bool, copies: int) -> tuple[jax.Array, jax.Array]:
    """Sum and count of values under a mask; the values lead with the `copies`, if there are any."""
    lead = int(copies > 0)
    if array.ndim == lead:
        if not compares:
            raise UserError('the loss gives one value for the whole batch; with a mask it must take `where`')
        count = jnp.sum(mask > 0, dtype=array.dtype)
        return jnp.sum(array) * count, count
    shape = list(mask.shape)
    mask = mask if jnp.issubdtype(mask.dtype, jnp.floating) else mask > 0
    mask = mask.reshape(mask.shape + (1,) * max(0, array.ndim - lead - mask.ndim))
    try:
        mask = jnp.broadcast_to(mask, array.shape).astype(array.dtype)
    except ValueError as error:
        raise UserError(f"the mask's shape {shape} does not fit the values' shape {list(array.shape)}") from error
    mask = jnp.where(mask < 0, 0.0, mask)  # NaN stays, so that it shows
    return jnp.sum(jnp.where(mask > 0, array, 0.0) * mask), jnp.sum(mask) / max(1, copies)
