"""Measures a cache of the teacher's outputs: MB/s written and read, and training steps with and without the cache.

  python -m benchmarks.cache --out=benchmarks/results/cache.json

Logits are written to the disk of `--directory` in parts, with a checksum per chunk. They are read directly after, so
the operating system still holds them in memory. 'batch by batch' reads random rows, as training does with a cache that
does not fit into memory. The training steps are those of the MNIST study: student 800-800, teacher 1200-1200, random
weights, each side with the data pipeline that training uses.
"""

import pathlib
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import measure
from benchmarks.matrix_flops import matrix_flops
from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.config_file import load_config
from kd_jax.data.batches import fetch_batch
from kd_jax.devices.mesh import batch_sharding, place_batch, replicate_arrays
from kd_jax.prepare.prepared_run import PreparedRun, prepare_run
from kd_jax.teacher_cache.array_store import ArrayStore, make_layout
from kd_jax.teacher_cache.replay import replay_outputs
from kd_jax.training.chunk_program import make_chunk_program, make_initial_state

CONFIG, RUN = 'configs/hinton_mnist.py:paper', 'distilled'
SIDES: dict[str, Any] = {
    'live teacher': False,
    'cached, in memory': {'read': 'memory'},
    'cached, batch by batch': {'read': 'disk'},
}


def disk(directory: pathlib.Path, examples: int, classes: int, batch_size: int) -> dict[str, Callable[[], Any]]:
    """Functions that write logits, read all of them at once, and read all of them in batches of random rows."""
    rows = np.random.default_rng(0).normal(size=(examples, classes)).astype(np.float32)
    positions = np.random.default_rng(1).permutation(examples)
    cut = make_layout(1, examples, batch_size, rows[0].nbytes)
    place = ArrayStore(str(directory / 'logits'))

    def write() -> None:
        shutil.rmtree(directory / 'logits', ignore_errors=True)
        array = place.create('logits', (classes,), rows.dtype, cut)
        for number in range(cut.count):
            _, start, stop = part = cut.part(number)
            place.write(array, part, rows[start:stop])

    def read() -> Any:
        return place.rows('logits', (classes,), rows.dtype, cut, rows.dtype)[:]

    def read_batches() -> None:
        array = place.rows('logits', (classes,), rows.dtype, cut, rows.dtype)
        for start in range(0, examples, batch_size):
            array[0, positions[start : start + batch_size]]

    return {'write': write, 'read': read, 'read, batch by batch': read_batches}


def training(prepared: PreparedRun, directory: pathlib.Path, steps: int) -> tuple[Callable[[], Any], float]:
    """A function that trains `steps` steps of a run as one program and fetches their data; and its `matrix_flops`."""
    state, frozen = make_initial_state(prepared, {})
    arrays: Any = prepared.splits.arrays['train']
    if prepared.cache:
        key = fold_in_name(state.key, 'augment')
        arrays = replay_outputs(prepared.cache, frozen, key, directory / 'caches', lambda: None)
    resident = replicate_arrays(prepared.mesh, arrays) if prepared.resident else None
    run_chunk, by_step = make_chunk_program(prepared), batch_sharding(prepared.mesh, lead=1)
    positions, views = prepared.order.steps(0, steps)
    kept = [state]

    def arguments() -> tuple[Any, ...]:
        xs = positions if prepared.resident else fetch_batch(arrays, positions, views)
        xs = place_batch(by_step, xs, prepared.order.batch_size)
        return kept[0], prepared.recipe.hparams, frozen, resident, xs, views

    def run() -> None:
        kept[0], losses = run_chunk(*arguments())
        jax.block_until_ready(losses)

    return run, matrix_flops(run_chunk.trace(*arguments()).jaxpr)


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--examples', type=int, default=50_000, help='number of rows to write and read')
    parser.add_argument('--classes', type=int, default=1000, help='numbers per row')
    parser.add_argument('--steps', type=int, default=100, help='steps per measurement')
    parser.add_argument(
        '--directory', type=pathlib.Path, help='directory on the disk to measure (default: the temporary one)'
    )
    args = parser.parse_args()
    config = load_config(CONFIG)[0]['runs'][RUN]
    with tempfile.TemporaryDirectory(dir=args.directory) as name:
        directory = pathlib.Path(name)
        sides = disk(directory, args.examples, args.classes, config['batch_size'])
        stored = measure.in_turn(sides, args.repeats)
        runs = {side: prepare_run({**config, 'cache': option}, 0, side) for side, option in SIDES.items()}
        trained = measure.in_turn(
            {s: training(prepared, directory, args.steps)[0] for s, prepared in runs.items()}, args.repeats
        )
    size = args.examples * args.classes * 4 / 1e6
    rows = [{'what': side, 'seconds': (s := measure.median(t)), 'MB/s': size / s} for side, t in stored.items()]
    measure.show(f'A cache of {size:,.0f} MB', rows, None)
    live = measure.median(trained['live teacher'])
    speed = [
        {'what': side, 'ms a step': 1e3 * (s := measure.median(t)) / args.steps, 'speed-up': live / s}
        for side, t in trained.items()
    ]
    measure.show('Training steps with the cache', speed, args.out, disk=rows, seconds={**stored, **trained})


if __name__ == '__main__':
    main()
