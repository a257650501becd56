"""A trained network for use without this code: its weights as safetensors, and its program as StableHLO.

  weights = safetensors.numpy.load_file('weights.safetensors')
  with open('logits.stablehlo', 'rb') as file:
      logits = jax.export.deserialize(bytearray(file.read())).call
  logits(weights, images)  # [batch, num_classes] for a batch of any size

The program holds what is done to images before the network (scaling, its own normalisation) and takes the weights as
they are in the file: under PyTorch's names and in its layouts, see `torch_weights`.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from kd_jax import checkpoint, sharding, step, torch_weights
from kd_jax.data import pipeline
from kd_jax.errors import UserError, suggest
from kd_jax.job import Job, variable_shapes
from kd_jax.network import Network

PLATFORMS = ('cpu', 'cuda', 'tpu')


def chosen(job: Job, name: str) -> Network:
    """The network of that name, the only trained one for '', if it can be exported.

    Raises:
      UserError: no such network; or one with copies, or fed by another network.
    """
    known = {network.name: network for network in job.recipe.moving}
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        what = f'there is no trained network {name!r}' if name else f'choose one of {len(known)} networks'
        raise UserError(f'{job.where}: {what}. {suggest(name, known)}')
    network = known[name]
    if network.copies or any(path.source != 'batch' for path in network.inputs):
        reason = 'has copies' if network.copies else f'reads {", ".join(map(str, network.inputs))}'
        raise UserError(f"{job.where}, network '{name}' {reason}; only one network that reads the batch is exported.")
    return network


def load(job: Job, network: Network, directory: pathlib.Path) -> dict[str, Any]:
    """The network's variables from the newest checkpoint of its run."""
    shapes = sharding.placed(network, job.mesh, variable_shapes(job, network))
    where = f"{job.where}, network '{network.name}'"
    return jax.device_get(checkpoint.load_network(network, directory, network.name, shapes, where))


def program(network: Network, variables: Any) -> Callable[..., jax.Array]:
    """The function (weights, *inputs) -> logits [batch, num_classes] for inputs as the data has them."""
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), variables)

    def logits(weights: Mapping[str, jax.Array], *inputs: jax.Array) -> jax.Array:
        own = torch_weights.from_torch(network.module, weights, shapes)
        seen = [pipeline.plain_view({'image': array})['image'] for array in inputs]
        return step.forward(network, own, seen, jax.random.key(0), train=False)[0]['logits']

    return logits


def write(job: Job, network: Network, variables: Any, out: pathlib.Path) -> str:
    """Writes weights.safetensors and logits.stablehlo to `out`; returns what the program takes, 'uint8[batch,28,28]'.

    Raises:
      UserError: the directory cannot be written.
    """
    one = pipeline.shapes(job.splits.arrays['train'], 1)
    arrays = [one[path.name] for path in network.inputs]
    scope = jax.export.SymbolicScope()
    specs = [
        jax.ShapeDtypeStruct(
            jax.export.symbolic_shape(','.join(['batch', *map(str, a.shape[1:])]), scope=scope), a.dtype
        )
        for a in arrays
    ]
    state = {name: np.ascontiguousarray(a) for name, a in torch_weights.to_torch(network.module, variables).items()}
    weights = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in state.items()}
    exported = jax.export.export(jax.jit(program(network, variables)), platforms=PLATFORMS)(weights, *specs)
    taken = ', '.join(f'{a.dtype}[{",".join(map(str, spec.shape))}]' for a, spec in zip(arrays, specs, strict=True))
    with checkpoint.disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(state, out / 'weights.safetensors', metadata={'format': 'pt', 'inputs': taken})
        (out / 'logits.stablehlo').write_bytes(exported.serialize())
    return taken
