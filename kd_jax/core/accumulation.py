"""Gradient accumulation: a step computes its gradient on parts of the batch, to need less memory, and updates once."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Var

from kd_jax.config.errors import UserError
from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.check_recipe import values_at_the_start
from kd_jax.core.forward import forward
from kd_jax.core.network import Network
from kd_jax.core.paths import Context
from kd_jax.core.recipe import Recipe, outside_gradient, trained_copies
from kd_jax.core.state import Metrics, Tree
from kd_jax.core.term import Term
from kd_jax.devices.mesh import split_examples


def value_and_gradient(
    loss_fn: Callable[..., tuple[jax.Array, tuple[Metrics, Tree]]], parts: int
) -> Callable[..., tuple[Any, Tree]]:
    """Makes a function that returns what `jax.value_and_grad(loss_fn, has_aux=True)` returns, computed part by part.

    Each part divides its sums by the counts of the whole batch, not by its own. The counts come from an earlier pass,
    of which XLA computes only what the masks depend on.

    Args:
      loss_fn: `(params, batch, key, counts) -> loss, (metrics, collections)`. `counts` are those of the whole batch by
        term; without them the loss uses the counts of its own batch.
      parts: number of parts; it must divide the batch.
    Returns:
      `(params, batch, key) -> (loss, (metrics, collections)), gradients`, all added up over the parts. The number of
      each part is folded into its key.
    """
    gradient_of_part = jax.value_and_grad(loss_fn, has_aux=True)
    if parts == 1:
        return gradient_of_part

    def divided(array: jax.Array) -> jax.Array:
        # Part i has the examples i, i + parts, ... In this way each part is split over all devices, as the batch is.
        return jnp.swapaxes(array.reshape(-1, parts, *array.shape[1:]), 0, 1)

    def gradient(params: Tree, batch: Mapping[str, Any], key: jax.Array) -> tuple[Any, Tree]:
        def over_parts(body, start):
            def numbered(total, part):
                return body(total, split_examples(part[1]), jax.random.fold_in(key, part[0]))

            every = jnp.arange(parts), jax.tree.map(divided, dict(batch))
            total, each = jax.lax.scan(numbered, start, every)
            return total, jax.tree.map(lambda array: jnp.sum(array, axis=0), each)

        def count(_, part, key):
            _, (metrics, _) = loss_fn(params, part, key)
            return None, {name: counted for name, (_, counted) in metrics.items()}

        def add(total, part, key):
            values, grads = gradient_of_part(params, part, key, counts)
            return jax.tree.map(jnp.add, total, grads), values

        _, counts = over_parts(count, None)
        grads, values = over_parts(add, jax.tree.map(jnp.zeros_like, params))
        return values, grads

    return gradient


def check_accumulation(recipe: Recipe, context: Context, parts: int, where: str) -> None:
    """Checks that a recipe trains on the parts of a batch as on the whole batch, except for randomness.

    A model that mixes the examples of its input without keeping statistics cannot be recognised.

    Args:
      recipe: the recipe.
      context: shapes of all activations, from `check_recipe`.
      parts: the option `accumulate`.
      where: the place in the config, for messages.
    Raises:
      UserError: a trained network updates collections, such as batch statistics; or a term compares examples, has a
        mask through which a gradient passes, or reads a number that depends on the batch.
    """
    what = f'accumulate={parts} cuts each batch into {parts} parts'
    for network in recipe.networks:
        if network.own_batches:
            raise UserError(
                f"{where}, network '{network.name}': {what}, but its copies have batches of their own, which must stay "
                'whole; set own_batches=False or accumulate=1.'
            )
    for network in recipe.trained:
        changed = sorted(network_shapes(network, context)[0].keys() - {'params'})
        if changed:
            raise UserError(
                f"{where}, network '{network.name}': {what}, but the network computes {', '.join(changed)} from whole "
                'batches; take a model without them, or set accumulate=1.'
            )
    for term in recipe.terms:
        if reason := _reason_against(term, recipe, context):
            raise UserError(f"{where}, term '{term.name}': {what}, but {reason}, or set accumulate=1.")


def _reason_against(term: Term, recipe: Recipe, context: Context) -> str:
    """Why the values of the term on parts of a batch are not those on the whole batch; '' if they are the same."""
    if term.compares:
        return 'its loss compares the examples of a batch; take another loss'
    array = jax.eval_shape(lambda context: values_at_the_start(term, recipe, context), context)
    size = next(iter(context['batch'].values())).shape[0]
    copies = int(trained_copies(term, recipe) > 0)
    if array.shape[copies : copies + 1] != (size,):
        return 'its loss does not give a value for each example; take another loss'
    if term.mask and not term.mask.stop and term.mask.source not in _outside(recipe):
        return f"a gradient passes through its mask to the count of the whole batch; set mask='~{term.mask}'"
    for key, path in term.given.items():
        if _depends_on_inputs(recipe.network(path.source), path.name, context):
            return f"{key}='{path}' is one number for the whole batch; take a number that does not depend on the batch"
    return ''


def _outside(recipe: Recipe) -> set[str]:
    return {'batch', *(network.name for network in outside_gradient(recipe))}


def _depends_on_inputs(network: Network, activation: str, context: Context) -> bool:
    """Whether an activation of a network depends on its inputs."""
    variables = network_shapes(network, context)[0]
    inputs = [context[path.source][path.name] for path in network.inputs]

    def read(inputs, variables, key):
        return forward(network, variables, inputs, key, network.in_training_mode)[0][activation]

    jaxpr = jax.make_jaxpr(read)(inputs, variables, jax.random.key(0)).jaxpr
    depending = set(jaxpr.invars[: len(inputs)])
    for equation in jaxpr.eqns:
        if any(isinstance(read, Var) and read in depending for read in equation.invars):
            depending.update(equation.outvars)
    return any(isinstance(out, Var) and out in depending for out in jaxpr.outvars)
