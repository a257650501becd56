"""Measures one GPU in five minutes at most, and writes everything into one file.

  python -m benchmarks.accelerator --out=card.json
  python -m benchmarks.accelerator --out=card.json --wheels=wheels     # no network: missing packages from a folder

Measured are the step of the MNIST study; ResNet-50 to ResNet-18 at the shapes of ImageNet, in bfloat16 and float32; 16
runs as one program and one after another; cached and live teachers; the same steps in PyTorch, where it is installed;
and the tests that touch devices are run. Each part is a process of its own. What a part measured before it failed or
its time was up is kept, with a sentence. This file imports nothing that is not part of Python.
"""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.accelerator import wheels
from benchmarks.accelerator.part_process import outcome
from benchmarks.accelerator.peaks import PEAKS
from benchmarks.accelerator.rates import as_text, with_rates

# Seconds that each part may count on; what a part leaves unused is there for all later ones. One H200 needed these,
# most of PyTorch's for `torch.compile`; the last two parts get what is left. What does not fit runs with --parts.
PARTS = {
    'environment': 12, 'mlp': 14, 'resnet-bfloat16': 56, 'pytorch-mlp': 28, 'pytorch-resnet-bfloat16': 72, 'cache': 16,
    'sweep': 52, 'resnet-float32': 36, 'tests': 12, 'pytorch-resnet-float32': 1,
}  # fmt: skip
PACKAGES = ('jax', 'jaxlib', 'jax-cuda13-plugin', 'jax-cuda12-plugin', 'flax', 'optax', 'numpy', 'torch', 'torchvision')
ENVIRONMENT = {
    'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',  # a process that ends may still hold its memory for a moment
    'TF_CPP_MIN_LOG_LEVEL': '2',
}
ON_CPU = 'JAX found no accelerator: the sizes are tiny, and no number here says anything about speed'


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser('benchmarks.accelerator', description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=pathlib.Path, required=True, help='JSON file for everything that was found')
    parser.add_argument('--wheels', type=pathlib.Path, help='folder of wheels, for packages that are missing here')
    parser.add_argument('--parts', default=','.join(PARTS), help=f'which parts, of {",".join(PARTS)}')
    parser.add_argument('--seconds', type=float, default=300.0, help='time for everything together')
    args = parser.parse_args(argv)
    asked = args.parts.split(',')
    if unknown := [name for name in asked if name not in PARTS]:
        parser.error(f'--parts: there is no {unknown[0]!r}; the parts are {", ".join(PARTS)}')
    if args.wheels and not args.wheels.is_dir():
        parser.error(f'--wheels={args.wheels} is not a folder')
    deadline = time.monotonic() + args.seconds
    found: dict[str, Any] = {'title': 'One accelerator', 'command': command(argv), 'card': card(), 'not measured': {}}
    try:
        write(args.out, found)
    except OSError as error:
        parser.error(f'--out={args.out} cannot be written: {error.strerror}')
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        prepare(found, args.wheels, place / 'site')
        path = os.pathsep.join(filter(None, (name + '/site', os.environ.get('PYTHONPATH'))))
        own = {**ENVIRONMENT, 'PYTHONPATH': path, 'JAX_COMPILATION_CACHE_DIR': name + '/xla'}
        measure_parts(found, asked, deadline, own, args.out)
    print(as_text(found['rows']) if found['rows'] else 'nothing was measured')
    if found['tests']:
        print('tests:', ', '.join(f'{count} {name}' for name, count in Counter(found['tests'].values()).items()))
    for part, sentence in found['not measured'].items():
        print(f'{part}: {sentence}')
    print(f'written: {args.out}')
    return 0 if found['rows'] or found['tests'] else 1


def prepare(found: dict[str, Any], folder: pathlib.Path | None, site: pathlib.Path) -> None:
    """Installs what is missing into `site`, and writes down versions and what does not meet the requirements."""
    requirements = wheels.REQUIREMENTS.read_text('utf-8')
    if folder:
        try:
            found['installed'] = wheels.install_missing(folder, requirements, site, seconds=60.0)
        except (OSError, subprocess.SubprocessError) as error:
            found['not measured']['wheels'] = f'{error} {getattr(error, "stderr", None) or ""}'.strip()
        sys.path.insert(0, str(site))
    found['unmet'] = list(wheels.unmet(requirements).values())
    found['packages'] = {name: wheels.installed(name) for name in PACKAGES}


def measure_parts(
    found: dict[str, Any], parts: list[str], deadline: float, environment: Mapping[str, str], out: pathlib.Path
) -> None:
    """Runs the parts one after another; the file is written after each."""
    measured: list[dict[str, Any]] = []
    found |= {'rows': [], 'tests': {}, 'seconds of parts': {}}
    for number, part in enumerate(parts):
        started = time.monotonic()
        seconds = deadline - started - sum(PARTS[later] for later in parts[number + 1 :])
        if part.startswith('pytorch-') and not found['packages']['torch']:
            lines, wrong = [], 'PyTorch is not installed'
        else:
            lines, wrong = outcome([sys.executable, '-m', 'benchmarks.accelerator.parts', part], seconds, environment)
        for line in lines:
            found |= {name: value for name, value in line.get('facts', {}).items() if name != 'command'}
            measured += [line['row']] if 'row' in line else []
            found['tests'] |= dict([line['test']]) if 'test' in line else {}
        if wrong:
            found['not measured'][part] = wrong
        found['seconds of parts'][part] = time.monotonic() - started
        add_rates(found, measured)
        write(out, found)


def add_rates(found: dict[str, Any], measured: list[dict[str, Any]]) -> None:
    hardware = found.get('hardware', {})
    peak = PEAKS.get(hardware.get('kind'))
    found['peak'] = peak and peak._asdict()
    found['rows'] = with_rates(measured, peak)
    if hardware.get('backend') == 'cpu':
        found['not measured']['accelerator'] = ON_CPU
    elif hardware and not peak:
        found['not measured']['share of peak'] = f'benchmarks/accelerator/peaks.py has no peak of {hardware["kind"]!r}'


def card() -> str | None:
    """Name, driver and memory of the cards, as nvidia-smi tells them; None where there is none."""
    if not (program := shutil.which('nvidia-smi')):
        return None
    asked = [program, '--query-gpu=name,driver_version,memory.total,power.limit', '--format=csv']
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f'nvidia-smi failed: {error}'


def command(argv: list[str]) -> str:
    return shlex.join(['python', '-m', 'benchmarks.accelerator', *argv])


def write(out: pathlib.Path, found: Mapping[str, Any]) -> None:
    """Writes the file completely or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name + '.part')
    beside.write_text(json.dumps(found, indent=1) + '\n', 'utf-8')
    beside.replace(out)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
