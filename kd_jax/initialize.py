"""The state before the first step, and the check of every path and shape, before anything is computed."""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax import optimizers, step
from kd_jax.errors import UserError, suggest
from kd_jax.network import Network, Normalize, Path
from kd_jax.recipe import Recipe, Term
from kd_jax.step import Context, State, Tree


def init_variables(network: Network, inputs: Sequence[Any], key: jax.Array) -> Tree:
    """Fresh variables of a network for inputs of these shapes; copies start each from a key of its own."""
    stacked = network.stacked or (False,) * len(inputs)
    zeros = [jnp.zeros(a.shape[1:] if own else a.shape, a.dtype) for a, own in zip(inputs, stacked, strict=True)]

    def one(key):
        return {'params': {}, **network.module.init({'params': key, 'dropout': key}, *zeros, train=False)}

    key = step.fold_in_name(key, network.name)
    return jax.vmap(one)(jax.random.split(key, network.copies)) if network.copies else one(key)


def shapes(network: Network, context: Context) -> tuple[Tree, Tree]:
    """The shapes of a network's variables and of its activations, found without computing."""
    inputs = [context[path.source][path.name] for path in network.inputs]
    shaped = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in inputs)
    return _shapes(network.module, network.copies, network.stacked, network.normalize, shaped)


@functools.lru_cache(maxsize=256)
def _shapes(
    module: nn.Module,
    copies: int,
    stacked: tuple[bool, ...],
    normalize: Normalize | None,
    inputs: tuple[jax.ShapeDtypeStruct, ...],
) -> tuple[Tree, Tree]:
    network = Network('', module, (), copies=copies, stacked=stacked, normalize=normalize)
    key = jax.random.key(0)
    variables = jax.eval_shape(lambda key: init_variables(network, inputs, key), key)
    return variables, jax.eval_shape(
        lambda v, x, key: step.forward(network, v, x, key, False)[0], variables, inputs, key
    )


def init_state(
    recipe: Recipe, batch: Mapping[str, Any], seed: int, loaded: Mapping[str, Tree] | None = None
) -> tuple[State, dict[str, Tree]]:
    """The state before the first step, and the variables of the frozen networks.

    Args:
      recipe: what will be trained.
      batch: arrays or their shapes, as the step will see them.
      seed: of initial parameters and of all randomness in training.
      loaded: variables, by network, that replace random ones (see `checkpoint.load_network`).
    Raises:
      UserError: as `check`.
    """
    context = check(recipe, batch)
    key = jax.random.key(seed)
    inputs = {n.name: [context[path.source][path.name] for path in n.inputs] for n in recipe.networks}
    every = jax.jit(lambda key: {n.name: init_variables(n, inputs[n.name], key) for n in recipe.owners})(key)
    for name, tree in (loaded or {}).items():
        every[name] = {part: {**own, **tree.get(part, {})} for part, own in every[name].items()}
    for network in recipe.networks:
        if network.update == 'ema' and network.name not in (loaded or {}):
            every[network.name] = jax.tree.map(jnp.copy, every[network.of])
    frozen = {network.name: every.pop(network.name) for network in recipe.frozen}
    params = {name: tree['params'] for name, tree in every.items()}
    collections = {name: {k: v for k, v in tree.items() if k != 'params'} for name, tree in every.items()}
    opt_state = {}
    for network in recipe.trained:
        assert network.optimizer is not None
        numbers = recipe.hparams['optimizers'][network.name]
        tx = optimizers.transformation(network.optimizer, numbers, jnp.zeros(()))
        opt_state[network.name] = (jax.vmap(tx.init) if network.copies else tx.init)(params[network.name])
    return State(jnp.zeros((), jnp.int32), params, collections, opt_state, step.fold_in_name(key, 'train')), frozen


def check(recipe: Recipe, batch: Mapping[str, Any], where: str = 'the recipe') -> Context:
    """The shape of every activation, found without computing: what the recipe's paths can name.

    Raises:
      UserError: a path that names no activation, shapes that a model or a loss cannot take, or a term whose values do
        not carry the axis of the copies it teaches.
    """
    context: Any = {'batch': {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in batch.items()}}
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        check_paths(network.inputs, context, place)
        with explained(f'{place} does not take {_shown(network.inputs, context)}'):
            context = {**context, network.name: shapes(network, context)[1]}
    for network in [network for network in recipe.networks if network.of]:
        own, source = (shapes(n, context)[0] for n in (network, recipe.network(network.of)))
        if own == source:
            continue
        if network.update == 'shared':
            read = _shown(network.inputs, context)
            raise UserError(
                f"{where}, network '{network.name}' shares the parameters of '{network.of}', which are of other shapes "
                f'for {read}.'
            )
        raise UserError(
            f"{where}, network '{network.name}' averages '{network.of}': give it the same model and copies."
        )
    for term in recipe.terms:
        place = f"{where}, term '{term.name}'"
        check_paths(term.paths(), context, place)
        with explained(f'{place} does not fit {_shown(term.paths(), context)}'):
            array = jax.eval_shape(functools.partial(_values_at_the_start, term, recipe), context)
        copies = step.trained_copies(term, recipe)
        if copies and (array.ndim < 1 or array.shape[0] != copies):
            raise UserError(f'{place} gives {array.shape} for a network of {copies} copies: lead with [{copies}, ...].')
        with explained(f'{place} does not fit {_shown(term.paths(), context)}'):
            jax.eval_shape(lambda c, a, t=term: step.reduce(t, recipe, c, a), context, array)
    return context


def _values_at_the_start(term: Term, recipe: Recipe, context: Context) -> jax.Array:
    now = step.numbers_now(term, context, recipe.hparams['terms'][term.name], jnp.zeros(()))
    return step.values(term, recipe, context, now)


def check_paths(paths: Iterable[Path], context: Context, where: str) -> None:
    """Raises a UserError that names the nearest path and all there are, if one of `paths` does not exist."""
    known = [f'{source}.{name}' for source, names in context.items() for name in names]
    for path in paths:
        if path.name not in context.get(path.source, {}):
            raise UserError(f"{where} reads '{path}', which nothing gives. {suggest(str(path), known)}")


def _shown(paths: Iterable[Path], context: Context) -> str:
    return ', '.join(f'{path} {list(context[path.source][path.name].shape)}' for path in paths)


@contextlib.contextmanager
def explained(message: str) -> Iterator[None]:
    """Turns an error of shapes inside a model or a loss into one sentence about the config."""
    try:
        yield
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip('.')
        raise UserError(f'{message}: {reason}.') from error
