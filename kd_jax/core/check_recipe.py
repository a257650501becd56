"""Checks every path and shape of a recipe before anything is computed."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.core.activation_shapes import init_variables, network_shapes
from kd_jax.core.check_networks import check_network
from kd_jax.core.forward import forward, network_numbers
from kd_jax.core.network import Network
from kd_jax.core.own_batches import as_trained, check_own_batches
from kd_jax.core.paths import Context, check_paths
from kd_jax.core.recipe import Recipe, trained_copies
from kd_jax.core.shape_errors import explain_shape_errors, shown_paths
from kd_jax.core.term import Term
from kd_jax.core.term_values import loss_values, numbers_now, sum_and_count


def check_recipe(recipe: Recipe, batch: Mapping[str, Any], where: str = 'the recipe') -> Context:
    """Checks every path and shape of a recipe, without computing any activation.

    Args:
      recipe: the recipe to check.
      batch: arrays of a batch or their shapes, as networks see them.
      where: the place in the study, for messages.
    Returns:
      the context with shapes in place of arrays: everything that a path can read.
    Raises:
      UserError: a path names no array, a model or a loss does not accept the shapes that it reads, a network shares or
        follows parameters of other shapes, or the values of a term lack the axis of the copies that it trains.
    """
    context: Any = {'batch': jax.eval_shape(dict, batch)}
    check_own_batches(recipe, context, where)
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        inputs, context = context, {**context, network.name: check_network(network, context, place)}
        _check_schedules(network, recipe, inputs, place)
    for network in recipe.networks:
        _check_shares(network, recipe, context, where)
    for term in recipe.terms:
        place = f"{where}, term '{term.name}'"
        check_paths(term.paths(), context, place)
        with explain_shape_errors(f'{place} does not fit {shown_paths(term.paths(), context)}'):
            array = jax.eval_shape(functools.partial(values_at_the_start, term, recipe), context)
        copies = trained_copies(term, recipe)
        if copies and (array.ndim < 1 or array.shape[0] != copies):
            raise UserError(f'{place} gives {array.shape}, but for {copies} copies it must give [{copies}, ...].')
        with explain_shape_errors(f'{place} does not fit {shown_paths(term.paths(), context)}'):
            jax.eval_shape(lambda c, a, t=term: sum_and_count(t, recipe, c, a), context, array)
    return context


def _check_shares(network: Network, recipe: Recipe, context: Context, where: str) -> None:
    """Refuses a network whose parameters have other shapes than those of the networks that it shares or follows."""
    if not network.of:
        return
    own, *wanted = (network_shapes(n, context)[0] for n in (network, *map(recipe.network, network.of)))
    averages = network.follow is not None and network.follow.rule == 'average'
    if averages:
        wanted = [jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), wanted[0])]
    for name, found, source in zip(network.of, own if network.several else (own,), wanted, strict=True):
        if found == source:
            continue
        if network.update == 'shared':
            read = shown_paths(network.inputs, context)
            raise UserError(
                f"{where}, network '{network.name}' shares the parameters of '{name}', but they do not fit its input "
                f'{read}.'
            )
        alike = 'model' if averages else 'model and copies'
        raise UserError(f"{where}, network '{network.name}' follows '{name}', so it must have the same {alike}.")


def _check_schedules(network: Network, recipe: Recipe, context: Context, place: str) -> None:
    """Refuses a schedule for an option whose value the model must know before it is compiled."""
    varying = {n.name: tuple(n.schedules) for n in (network, *network.sources) if n.schedules}
    if not varying:
        return
    read = [context[path.source][path.name] for path in network.inputs]

    def traced(numbers: Any, inputs: Any, key: jax.Array) -> None:
        now, inputs = as_trained(network.at(numbers), inputs)
        variables = init_variables(now, inputs, key)
        for train in (False, True):
            forward(now, variables, inputs, key, train)

    try:
        numbers = jax.eval_shape(lambda: network_numbers(recipe, recipe.hparams, jnp.zeros(())))
        jax.eval_shape(traced, numbers, read, jax.random.key(0))
    except (jax.errors.JAXTypeError, TypeError, ValueError) as error:
        options = ', '.join(dict.fromkeys(key for keys in varying.values() for key in keys))
        raise UserError(
            f'{place}: {options} cannot be a schedule, because the model needs the value before it is compiled '
            f'({type(error).__name__}); give a constant. For dropout use kd_jax.models.layers.Dropout.'
        ) from error


def evaluation_context(recipe: Recipe, context: Context, batch: Mapping[str, Any]) -> Context:
    """The context with shapes in place of arrays as evaluation sees it, where every copy reads every example.

    Args:
      recipe: the recipe.
      context: that of training, from `check_recipe`.
      batch: shapes of a batch of evaluation.
    """
    evaluated: Any = {**context, 'batch': batch}
    for network in recipe.networks if any(network.own_batches for network in recipe.networks) else ():
        evaluated[network.name] = network_shapes(network, evaluated, train=False)[1]
    return evaluated


def values_at_the_start(term: Term, recipe: Recipe, context: Context) -> jax.Array:
    """The values of a term's loss, see `loss_values`, with its numbers as they are before the first step.

    Raises:
      UserError: the loss returns no array of floats.
    """
    now = numbers_now(term, context, recipe.hparams['terms'][term.name], jnp.zeros(()))
    values = loss_values(term, recipe, context, now)
    if not isinstance(values, jax.Array) or not jnp.issubdtype(values.dtype, jnp.floating) or not values.size:
        found = f'{values.dtype}{list(values.shape)}' if isinstance(values, jax.Array) else type(values).__name__
        raise UserError(f'the loss returns {found}, but it must return an array of floats, a number for each example')
    return values
