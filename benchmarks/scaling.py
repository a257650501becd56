"""Strong and weak scaling of a run's compiled training step, on slices of 1 to 512 TPU v5p chips; needs no TPU.

python -m benchmarks.scaling --out=benchmarks/results/scaling.json
python -m benchmarks.scaling --config=configs/cifar100_kd.py --run=student      # a larger network: minutes per slice

The numbers are not measured times. They are the compiler's figures for one chip, and the lower bound on the time that
follows from the chip's published rates.
"""

import argparse
import importlib.metadata
import math
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax

from benchmarks import measure
from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.visible_text import visible
from kd_jax.data import placeholder_sources
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.scale import preflight, tpu_chips
from kd_jax.scale.tpu_chips import Topology
from kd_jax.studies.study import parse_study

# There is no slice of a single chip; it is the reference for the others.
SLICES = ((1, 1, 1), (2, 2, 1), (2, 2, 4), (4, 4, 4), (4, 8, 8), (8, 8, 8))


def main() -> int:
    parser = argparse.ArgumentParser(description='Strong and weak scaling of the compiled cost')
    parser.add_argument('--out', type=pathlib.Path, help='JSON file for the numbers')
    parser.add_argument('--config', default='configs/hinton_mnist.py', help='config file')
    parser.add_argument('--run', default='student_t4', help='the run whose training step is compiled')
    parser.add_argument('--batch', type=int, default=8192, help='global batch size for strong scaling')
    parser.add_argument('--per_chip', type=int, default=64, help='batch size per chip for weak scaling')
    parser.add_argument('--most', type=int, default=512, help='number of chips of the largest slice')
    options = parser.parse_args()
    jax.config.update('jax_platforms', 'cpu')
    try:
        runs = parse_study(load_config(options.config)[0], options.config).runs
        chosen = next((run for run in runs if run.name == options.run), None)
        if chosen is None:
            raise UserError(
                f'--run={options.run} is not a run of {options.config}. {suggest(options.run, {r.name for r in runs})}'
            )
        slices = [shape for shape in SLICES if math.prod(shape) <= options.most]
        rows = [row('strong', chosen.config, options.batch, shape) for shape in slices]
        rows += [row('weak', chosen.config, options.per_chip * math.prod(shape), shape) for shape in slices]
    except UserError as error:
        print(f'error: {visible(str(error))}')
        return 2
    what = f'{options.config}, run {options.run}: one step, for one chip of v5p'
    libtpu = importlib.metadata.version('libtpu')
    measure.show(what, rows, options.out, source=tpu_chips.CHIPS['v5p'].source, libtpu=libtpu)
    return 0


def row(kind: str, config: Mapping[str, Any], batch_size: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """The cost for one chip of a training step with this global batch size on a slice of this shape."""
    topology = Topology(f'v5p:{"x".join(map(str, shape))}', shape, tpu_chips.CHIPS['v5p'])
    everything = {**config, 'data': {**config['data'], 'examples': 0}}  # large batches need all examples
    changed = {**placeholder_sources.without_data(everything), 'batch_size': batch_size, 'mesh': {}}
    cost = preflight.compile_run(prepare_run(changed, 0, 'scaling', preflight.devices(topology)), topology)
    return {
        'scaling': kind,
        'chips': topology.chips,
        'batch': batch_size,
        'GFLOP': cost.flops / 1e9,
        'HBM MiB': (cost.needed or math.nan) / 2**20,
        'MiB accessed': cost.accessed / 2**20,
        'MiB sent': sum(sent for _, sent in cost.exchanged.values()) / 2**20,
        'collectives': sum(count for count, _ in cost.exchanged.values()),
        'least µs': 1e6 * (cost.seconds or math.nan),
    }


if __name__ == '__main__':
    sys.exit(main())
