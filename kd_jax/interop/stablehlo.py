"""Writes a trained network for use without this package: weights as safetensors, the program as StableHLO.

  weights = safetensors.numpy.load_file('weights.safetensors')
  with open('logits.stablehlo', 'rb') as file:
      logits = jax.export.deserialize(bytearray(file.read())).call
  logits(weights, images)  # [batch, num_classes] for a batch of any size

The program includes the preprocessing of images: scaling to [0, 1] and the network's normalisation. It takes the
weights as they are in the file, with PyTorch's names and layouts; see `interop/pytorch_weights.py`.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from kd_jax.config.disk_errors import disk_errors
from kd_jax.config.ordinary_files import replacing, write_bytes
from kd_jax.core.forward import forward
from kd_jax.core.network import Network
from kd_jax.data.batches import evaluation_view
from kd_jax.interop import pytorch_weights

PLATFORMS = ('cpu', 'cuda', 'tpu')


def logits_function(network: Network, variables: Any) -> Callable[..., jax.Array]:
    """Returns the function (weights, *inputs) -> logits [batch, num_classes]; inputs are not preprocessed."""
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), variables)

    def logits(weights: Mapping[str, jax.Array], *inputs: jax.Array) -> jax.Array:
        own = pytorch_weights.from_torch(network.module, weights, shapes)
        names = [path.name for path in network.inputs]
        seen = [evaluation_view({name: array})[name] for name, array in zip(names, inputs, strict=True)]
        return forward(network, own, seen, jax.random.key(0), train=False)[0]['logits']

    return logits


def write_stablehlo(network: Network, variables: Any, one: Mapping[str, Any], out: pathlib.Path) -> str:
    """Writes weights.safetensors and logits.stablehlo to a directory.

    Args:
      network: the network to write.
      variables: its variables.
      one: a batch of any size; gives shapes and dtypes of the inputs.
      out: the directory; it is made if it does not exist.
    Returns:
      types and shapes of the program's inputs, for example 'uint8[batch,28,28]'.
    Raises:
      UserError: the directory cannot be written.
    """
    arrays = [one[path.name] for path in network.inputs]
    scope = jax.export.SymbolicScope()
    specs = [
        jax.ShapeDtypeStruct(
            jax.export.symbolic_shape(','.join(['batch', *map(str, a.shape[1:])]), scope=scope), a.dtype
        )
        for a in arrays
    ]
    state = {name: np.ascontiguousarray(a) for name, a in pytorch_weights.to_torch(network.module, variables).items()}
    weights = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in state.items()}
    exported = jax.export.export(jax.jit(logits_function(network, variables)), platforms=PLATFORMS)(weights, *specs)
    taken = ', '.join(f'{a.dtype}[{",".join(map(str, spec.shape))}]' for a, spec in zip(arrays, specs, strict=True))
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with replacing(out / 'weights.safetensors') as part:
            safetensors.numpy.save_file(state, part, metadata={'format': 'pt', 'inputs': taken})
        write_bytes(out / 'logits.stablehlo', bytes(exported.serialize()))
    return taken
