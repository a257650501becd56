"""Computes the values of a term: its loss and numbers, and the sum and count under its mask."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import value_at
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
    arrays = [read_path(context, path) for path in term.reads]
    if not term.compares:
        return loss(*arrays)
    mask = None if term.mask is None else read_path(context, term.mask)
    copies = trained_copies(term, recipe)
    if not copies:
        return loss(*arrays, where=mask)
    axes = [axis_of_copies(path, recipe, copies) for path in (*term.reads, term.mask)]
    return jax.vmap(lambda where, *own: loss(*own, where=where), in_axes=(axes[-1], *axes[:-1]))(mask, *arrays)


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

    The mask has the leading axes of the values, after the axis of copies, and applies to all positions of the other
    axes. The sum runs over the stacked copies of a trained network, but the count is that of one copy; so each copy
    learns exactly as it would alone. One value for the whole batch counts for as many examples as the mask keeps.

    Raises:
      UserError: the shape of the mask does not fit, or the loss gives one value for the whole batch and does not take
        the mask itself.
    """
    copies = trained_copies(term, recipe)
    if term.mask is None:
        return jnp.sum(array), jnp.asarray(array.size, jnp.float32) / max(1, copies)
    mask, lead = read_path(context, term.mask), int(copies > 0)
    own = 0 if axis_of_copies(term.mask, recipe, copies) is None else lead
    if array.ndim == lead:
        if not term.compares:
            raise UserError('the loss gives one value for the whole batch; with a mask it must take `where`')
        count = jnp.sum(mask > 0, dtype=array.dtype) / (copies if own else 1)
        return jnp.sum(array) * count, count
    mask = mask.reshape(mask.shape + (1,) * max(0, array.ndim - lead + own - mask.ndim))
    try:
        mask = jnp.broadcast_to(mask, array.shape).astype(array.dtype)
    except ValueError as error:
        shape = list(read_path(context, term.mask).shape)
        raise UserError(f"the mask's shape {shape} does not fit the values' shape {list(array.shape)}") from error
    return jnp.sum(jnp.where(mask > 0, array, 0.0) * mask), jnp.sum(mask) / max(1, copies)
