"""Compares training steps on CPUs under settings of the C library for memory that a program has freed.

  python -m benchmarks.freed_memory --repeats=5 --out=benchmarks/results/freed_memory.json

XLA allocates the temporary arrays of a program anew in each call. glibc returns large blocks to the system when they
are freed, and the system clears their pages again before they are next used. 'kept': the process keeps what it has
freed. 'huge pages': the system may clear 2 MiB at a time. Both are environment variables that glibc reads when a
process starts, so each measurement has a process of its own. The processes of the settings take turns.

The peak of memory is that of the whole process, compiling included. The share is that of the rate of the best matrix
product, which each process measures in turn with its steps.
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import chunk, language, measure, pairs
from benchmarks.step_time import product_rate, product_sides
from kd_jax.config.config_file import load_config

PROCESSES = 3  # for each setting
STEPS = 20  # of MNIST in a call
SETTINGS: dict[str, dict[str, str]] = {
    'default': {},
    'huge pages': {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'},
    'kept': {'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': str(10**12), 'MALLOC_ARENA_MAX': '1'},
}


def mnist() -> chunk.CompiledSteps:
    run = load_config('configs/hinton_mnist.py:paper')[0]['runs']['teacher']
    return chunk.compiled_steps(run, chunk.random_data((28, 28), 10), chunk.random_positions(STEPS, 128), 10)


def resnet() -> chunk.CompiledSteps:
    return pairs.in_kd_jax(pairs.resnet(), cached=False)


def decoder(size: float) -> chunk.CompiledSteps:
    options = language.DECODERS[size]
    flops = language.step_flops(language.decoder(options), language.ROWS, language.LENGTH)
    return language.training_step(options)._replace(flops=flops)  # as `benchmarks.language` counts


PROGRAMS: dict[str, Callable[[], chunk.CompiledSteps]] = {
    f'{STEPS} steps of MNIST, 1200-1200': mnist,
    'six steps of ResNet-56 to ResNet-20': resnet,
    **{f'a step of a decoder, {size} M': functools.partial(decoder, size) for size in language.DECODERS},
}


def measured(name: str, repeats: int) -> dict[str, Any]:
    """Measures a program in this process: seconds, the peak of memory in bytes, and shares of the best product's rate.

    Steps and matrix products take turns, but the peak is read before the first product.
    """
    steps = PROGRAMS[name]()
    steps.run()
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = measure.in_turn({'steps': steps.run} | product_sides(), repeats)
    rate = product_rate(seconds)
    share = steps.flops / measure.median(seconds['steps']) / rate
    return {'seconds': seconds['steps'], 'peak': peak, 'product GFLOP/s': rate / 1e9, 'share': share}


def in_own_process(name: str, setting: str, repeats: int) -> dict[str, Any]:
    command = [sys.executable, '-m', 'benchmarks.freed_memory', '--one', name, '--repeats', str(repeats)]
    done = subprocess.run(command, env=os.environ | SETTINGS[setting], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def rows_of(name: str, found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """For each setting: milliseconds, rate over that of the default, share and peak; medians."""
    ms = {
        setting: 1e3 * measure.median([second for each in processes for second in each['seconds']])
        for setting, processes in found.items()
    }
    return [
        {
            'program': name, 'freed memory': setting, 'ms': ms[setting], 'times as fast': ms['default'] / ms[setting],
            'share': measure.median([each['share'] for each in processes]),
            'peak, GB': measure.median([each['peak'] for each in processes]) / 1e9,
        }
        for setting, processes in found.items()
    ]  # fmt: skip


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--programs', nargs='+', choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument('--one', choices=PROGRAMS, help=argparse.SUPPRESS)  # measures here, and prints JSON
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.one, args.repeats)))
        return
    raw: dict[str, Any] = {}
    for name in args.programs:
        raw[name] = {setting: [] for setting in SETTINGS}
        for _ in range(PROCESSES):
            for setting in SETTINGS:
                raw[name][setting].append(in_own_process(name, setting, args.repeats))
    rows = [row for name, found in raw.items() for row in rows_of(name, found)]
    measure.show('Steps on CPUs by what the C library does with freed memory', rows, args.out, processes=raw)


if __name__ == '__main__':
    main()
