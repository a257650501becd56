"""The training step: every method of distillation is a recipe for this one function."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kd_jax import hyperparameters, optimizers, sharding
from kd_jax.data.pipeline import RECORDED
from kd_jax.errors import UserError
from kd_jax.keys import fold_in_name
from kd_jax.network import Network, Path
from kd_jax.recipe import Recipe, Term

Tree = Any
Context = Mapping[str, Mapping[str, jax.Array]]
Metrics = dict[str, tuple[jax.Array, jax.Array]]


class State(NamedTuple):
    """All that training changes, arrays only: dictionaries are keyed by network."""

    step: jax.Array
    params: dict[str, Tree]
    collections: dict[str, Tree]
    opt_state: dict[str, Tree]
    key: jax.Array


def read(context: Context, path: Path | tuple[Path, ...]) -> jax.Array:
    """The array at a path; of several paths, their arrays stacked on a new leading axis."""
    if isinstance(path, tuple):
        return jnp.stack([read(context, p) for p in path])
    array = context[path.source][path.name]
    return jax.lax.stop_gradient(array) if path.stop else array


def forward(network: Network, variables: Tree, inputs: Sequence[Any], key: jax.Array, train: bool) -> tuple[Tree, Tree]:
    """A network's activations, and its collections as the pass left them; of copies, stacked on the leading axis.

    Both are float32 whatever the network computes in; batch statistics and the like take part in float32.
    """
    mutable = [name for name in variables if name != 'params'] if train else []
    low = network.compute_dtype != 'float32'

    def one(variables, key, *inputs):
        inputs = network.normalized(inputs)
        params = variables.get('params', {})
        if low:
            params, inputs = _cast((params, inputs), network.compute_dtype)
        if network.sharding == 'fsdp':
            params = sharding.gathered(params)
        variables = {**variables, 'params': params}
        out, updated = network.module.apply(variables, *inputs, train=train, rngs={'dropout': key}, mutable=mutable)
        out = out if isinstance(out, Mapping) else {'logits': out}
        return _cast((out, updated), 'float32') if low else (out, updated)

    if not network.copies:
        return one(variables, key, *inputs)
    return _over_copies(one, network, variables, jax.random.split(key, network.copies), *inputs)


def _over_copies(one: Callable[..., Any], network: Network, *arguments: Any) -> Any:
    """What `one` gives of each copy: of all at once, but of convolutions on CPUs one after another.

    Together, convolutions of different kernels are a grouped one, whose gradients XLA has no fast routine for there.
    """
    stacked = (True, True, *network.stacked)
    together = jax.vmap(one, in_axes=tuple(0 if own else None for own in stacked))
    if not network.convolves(arguments[0]):
        return together(*arguments)

    def in_turn(*arguments):
        def of_copy(i):
            return [jax.tree.map(lambda a: a[i], a) if own else a for a, own in zip(arguments, stacked, strict=True)]

        each = [one(*of_copy(i)) for i in range(network.copies)]
        return jax.tree.map(lambda *own: jnp.stack(own), *each)

    return jax.lax.platform_dependent(*arguments, cpu=in_turn, default=together)


def _cast(tree: Tree, dtype: str) -> Tree:
    """The tree with its floating-point arrays in another precision."""
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def outside_gradient(recipe: Recipe) -> tuple[Network, ...]:
    """Networks that no gradient passes: not trained, and fed by nothing that is."""
    inside: set[str] = set()
    for network in recipe.networks:
        trains = network.optimizer is not None and not network.constant
        if trains or inside & {path.source for path in network.inputs}:
            inside.add(network.name)
    return tuple(network for network in recipe.networks if network.name not in inside)


def recordable(recipe: Recipe) -> tuple[Network, ...]:
    """Frozen networks fed by the batch alone: a batch may carry their outputs, and then they do not run."""
    found: list[Network] = []
    changing: set[str] = set()
    for network in outside_gradient(recipe):
        if network.update == 'frozen' and not changing & {path.source for path in network.inputs}:
            found.append(network)
        else:
            changing.add(network.name)
    return tuple(found)


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
    """The context with the networks' activations added, and the collections they updated.

    In training, only those with an optimizer run as in training; where one shares another's, the other's batch counts.
    """
    updated = {}
    for network in networks:
        own = train and network.optimizer is not None
        inputs, owned = [read(context, path) for path in network.inputs], variables[network.owner]
        owned = jax.lax.stop_gradient(owned) if network.constant else owned
        out, changed = forward(network, owned, inputs, fold_in_name(key, network.name), own)
        context = {**context, network.name: out}
        if own and network.update == 'sgd':
            updated[network.name] = changed
    return context, updated


def values(term: Term, recipe: Recipe, context: Context, now: Mapping[str, jax.Array]) -> jax.Array:
    """What the term's loss gives before mask and weight: one value an example, or one for the whole batch.

    `now` are its numbers, see `numbers_now`. A loss that compares examples with each other is given the mask, and of
    stacked copies one at a time.
    """
    loss = functools.partial(term.loss, **term.static, **{key: now[key] for key in now if key != 'weight'})
    arrays = [read(context, path) for path in term.reads]
    if not term.compares:
        return loss(*arrays)
    mask = None if term.mask is None else read(context, term.mask)
    copies = trained_copies(term, recipe)
    if not copies:
        return loss(*arrays, where=mask)
    axes = [_axis_of_copies(path, recipe, copies) for path in (*term.reads, term.mask)]
    return jax.vmap(lambda where, *own: loss(*own, where=where), in_axes=(axes[-1], *axes[:-1]))(mask, *arrays)


def numbers_now(term: Term, context: Context, numbers: Mapping[str, Any], progress: jax.Array) -> dict[str, jax.Array]:
    """The term's weight and the numbers of its loss: constants, schedules' values, and what networks give.

    Raises:
      UserError: a network gives more than one number.
    """
    now = {key: hyperparameters.value(schedule, numbers[key], progress) for key, schedule in term.schedules.items()}
    for key, path in term.given.items():
        now[key] = read(context, path)
        if now[key].ndim:
            raise UserError(f"'{path}' is {list(now[key].shape)}, but {key} is one number for all examples")
    return now


def _axis_of_copies(read: Path | tuple[Path, ...] | None, recipe: Recipe, copies: int) -> int | None:
    """Where the axis of the trained copies is in what is read; None if it does not come from as many."""
    path = read[0] if isinstance(read, tuple) else read
    if path is None or path.source == 'batch' or recipe.network(path.source).copies != copies:
        return None
    return int(isinstance(read, tuple))


def reduce(term: Term, recipe: Recipe, context: Context, array: jax.Array) -> tuple[jax.Array, jax.Array]:
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
    mask, lead = read(context, term.mask), int(copies > 0)
    own = 0 if _axis_of_copies(term.mask, recipe, copies) is None else lead
    if array.ndim == lead:
        if not term.compares:
            raise UserError('it gives one value for the whole batch: to be masked, the loss must take `where`')
        count = jnp.sum(mask > 0, dtype=array.dtype) / (copies if own else 1)
        return jnp.sum(array) * count, count
    mask = mask.reshape(mask.shape + (1,) * max(0, array.ndim - lead + own - mask.ndim))
    try:
        mask = jnp.broadcast_to(mask, array.shape).astype(array.dtype)
    except ValueError as error:
        shape = list(read(context, term.mask).shape)
        raise UserError(f"the mask's shape {shape} does not fit the values, {list(array.shape)}") from error
    return jnp.sum(jnp.where(mask > 0, array, 0.0) * mask), jnp.sum(mask) / max(1, copies)


def trained_copies(term: Term, recipe: Recipe) -> int:
    """The number of stacked trained networks that the term teaches, 0 for a single one."""
    sources = {path.source for path in term.paths() if not path.stop}
    return max((n.copies for n in recipe.networks if n.name in sources and n.optimizer and not n.constant), default=0)


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
                now = numbers_now(term, context, hparams['terms'][term.name], progress)
                summed, count = reduce(term, recipe, context, values(term, recipe, context, now))
                total += now['weight'] * summed / jnp.where(count > 0, count, 1.0)
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
