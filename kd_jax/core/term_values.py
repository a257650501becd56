"""The values of a term: its loss, its numbers, its mask, and its sum and count."""

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
    """What the term's loss gives before mask and weight: one value an example, or one for the whole batch.

    `now` are its numbers, see `numbers_now`. A loss that compares examples with each other is given the mask, and of
    stacked copies one at a time.
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
    """The term's weight and the numbers of its loss: constants, schedules' values, and what networks give.

    Raises:
      UserError: a network gives more than one number.
    """
    now = {key: value_at(schedule, numbers[key], progress) for key, schedule in term.schedules.items()}
    for key, path in term.given.items():
        now[key] = read_path(context, path)
        if now[key].ndim:
            raise UserError(f"'{path}' is {list(now[key].shape)}, but {key} is one number for all examples")
    return now


def axis_of_copies(read: Path | tuple[Path, ...] | None, recipe: Recipe, copies: int) -> int | None:
    """Where the axis of the trained copies is in what is read; None if it does not come from as many."""
    path = read[0] if isinstance(read, tuple) else read
    if path is None or path.source == 'batch' or recipe.network(path.source).copies != copies:
        return None
    return int(isinstance(read, tuple))


def sum_and_count(term: Term, recipe: Recipe, context: Context, array: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(sum, count) of a term's values where its mask holds.

    A mask has the leading axes of the values after the one of copies, and holds for all that the others range over.
    Over the stacked copies of a trained network the loss is summed and only examples are counted, so each copy learns
    exactly as it would alone. One value for the whole batch counts for as many examples as the mask lets through.

    Raises:
      UserError: the mask's shape does not fit, or it can no longer be applied to one value for the whole batch.
    """
    copies = trained_copies(term, recipe)
    if term.mask is None:
        return jnp.sum(array), jnp.asarray(array.size, jnp.float32) / max(1, copies)
    mask, lead = read_path(context, term.mask), int(copies > 0)
    own = 0 if axis_of_copies(term.mask, recipe, copies) is None else lead
    if array.ndim == lead:
        if not term.compares:
            raise UserError('it gives one value for the whole batch: to be masked, the loss must take `where`')
        count = jnp.sum(mask > 0, dtype=array.dtype) / (copies if own else 1)
        return jnp.sum(array) * count, count
    mask = mask.reshape(mask.shape + (1,) * max(0, array.ndim - lead + own - mask.ndim))
    try:
        mask = jnp.broadcast_to(mask, array.shape).astype(array.dtype)
    except ValueError as error:
        shape = list(read_path(context, term.mask).shape)
        raise UserError(f"the mask's shape {shape} does not fit the values, {list(array.shape)}") from error
    return jnp.sum(jnp.where(mask > 0, array, 0.0) * mask), jnp.sum(mask) / max(1, copies)
