"""Compares training steps on CPUs under settings of the C library for memory that a program has freed.

  python -m benchmarks.freed_memory --out=benchmarks/results/freed_memory.json

XLA allocates the temporary arrays of a program anew in each call. glibc returns large blocks to the system when they
are freed, and the system clears their pages again when they are next used. With 'huge pages' it clears 2 MiB at a time;
with 'kept' the process keeps what it has freed. Both are environment variables that glibc reads when a process starts,
so each measurement has a process of its own. The processes of the settings take turns. The peak of memory is that of
the whole process, compiling included.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import chunk, language, measure, pairs
from kd_jax.config.config_file import load_config

PROCESSES = 3  # for each setting
STEPS = 20
SETTINGS: dict[str, dict[str, str]] = {
    'default': {},
    'huge pages': {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'},
    'kept': {'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': str(10**12), 'MALLOC_ARENA_MAX': '1'},
}


def mnist() -> chunk.CompiledSteps:
    run = load_config('configs/hinton_mnist.py:paper')[0]['runs']['teacher']
    return chunk.compiled_steps(run, chunk.random_data((28, 28), 10), chunk.random_positions(STEPS, 128), 10)


PROGRAMS: dict[str, Callable[[], chunk.CompiledSteps]] = {
    f'{STEPS} steps of MNIST, 1200-1200': mnist,
    '6 steps of ResNet-56 to ResNet-20': lambda: pairs.in_kd_jax(pairs.resnet(), cached=False),
    'a step of a decoder, 2.7 M': lambda: language.training_step(language.DECODERS[2.7]),
    'a step of a decoder, 17 M': lambda: language.training_step(language.DECODERS[17]),
}


def measured(program: str, repeats: int) -> dict[str, Any]:
    """Measures a program in this process, after one call that is not counted: seconds, and the peak in bytes."""
    run = PROGRAMS[program]().run
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {'seconds': seconds[1:], 'peak': 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def in_own_process(program: str, setting: str, repeats: int) -> dict[str, Any]:
    command = [sys.executable, '-m', 'benchmarks.freed_memory', '--one', program, '--repeats', str(repeats)]
    done = subprocess.run(command, env=os.environ | SETTINGS[setting], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def row(program: str, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Milliseconds and peak of each setting, and its rate over that of the default."""
    own: dict[str, Any] = {'program': program}
    for setting, processes in found.items():
        ms = 1e3 * measure.median([second for each in processes for second in each['seconds']])
        own[f'{setting}, ms'] = ms
        own[f'{setting}, GB'] = measure.median([each['peak'] for each in processes]) / 1e9
        if setting != 'default':
            own[f'{setting}, times as fast'] = own['default, ms'] / ms
    return own


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--programs', nargs='+', choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument('--one', choices=PROGRAMS, help=argparse.SUPPRESS)  # measures here, and prints JSON
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.one, args.repeats)))
        return
    raw: dict[str, Any] = {}
    for program in args.programs:
        raw[program] = {setting: [] for setting in SETTINGS}
        for _ in range(PROCESSES):
            for setting in SETTINGS:
                raw[program][setting].append(in_own_process(program, setting, args.repeats))
    rows = [row(program, found) for program, found in raw.items()]
    measure.show('Steps on CPUs by what the C library does with freed memory', rows, args.out, processes=raw)


if __name__ == '__main__':
    main()
