"""The train step, evaluation and checkpoints on a mesh of eight fake devices."""

import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).parent
CASES = [str(TESTS / file) for file in ('multidevice_cases.py', 'multidevice_decoders.py')]


def test_the_cases_hold_on_eight_devices():
    # The number of CPU devices cannot change once JAX has started, hence a process of its own.
    # Its programs run for a few steps: compiling them is what takes the time.
    quick = {'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}
    environment = {**os.environ, **quick}
    command = [sys.executable, '-m', 'pytest', *CASES, '-p', 'no:cacheprovider', '--tb=short']
    done = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
