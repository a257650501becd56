"""The training step: every method of distillation is a recipe for this one function."""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from kd_jax import hyperparameters, optimizers
from kd_jax.errors import UserError, suggest
from kd_jax.recipe import Network, Path, Recipe, Term

Tree = Any
Context = Mapping[str, Mapping[str, jax.Array]]
Metrics = dict[str, tuple[jax.Array, jax.Array]]
RECORDED = 'recorded'


class State(NamedTuple):
    """All that training changes, arrays only: dictionaries are keyed by network."""

    step: jax.Array
    params: dict[str, Tree]
    collections: dict[str, Tree]
    opt_state: dict[str, Tree]
    key: jax.Array


def fold_in_name(key: jax.Array, name: str) -> jax.Array:
    """A key of its own for each name, the same in every process and recipe."""
    return jax.random.fold_in(key, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], 'big'))


def read(context: Context, path: Path | tuple[Path, ...]) -> jax.Array:
    """The array at a path; of several paths, their arrays stacked on a new leading axis."""
    if isinstance(path, tuple):
        return jnp.stack([read(context, p) for p in path])
    array = context[path.source][path.name]
    return jax.lax.stop_gradient(array) if path.stop else array


def forward(network: Network, variables: Tree, inputs: Sequence[Any], key: jax.Array, train: bool) -> tuple[Tree, Tree]:
    """A network's activations, and its collections as the pass left them. Copies are stacked on the leading axis."""
    mutable = [name for name in variables if name != 'params'] if train else []

    def one(variables, key):
        out, updated = network.module.apply(variables, *inputs, train=train, rngs={'dropout': key}, mutable=mutable)
        return (out if isinstance(out, Mapping) else {'logits': out}), updated

    if not network.copies:
        return one(variables, key)
    return jax.vmap(one)(variables, jax.random.split(key, network.copies))


def outside_gradient(recipe: Recipe) -> tuple[Network, ...]:
    """Networks that no gradient passes: not trained, and fed by nothing that is."""
    inside: set[str] = set()
    for network in recipe.networks:
        if network.update == 'sgd' or inside & {path.source for path in network.inputs}:
            inside.add(network.name)
    return tuple(network for network in recipe.networks if network.name not in inside)


def recordable(recipe: Recipe) -> tuple[Network, ...]:
    """Frozen networks fed by the batch alone: a batch may carry their outputs, and then they do not run."""
    fixed = outside_gradient(recipe)
    ema = {network.name for network in fixed if network.update == 'ema'}
    return tuple(n for n in fixed if n.update == 'frozen' and not ema & {path.source for path in n.inputs})


def opened(batch: Mapping[str, Any], recipe: Recipe) -> Context:
    """The context that a batch opens: its arrays, and what it carries under 'recorded' of networks that need not run.

    Recorded arrays lead with the examples; the axis of stacked copies comes first again here.
    """
    recorded = batch.get(RECORDED, {})
    move = {n.name: (lambda a: jnp.moveaxis(a, 0, 1)) if n.copies else (lambda a: a) for n in recipe.networks}
    context = {'batch': {name: array for name, array in batch.items() if name != RECORDED}}
    return context | {name: jax.tree.map(move[name], dict(arrays)) for name, arrays in recorded.items()}


def run_networks(
    networks: Iterable[Network], variables: Mapping[str, Tree], context: Context, key: jax.Array, train: bool
) -> tuple[Context, dict[str, Tree]]:
    """The context with the networks' activations added, and the collections they updated. Only 'sgd' ones train."""
    updated = {}
    for network in networks:
        own = train and network.update == 'sgd'
        inputs = [read(context, path) for path in network.inputs]
        out, changed = forward(network, variables[network.name], inputs, fold_in_name(key, network.name), own)
        context = {**context, network.name: out}
        if own:
            updated[network.name] = changed
    return context, updated


def values(term: Term, context: Context, numbers: Mapping[str, Any], progress: jax.Array) -> jax.Array:
    """What the term's loss gives before mask and weight: one value an example, or one for the whole batch."""
    now = {
        key: hyperparameters.value(schedule, numbers[key], progress)
        for key, schedule in term.schedules.items()
        if key != 'weight'
    }
    return term.loss(*[read(context, path) for path in term.reads], **term.static, **now)


def reduce(term: Term, recipe: Recipe, context: Context, array: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(sum, count) of a term's values where its mask holds.

    Over the stacked copies of a trained network the loss is summed and only examples are counted, so each copy learns
    exactly as it would alone.
    """
    if term.mask is not None:
        mask = jnp.broadcast_to(read(context, term.mask), array.shape).astype(array.dtype)
        array, count = jnp.where(mask > 0, array, 0.0) * mask, jnp.sum(mask)
    else:
        count = jnp.asarray(array.size, jnp.float32)
    return jnp.sum(array), count / max(1, trained_copies(term, recipe))


def trained_copies(term: Term, recipe: Recipe) -> int:
    """The number of stacked trained networks that the term teaches, 0 for a single one."""
    sources = {path.source for path in term.paths() if not path.stop}
    return max((n.copies for n in recipe.trained if n.name in sources), default=0)


def make_train_step(recipe: Recipe, total_steps: int) -> Callable[..., tuple[State, Metrics]]:
    """`step(state, hparams, frozen, batch) -> state, metrics`, pure.

    Args:
      recipe: what to train and how.
      total_steps: length of the run; schedules are functions of the share of it that is done.
    Returns:
      the step. `frozen` maps each frozen network to its variables. `batch` maps names to arrays [batch, ...]. `metrics`
      has (sum, count) of every term, 'loss' and 'grad_norm', so that they add up over steps and shards.
    """
    fixed = outside_gradient(recipe)
    moving = tuple(network for network in recipe.networks if network not in fixed)

    def train_step(state: State, hparams: Tree, frozen: Mapping[str, Tree], batch: Mapping[str, jax.Array]):
        progress = state.step / total_steps
        key = jax.random.fold_in(state.key, state.step)
        constant = {**frozen, **_variables(state.params, state.collections)}
        live = tuple(n for n in fixed if RECORDED not in batch or n not in recordable(recipe))
        seen, _ = run_networks(live, constant, opened(batch, recipe), key, train=True)

        def loss_fn(trainable):
            variables = {**constant, **_variables(trainable, state.collections)}
            context, updated = run_networks(moving, variables, seen, key, train=True)
            total, metrics = jnp.zeros(()), {}
            for term in recipe.terms:
                numbers = hparams['terms'][term.name]
                summed, count = reduce(term, recipe, context, values(term, context, numbers, progress))
                weight = hyperparameters.value(term.schedules['weight'], numbers['weight'], progress)
                total += weight * summed / jnp.where(count > 0, count, 1.0)
                metrics[term.name] = (summed, count * max(1, trained_copies(term, recipe)))
            return total, (metrics, updated)

        trainable = {network.name: state.params[network.name] for network in recipe.trained}
        (total, (metrics, updated)), grads = jax.value_and_grad(loss_fn, has_aux=True)(trainable)
        params, opt_state = dict(state.params), dict(state.opt_state)
        collections = {**state.collections, **updated}
        for network in recipe.trained:
            name = network.name
            update = _update(network, hparams['optimizers'][name], progress)
            params[name], opt_state[name] = update(grads[name], state.opt_state[name], state.params[name])
        for name, decay in hparams['ema'].items():
            source = params[recipe.network(name).of]
            params[name] = optax.incremental_update(source, params[name], 1.0 - decay)
            source = collections[recipe.network(name).of]
            collections[name] = optax.incremental_update(source, collections[name], 1.0 - decay)
        one = jnp.ones(())
        metrics |= {'loss': (total, one), 'grad_norm': (optax.tree.norm(grads), one)}
        state = State(state.step + 1, params, collections, opt_state, state.key)
        return state, metrics

    return train_step


def _update(network: Network, numbers: Mapping[str, Any], progress: jax.Array) -> Callable[..., tuple[Tree, Tree]]:
    assert network.optimizer is not None
    tx = optimizers.transformation(network.optimizer, numbers, progress)

    def update(grads, opt_state, params):
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return jax.vmap(update) if network.copies else update


def _variables(params: Mapping[str, Tree], collections: Mapping[str, Tree]) -> dict[str, Tree]:
    return {name: {'params': tree, **collections.get(name, {})} for name, tree in params.items()}


def variables(state: State, frozen: Mapping[str, Tree]) -> dict[str, Tree]:
    """Every network's variables, to evaluate with."""
    return {**frozen, **_variables(state.params, state.collections)}


def init_variables(network: Network, inputs: Sequence[Any], key: jax.Array) -> Tree:
    """Fresh variables of a network for inputs of these shapes; copies start each from a key of its own."""
    zeros = [jnp.zeros(a.shape, a.dtype) for a in inputs]

    def one(key):
        return network.module.init({'params': key, 'dropout': key}, *zeros, train=False)

    key = fold_in_name(key, network.name)
    return jax.vmap(one)(jax.random.split(key, network.copies)) if network.copies else one(key)


def shapes(network: Network, context: Context) -> tuple[Tree, Tree]:
    """The shapes of a network's variables and of its activations, found without computing."""
    inputs = [context[path.source][path.name] for path in network.inputs]
    return _shapes(network.module, network.copies, tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in inputs))


@functools.lru_cache(maxsize=256)
def _shapes(module: nn.Module, copies: int, inputs: tuple[jax.ShapeDtypeStruct, ...]) -> tuple[Tree, Tree]:
    network, key = Network('', module, (), copies=copies), jax.random.key(0)
    variables = jax.eval_shape(lambda key: init_variables(network, inputs, key), key)
    return variables, jax.eval_shape(lambda v, x, key: forward(network, v, x, key, False)[0], variables, inputs, key)


def init_state(
    recipe: Recipe, batch: Mapping[str, Any], seed: int, loaded: Mapping[str, Tree] | None = None
) -> tuple[State, dict[str, Tree]]:
    """The state before the first step, and the variables of the frozen networks.

    Args:
      recipe: what will be trained.
      batch: arrays or their shapes, as the step will see them.
      seed: of initial parameters and of all randomness in training.
      loaded: variables, by network, that replace random ones (see `checkpoint.load_networks`).
    Raises:
      UserError: as `check`.
    """
    context = check(recipe, batch)
    key = jax.random.key(seed)
    inputs = {n.name: [context[path.source][path.name] for path in n.inputs] for n in recipe.networks}
    every = jax.jit(lambda key: {n.name: init_variables(n, inputs[n.name], key) for n in recipe.networks})(key)
    for name, tree in (loaded or {}).items():
        every[name] = {**every[name], **tree}
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
    return State(jnp.zeros((), jnp.int32), params, collections, opt_state, fold_in_name(key, 'train')), frozen


def check(recipe: Recipe, batch: Mapping[str, Any], where: str = 'the recipe') -> Context:
    """The shape of every activation, found without computing: what the recipe's paths can name.

    Raises:
      UserError: a path that names no activation, shapes that a model or a loss cannot take, or a term whose values do
        not carry the axis of the copies it teaches.
    """
    context: Context = {
        'batch': {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in batch.items()}
    }
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        check_paths(network.inputs, context, place)
        with _explained(f'{place} does not take {_shown(network.inputs, context)}'):
            context = {**context, network.name: shapes(network, context)[1]}
    for term in recipe.terms:
        place = f"{where}, term '{term.name}'"
        check_paths(term.paths(), context, place)
        with _explained(f'{place} does not fit {_shown(term.paths(), context)}'):
            numbers = recipe.hparams['terms'][term.name]
            array = jax.eval_shape(lambda c, t=term, n=numbers: values(t, c, n, jnp.zeros(())), context)
        copies = trained_copies(term, recipe)
        if copies and (array.ndim < 1 or array.shape[0] != copies):
            raise UserError(f'{place} gives {array.shape} for a network of {copies} copies: lead with [{copies}, ...].')
    return context


def check_paths(paths: Iterable[Path], context: Context, where: str) -> None:
    """Raises a UserError that names the nearest path and all there are, if one of `paths` does not exist."""
    known = [f'{source}.{name}' for source, names in context.items() for name in names]
    for path in paths:
        if path.name not in context.get(path.source, {}):
            raise UserError(f"{where} reads '{path}', which nothing gives. {suggest(str(path), known)}")


def _shown(paths: Iterable[Path], context: Context) -> str:
    return ', '.join(f'{path} {list(context[path.source][path.name].shape)}' for path in paths)


@contextlib.contextmanager
def _explained(message: str) -> Iterator[None]:
    """Turns an error of shapes inside a model or a loss into one sentence about the config."""
    try:
        yield
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip('.')
        raise UserError(f'{message}: {reason}.') from error
