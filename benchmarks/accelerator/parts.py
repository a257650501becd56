"""The parts of the benchmark: `python -m benchmarks.accelerator.parts NAME` prints what it measures, a line each.

On a CPU the networks are small and the steps few: that shows that the parts work, not how fast they are.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax

from benchmarks import measure, pairs
from benchmarks.pairs import Pair
from kd_jax.scale.tpu_chips import leave_out_libtpu

Line = dict[str, Any]
REPEATS = 5
TESTS = (
    'tests/devices/test_mesh.py', 'tests/devices/test_memory.py', 'tests/devices/test_platform.py',
    'tests/core/test_placement.py', 'tests/core/test_step.py', 'tests/training/test_chunk_program.py',
)  # fmt: skip


def row(
    of: str, what: str, run: Callable[[], Any], steps: int, images: int | None, flops: float | None, **also
) -> Line:
    """Measures `run`, which trains `steps` steps and waits for them."""
    seconds = measure.in_turn({what: run}, REPEATS)[what]
    named = dict(of=of, what=what, steps=steps, images=images, flops=flops, seconds=seconds)
    return {'row': {'library': 'kd_jax', 'dtype': 'float32', **named, **also}}


def environment(tiny: bool) -> Iterator[Line]:
    """Versions and devices, and the rate of a large matrix product, which no step can exceed by much."""
    from kd_jax.training import provenance

    platform = getattr(jax.devices()[0].client, 'platform_version', None)
    yield {'facts': {**provenance.of_this_process(), 'platform_version': platform}}
    size, times = (64, 2) if tiny else (8192, 20)
    for dtype in ('bfloat16', 'float32'):
        matrix = jax.random.normal(jax.random.key(0), (size, size), dtype) / size**0.5
        run = functools.partial(products, matrix, times)
        yield row('matrix product', f'{size} x {size}', run, times, None, 2.0 * times * size**3, dtype=dtype)


def products(matrix: jax.Array, times: int) -> jax.Array:
    return jax.block_until_ready(_products(matrix, times))


@functools.partial(jax.jit, static_argnums=1)
def _products(matrix: jax.Array, times: int) -> jax.Array:
    return jax.lax.fori_loop(0, times, lambda _, power: power @ matrix, matrix)


def pair_of(name: str, tiny: bool) -> tuple[str, Pair]:
    """The networks of 'mlp', 'resnet-bfloat16' or 'resnet-float32', and what they are called in the file."""
    net, _, dtype = name.partition('-')
    if net == 'mlp':
        return 'MLP 1200-1200 to 800-800', pairs.mlp(steps=4 if tiny else 400)
    pair = pairs.resnet((8, 8), batch_size=4, steps=1) if tiny else pairs.imagenet()
    config = {**pair.config, 'compute_dtype': dtype}
    return 'ResNet-8 to ResNet-8' if tiny else 'ResNet-50 to ResNet-18', dataclasses.replace(pair, config=config)


def steps(name: str, tiny: bool) -> Iterator[Line]:
    """The step of a pair, with a live and with a cached teacher."""
    of, pair = pair_of(name, tiny)
    for cached in (False, True):
        compiled, what = pairs.in_kd_jax(pair, cached), teacher_named(cached)
        dtype = pair.config.get('compute_dtype', 'float32')
        yield row(of, what, compiled.run, pair.steps, pair.batch_size, compiled.flops, dtype=dtype)


def steps_in_pytorch(name: str, tiny: bool) -> Iterator[Line]:
    """The same in PyTorch, compiled where there is a GPU."""
    import torch

    from benchmarks.pytorch import in_pytorch

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_float32_matmul_precision('high')  # TF32, as JAX multiplies by default; cuDNN does so already
    torch.backends.cudnn.benchmark = True  # chooses convolutions by timing them, as XLA does
    of, pair = pair_of(name, tiny)
    for cached in (False, True):
        run = in_pytorch(pair, cached, device, compiled=device == 'cuda')
        dtype = pair.config.get('compute_dtype', 'float32')
        on = dict(library='PyTorch', dtype=dtype, device=device, version=torch.__version__)
        yield row(of, teacher_named(cached), run, pair.steps, pair.batch_size, None, **on)


def teacher_named(cached: bool) -> str:
    return 'cached teacher' if cached else 'live teacher'


def sweep(tiny: bool) -> Iterator[Line]:
    """A step of 16 runs that are trained as one program, and of the same runs one after another."""
    from benchmarks import sweep as sweeps
    from kd_jax.studies.workdir import Workdir

    runs, count = (2, 2) if tiny else (16, 78)
    for width in (30,) if tiny else (30, 800):
        planned = sweeps.plan(runs, 1.0, width)
        images = runs * planned.runs[1].config['batch_size']
        with contextlib.ExitStack() as opened:
            workdir = Workdir(pathlib.Path(opened.enter_context(tempfile.TemporaryDirectory())))
            sweeps.train(planned, planned.runs[:1], workdir, False)
            teacher = workdir.directory('teacher-s0')
            for what, by in sweeps.BATCHINGS.items():
                run, compiling, flops = sweeps.chunk(planned, teacher, by, count, opened)
                yield row(f'{runs} runs of {width}-{width}', what, run, count, images, flops, compiling=compiling)


def cache(tiny: bool) -> Iterator[Line]:
    """The pipeline of training with a live teacher, and with its outputs recorded, in memory or read batch by batch."""
    from benchmarks import cache as caches
    from kd_jax.config.config_file import load_config
    from kd_jax.prepare.prepared_run import prepare_run

    config, count = load_config(caches.CONFIG)[0]['runs'][caches.RUN], 2 if tiny else 100
    if tiny:
        config = {**config, 'data': {**config['data'], 'examples': 1000}}
    with tempfile.TemporaryDirectory() as name:
        for what, option in caches.SIDES.items():
            prepared = prepare_run({**config, 'cache': option}, 0, what)
            run, flops = caches.training(prepared, pathlib.Path(name), count)
            yield row('MNIST, as trained', what, run, count, config['batch_size'], flops)


def tests(tiny: bool) -> Iterator[Line]:
    """The outcome of each test that touches devices, products in full precision."""
    asked = TESTS[:1] if tiny else TESTS
    command = [sys.executable, '-m', 'pytest', '-v', '-p', 'no:cacheprovider', '--tb=line', '-o', 'addopts=', *asked]
    command += ['--import-mode=importlib', '--color=no']
    wanted = {'JAX_PLATFORMS': 'cpu' if tiny else '', 'JAX_DEFAULT_MATMUL_PRECISION': 'highest'}
    own, line = {**os.environ, **wanted}, ''
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
        assert started.stdout
        for line in started.stdout:
            if done := re.match(r'(tests/.*) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b', line):
                yield {'test': list(done.groups())}
    if started.returncode:
        raise SystemExit(f'pytest ended with status {started.returncode}: {line.strip()}')


def main(name: str) -> None:
    leave_out_libtpu()
    tiny = jax.default_backend() == 'cpu'
    if name.startswith('pytorch-'):
        lines = steps_in_pytorch(name.removeprefix('pytorch-'), tiny)
    elif name in ('mlp', 'resnet-bfloat16', 'resnet-float32'):
        lines = steps(name, tiny)
    else:
        lines = {'environment': environment, 'sweep': sweep, 'cache': cache, 'tests': tests}[name](tiny)
    for line in lines:
        print(json.dumps(line), flush=True)


if __name__ == '__main__':
    main(sys.argv[1])
