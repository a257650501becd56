"""Writes a trained network for use without this package: weights as safetensors, the program as StableHLO.

  weights = safetensors.numpy.load_file('weights.safetensors')
  with open('logits.stablehlo', 'rb') as file:
      logits = jax.export.deserialize(bytearray(file.read())).call
  logits(weights, images)  # [batch, num_classes] for a batch of any size

The program includes the networks that the network reads, and the preprocessing of images: scaling to [0, 1] and the
networks' normalisation. It takes the weights as they are in the file, with PyTorch's names and layouts; see
`interop/pytorch_weights.py`. The weights of several networks have the name of their network in front.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import numpy as np
from flax.errors import FlaxError

from kd_jax.config.errors import UserError, first_line
from kd_jax.core.forward import run_networks
from kd_jax.core.network import Network
from kd_jax.core.paths import Path, read_path
from kd_jax.core.state import NUMBERS
from kd_jax.data.batches import evaluation_view
from kd_jax.interop import pytorch_weights

PLATFORMS = ('cpu', 'cuda', 'tpu')


def flat_weights(owners: Mapping[str, Network], variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The variables of networks, by name, as one flat dictionary with PyTorch's names and layouts."""
    weights: dict[str, np.ndarray] = {}
    for name, owner in owners.items():
        own = _to_flat(owner, variables[name])
        weights |= {_prefix(name, owners) + key: np.ascontiguousarray(array) for key, array in own.items()}
    return weights


def _prefix(name: str, owners: Mapping[str, Network]) -> str:
    return f'{name}.' if len(owners) > 1 else ''


def _is_nested_dict(variables: Any) -> bool:
    """Whether variables are dictionaries of arrays, as those of linen modules; other models may have lists or more."""
    return all(hasattr(leaf, 'shape') for leaf in flax.traverse_util.flatten_dict(variables).values())


def _names(variables: Any) -> list[str]:
    """A name for each leaf of variables of any structure."""
    paths = jax.tree_util.tree_flatten_with_path(variables)[0]
    return [jax.tree_util.keystr(path, simple=True, separator='.') for path, _ in paths]


def _to_flat(owner: Network, variables: Any) -> dict[str, Any]:
    if _is_nested_dict(variables):
        return pytorch_weights.to_torch(owner.module, variables)
    return dict(zip(_names(variables), jax.tree.leaves(variables), strict=True))


def _from_flat(owner: Network, weights: Mapping[str, Any], shapes: Any) -> Any:
    if not weights:  # flattening would lose the empty dictionaries
        return shapes
    if _is_nested_dict(shapes):
        return pytorch_weights.from_torch(owner.module, weights, shapes)
    return jax.tree.unflatten(jax.tree.structure(shapes), [weights[name] for name in _names(shapes)])


def network_program(
    networks: Sequence[Network], owners: Mapping[str, Network], variables: Mapping[str, Any], path: Path
) -> Callable[..., jax.Array]:
    """The function (weights, *inputs) -> the array at `path`; inputs are not preprocessed.

    Args:
      networks: the networks to run, in order of dependency.
      owners: the networks whose parameters they use, by name.
      variables: variables of the owners, by name, of which only the shapes matter, and numbers under `NUMBERS`.
      path: what the function returns.
    """
    shapes = {name: jax.eval_shape(lambda own=variables[name]: own) for name in owners}
    names = input_names(networks)

    def program(weights: Mapping[str, jax.Array], *inputs: jax.Array) -> jax.Array:
        own: dict[str, Any] = {NUMBERS: variables[NUMBERS]} if NUMBERS in variables else {}
        for name, owner in owners.items():
            start = _prefix(name, owners)
            mine = {key.removeprefix(start): array for key, array in weights.items() if key.startswith(start)}
            own[name] = _from_flat(owner, mine, shapes[name])
        context = {'batch': evaluation_view(dict(zip(names, inputs, strict=True)))}
        return read_path(run_networks(networks, own, context, jax.random.key(0), train=False)[0], path)

    return program


def input_names(networks: Sequence[Network]) -> tuple[str, ...]:
    """The arrays of a batch that networks read, in the order in which their program takes them."""
    paths = (path for network in networks for path in network.inputs)
    return tuple(dict.fromkeys(path.name for path in paths if path.source == 'batch'))


def export_program(
    program: Callable[..., jax.Array], weights: Mapping[str, Any], inputs: Sequence[Any], where: str
) -> jax.export.Exported:
    """Exports a program for batches of any size on all `PLATFORMS`.

    Args:
      program: from `network_program`.
      weights: from `flat_weights`.
      inputs: its inputs, arrays or shapes of a batch of any size.
      where: the network, for messages.
    Raises:
      UserError: the networks cannot be traced with these inputs.
    """
    scope = jax.export.SymbolicScope()
    specs = [
        jax.ShapeDtypeStruct(
            jax.export.symbolic_shape(','.join(['batch', *map(str, a.shape[1:])]), scope=scope), a.dtype
        )
        for a in inputs
    ]
    shapes = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in weights.items()}
    try:
        return jax.export.export(jax.jit(program), platforms=PLATFORMS)(shapes, *specs)
    except (ValueError, TypeError, FlaxError, KeyError, NotImplementedError) as error:
        reason = first_line(error).partition(' (https:')[0].rstrip('.')
        if '_DimExpr' in reason:
            reason += '; the program takes batches of any size: in the model, write x.shape[0] in place of len(x)'
        raise UserError(f'{where} cannot be exported: {reason}.') from error


def shown_inputs(exported: jax.export.Exported, count: int) -> str:
    """Types and shapes of the last `count` arguments of a program, for example 'uint8[batch,28,28]'."""
    return ', '.join(f'{a.dtype}[{",".join(map(str, a.shape))}]' for a in exported.in_avals[-count:])
