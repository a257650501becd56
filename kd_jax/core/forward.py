"""The forward pass: computes the activations of networks."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import value_at
from kd_jax.core.network import Network
from kd_jax.core.own_batches import as_trained
from kd_jax.core.paths import Context, read_path
from kd_jax.core.recipe import Recipe
from kd_jax.core.state import NUMBERS, Tree
from kd_jax.devices.tensor_axis import gather_parameters, parts_in_context


def forward(network: Network, variables: Tree, inputs: Sequence[Any], key: jax.Array, train: bool) -> tuple[Tree, Tree]:
    """Runs one network.

    Args:
      network: the network.
      variables: its 'params' and other collections; with copies, stacked on a leading axis. For a function of several
        networks, a tuple of the variables of each.
      inputs: the arrays at its input paths.
      key: random key of this pass, for example for dropout.
      train: whether it runs in training mode and updates its collections.
    Returns:
      the activations by name ('logits' if the model returns one array), and the updated collections; with copies, both
      are stacked on a leading axis. With compute_dtype='bfloat16' parameters and inputs are cast to it, and the results
      are cast back to float32; collections stay float32.
    """
    mutable = [name for name in variables if name != 'params'] if train and not network.several else []
    low = network.compute_dtype != 'float32'

    def one(variables, key, *inputs):
        inputs = network.normalized(inputs)
        if low:
            inputs = cast(inputs, network.compute_dtype)
        if network.several:
            variables = tuple(itertools.starmap(_parameters_to_compute, zip(network.sources, variables, strict=True)))
        else:
            variables = _parameters_to_compute(network, variables)
        # flax takes the stream 'params' for every stream that it is not given, such as a model's own 'noise'.
        rngs = {'dropout': key, 'params': fold_in_name(key, 'other streams')}
        out, updated = network.module.apply(variables, *inputs, train=train, rngs=rngs, mutable=mutable)
        out = _by_name(out)
        return cast((out, updated), 'float32') if low else (out, updated)

    if not network.copies:
        return one(variables, key, *inputs)
    return _over_copies(one, network, variables, jax.random.split(key, network.copies), *inputs)


class ReturnsNoArrays(UserError):
    """A model returns something else than an array or a dictionary of arrays."""


def _by_name(out: Any) -> dict[str, Any]:
    """What a model returns as activations by name: 'logits' if it is one array."""
    named = dict(out) if isinstance(out, Mapping) else {'logits': out}
    for name, value in named.items() or [('nothing', ())]:
        if not isinstance(name, str) or not (isinstance(value, (int, float)) or hasattr(value, 'dtype')):
            entry = f' with {name!r} of type {type(value).__name__}' if out and isinstance(out, Mapping) else ''
            raise ReturnsNoArrays(
                f'its model returns an object of type {type(out).__name__}{entry}, but it must return one array, the '
                'logits, or a dictionary of arrays by name, such as dict(logits=..., features=...)'
            )
    return named


def _parameters_to_compute(network: Network, variables: Tree) -> Tree:
    """A network's variables with its parameters in the precision in which it computes, gathered but for stacks."""
    params = variables.get('params', {})
    if network.compute_dtype != 'float32':
        params = cast(params, network.compute_dtype)
    if network.sharding == 'fsdp':
        # A model with a stack of layers gathers each layer where the layer runs, so that never all are whole at once.
        split = network.tensor_split(parts_in_context())
        now = {name: tree for name, tree in params.items() if name not in network.layer_stacks}
        params = {**params, **gather_parameters(now, split)}
    return {**variables, 'params': params}


def _over_copies(one: Callable[..., Any], network: Network, *arguments: Any) -> Any:
    """Runs `one` for all copies at once, by `vmap`; networks with convolutions on CPUs run one copy after another.

    `vmap` turns convolutions with different kernels into a grouped convolution, and XLA has no fast routine for its
    gradients on CPUs.
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


def cast(tree: Tree, dtype: str) -> Tree:
    """Casts the floating-point arrays of a tree to another precision."""
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def open_context(batch: Mapping[str, Any], recipe: Recipe) -> Context:
    """Opens the context of a step, with the arrays of the batch and the recorded outputs of networks.

    Networks whose outputs the batch carries under 'recorded' need not run. Recorded arrays of stacked copies are
    [batch, copies, ...] in the batch and [copies, batch, ...] in the context. `core.paths` lists the keys of a context.
    """
    recorded = batch.get(RECORDED, {})
    move = {n.name: (lambda a: jnp.moveaxis(a, 0, 1)) if n.copies else (lambda a: a) for n in recipe.networks}
    context = {'batch': {name: array for name, array in batch.items() if name != RECORDED}}
    return context | {name: jax.tree.map(move[name], dict(arrays)) for name, arrays in recorded.items()}


def network_numbers(recipe: Recipe, hparams: Tree, progress: Any) -> dict[str, dict[str, jax.Array]]:
    """The numbers of networks that are schedules, by network and option, at `progress`, the share of the run done."""
    return {
        network.name: {
            key: value_at(schedule, hparams['networks'][network.name][key], progress)
            for key, schedule in network.schedules.items()
        }
        for network in recipe.networks
        if network.schedules
    }


def run_networks(
    networks: Iterable[Network], variables: Mapping[str, Tree], context: Context, key: jax.Array, train: bool
) -> tuple[Context, dict[str, Tree]]:
    """Runs networks, one after another, and adds their activations to the context.

    Args:
      networks: the networks, in order of dependency.
      variables: the variables of the networks, by name, and their numbers at this step (see `state.all_variables`).
      context: everything that they read and that is not computed here.
      key: random key of the step; the name of each network is folded into it.
      train: whether networks with an optimizer run in training mode. Other networks always run in evaluation mode.
    Returns:
      the new context, and the updated collections of trained networks. A network that shares the parameters of another
      does not update its collections.
    """
    updated, numbers = {}, variables.get(NUMBERS, {})
    for network in networks:
        network = network.at(numbers)
        own = train and network.in_training_mode
        inputs = [read_path(context, path) for path in network.inputs]
        seen, inputs = as_trained(network, inputs) if train else (network, inputs)
        out, changed = forward(seen, _used(network, variables), inputs, fold_in_name(key, network.name), own)
        context = {**context, network.name: out}
        if own and network.update == 'sgd':
            updated[network.name] = changed
    return context, updated


def _used(network: Network, variables: Mapping[str, Tree]) -> Tree:
    """The variables that a network runs with: its own, or those that it shares, as constants where it says so."""
    if network.update != 'shared':
        return variables[network.name]
    used = [
        jax.lax.stop_gradient(variables[name]) if constant else variables[name]
        for name, constant in zip(network.of, network.constant, strict=True)
    ]
    return tuple(used) if network.several else used[0]
