"""Compiles the real training step for a TPU slice on a machine without TPUs, to find its memory and cost.

docs/cloud_tpu.md lists what it cannot find out.
"""

import contextlib
import dataclasses
import importlib.util
import math
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.config.errors import UserError, first_line
from kd_jax.data.batches import batch_shapes
from kd_jax.devices.mesh import batch_sharding, replicated
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.scale import hlo_collectives
from kd_jax.scale.hlo_collectives import read_collectives
from kd_jax.scale.matrix_products import count_operations
from kd_jax.scale.step_cost import Cost
from kd_jax.scale.tpu_chips import Topology
from kd_jax.training.batch_feed import most_steps
from kd_jax.training.chunk_program import make_chunk_program, run_shardings

# Without these, libtpu looks for the metadata server of a Cloud VM, writes logs and refuses a second process.
ENVIRONMENT = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
    'TPU_LOG_DIR': 'disabled',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}


PREFIX = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@contextlib.contextmanager
def _without_cache() -> Iterator[None]:
    """Switches the persistent compilation cache off; it can store a program for absent devices, but not load it."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update('jax_enable_compilation_cache', False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update('jax_enable_compilation_cache', before)
        compilation_cache.reset_cache()


def devices(topology: Topology) -> Sequence[Any]:
    """Returns descriptions of the devices of a slice; without libtpu, fake devices on this machine's processor.

    Raises:
      UserError: libtpu does not know the slice; or JAX has already started with fewer fake devices.
    """
    if topology.chip is None or not compiles(topology):
        return _fake(topology, topology.chips * (topology.chip.devices if topology.chip else 1))
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        described = topologies.get_topology_desc(topology.name, 'tpu', **topology.chip.options)
    except Exception as error:
        raise UserError(f'--topology={topology.name}: libtpu cannot describe it ({first_line(error)}).') from error
    return described.devices


def compiles(topology: Topology) -> bool:
    """Whether there is a compiler for a slice of TPUs: libtpu, which works on any Linux machine."""
    return topology.chip is not None and importlib.util.find_spec('libtpu') is not None


def _fake(topology: Topology, count: int) -> Sequence[Any]:
    with contextlib.suppress(RuntimeError):  # JAX has started; use its devices.
        jax.config.update('jax_num_cpu_devices', count)
    found = jax.devices('cpu')
    if len(found) < count:
        raise UserError(
            f'--topology={topology.name}: JAX has already started with {len(found)} processor devices; ask for '
            f'{topology.name} in a command of its own.'
        )
    return found[:count]


def step_identity(prepared: PreparedRun) -> str:
    """Equal for prepared runs whose steps compile to one program: seeds, learning rates and temperatures may differ."""
    networks = [
        dataclasses.replace(n, init='', fresh=(), sources=(), module=None if n.schedules else n.module)
        for n in prepared.recipe.networks
    ]
    return repr(
        (
            networks,
            prepared.recipe.terms,
            program_arguments(prepared),
            prepared.splits.augment,
            prepared.splits.num_classes,
        )
    )


def program_arguments(prepared: PreparedRun) -> tuple[Any, ...]:
    """Returns shapes and dtypes of the chunk program's arguments, for a chunk of one step."""
    state, frozen = prepared.initial_shapes
    examples = _examples(prepared)
    positions: Any = jax.ShapeDtypeStruct((1, prepared.order.batch_size), jnp.int32)
    resident, positions = (examples, positions) if prepared.resident else (None, examples)
    hparams = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, dict(prepared.recipe.hparams)))
    return state, hparams, frozen, resident, positions, jax.ShapeDtypeStruct((1,), jnp.int32)


def _examples(prepared: PreparedRun) -> dict[str, Any]:
    """Returns the shapes of the resident training split; for streamed data, of the batches of a chunk of one step."""
    split = prepared.splits.arrays['train']
    lead = (len(split['id']),) if prepared.resident else (1, prepared.order.batch_size)
    examples: dict[str, Any] = {n: _shape(a, (*lead, *a.shape[1:])) for n, a in batch_shapes(split, 1).items()}
    for path, array in prepared.cache.what.outputs.items() if prepared.cache else ():
        views = (prepared.order.views,) if prepared.resident else ()
        recorded = examples.setdefault(RECORDED, {}).setdefault(path.source, {})
        recorded[path.name] = _shape(array, (*views, *lead, *array.shape))
    return examples


def _waiting(prepared: PreparedRun) -> int:
    """Returns how many batches are on the devices at once: those of one chunk and of the next."""
    return 2 * most_steps(prepared, prepared.splits.arrays['train'])


def _shape(array: Any, shape: Sequence[int]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(tuple(shape), array.dtype)


def compile_run(prepared: PreparedRun, topology: Topology) -> Cost:
    """Compiles a run's training step for the devices of its mesh and returns its cost.

    Without libtpu nothing is compiled for a slice of TPUs. The cost is then that of its arrays and matrix products.

    Args:
      prepared: from `prepare_run(..., devices(topology))`.
      topology: the slice.
    Raises:
      UserError: the compiler refuses the program for a reason other than memory.
    """
    state, _, frozen, resident, positions, _ = given = program_arguments(prepared)
    of_state, of_frozen = run_shardings(prepared)
    whole, by_step = replicated(prepared.mesh), batch_sharding(prepared.mesh, lead=1)
    chip, per_chip = topology.chip, topology.chip.devices if topology.chip else 1
    memory = {
        'parameters': _bytes((state.params, state.collections), (of_state.params, of_state.collections)),
        'optimizer': _bytes(state.opt_state, of_state.opt_state),
        'teacher': _bytes(frozen, of_frozen),
        'data': _bytes(resident, whole) + _waiting(prepared) * _bytes(positions, by_step),
    }
    stays = per_chip * _bytes(resident, whole)
    memory = {name: per_chip * size for name, size in memory.items()}
    run_chunk: Any = make_chunk_program(prepared)
    traced = run_chunk.trace(*given)
    products = per_chip * count_operations(traced.jaxpr) / prepared.mesh.size
    if chip and not compiles(topology):
        changed = memory['parameters'] + memory['optimizer']
        moved = 2 * changed + memory['teacher']
        return Cost(topology, memory, sum(memory.values()), chip.hbm, products, moved=moved, compiled=False)
    lowered = traced.lower(lowering_platforms=('tpu' if chip else 'cpu',))
    with tempfile.TemporaryDirectory() as dump:
        try:
            # For some programs (TPU7x) the executable does not give its text, so the compiler writes it to a file.
            with _without_cache():
                compiled = lowered.compile(compiler_options={'xla_dump_to': dump} if chip else None)
        except jax.errors.JaxRuntimeError as error:
            if chip is None or 'RESOURCE_EXHAUSTED' not in str(error):
                raise UserError(
                    f'{prepared.where} cannot be compiled for {topology.name} ({first_line(error)}).'
                ) from error
            needed, available = (per_chip * size for size in out_of_memory(str(error)) or (math.nan, math.nan))
            known = not math.isnan(needed)
            return Cost(topology, memory, needed if known else None, available if known else chip.hbm)
        texts = [path.read_text() for path in pathlib.Path(dump).glob('*.after_optimizations.txt')]
    text = max(texts, key=len) if texts else compiled.as_text()
    cost = _read(compiled, read_collectives(text, prepared.mesh.size), topology, memory)
    # The compiler counts the body of a loop once.
    return dataclasses.replace(cost, moved=cost.moved - stays, flops=max(cost.flops, products))


def _read(
    compiled: Any, exchanged: list[hlo_collectives.Collective], topology: Topology, memory: dict[str, float]
) -> Cost:
    chip, per_chip = topology.chip, topology.chip.devices if topology.chip else 1
    sizes, costs = compiled.memory_analysis(), compiled.cost_analysis()
    moved = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    held = sum(memory.values())  # includes arrays that the program does not read, such as a recorded teacher
    memory |= {
        'activations': per_chip * sizes.temp_size_in_bytes,
        'code': per_chip * sizes.generated_code_size_in_bytes,
        'padding': max(0.0, per_chip * (moved - sizes.alias_size_in_bytes) - held),
    }
    return Cost(
        topology,
        memory,
        sum(memory.values()),
        None if chip is None else chip.hbm,
        flops=per_chip * costs.get('flops', 0.0),
        accessed=per_chip * costs.get('bytes accessed', 0.0),
        moved=per_chip * moved,
        exchanged={k: (count, per_chip * sent) for k, (count, sent) in hlo_collectives.by_kind(exchanged).items()},
    )


def _bytes(shapes: Any, shardings: Any) -> float:
    """Returns the bytes that one device holds; `shardings` is one sharding, or a tree of them."""
    if isinstance(shardings, jax.sharding.Sharding):
        one = shardings
        shardings = jax.tree.map(lambda _: one, shapes)

    def size(array: Any, placed: Any) -> float:
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            return 8.0
        return math.prod(placed.shard_shape(array.shape)) * np.dtype(array.dtype).itemsize

    return float(sum(jax.tree.leaves(jax.tree.map(size, shapes, shardings))))


def out_of_memory(message: str) -> tuple[float, float] | None:
    """Reads the bytes (needed, available) from the compiler's error message; None if they are not in it.

    Two forms are known: 'the total memory required for HLO temporaries (17.38G) exceeds available HBM (15.75G)' and
    'Used 20.00G of 15.75G hbm.'.
    """
    size = r'([\d.]+)([KMGT]?)'
    match = re.search(rf'required[^(]*\({size}\) exceeds[^(]*\({size}\)', message)
    match = match or re.search(rf'Used {size} of {size} hbm', message, re.IGNORECASE)
    if not match:
        return None
    needed, unit, available, other = match.groups()
    return float(needed) * PREFIX[unit], float(available) * PREFIX[other]
