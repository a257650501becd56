"""Installs what is missing from a folder of wheels; imports nothing that is not part of Python."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys
from typing import Any

REQUIREMENTS = pathlib.Path(__file__).parents[2] / 'requirements.txt'


def installed(name: str) -> str | None:
    """The version of an installed package; None if there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def unmet(requirements: str) -> dict[str, str]:
    """For each requirement that this environment does not meet, the package's name and a sentence."""
    sentences = {}
    for line in (line.partition('#')[0].strip() for line in requirements.splitlines()):
        needed: Any = _requirement(line) if line else None
        if needed is None or (needed.marker and not needed.marker.evaluate()):
            continue
        version = installed(needed.name)
        if version is None:
            sentences[needed.name] = f'requirements.txt asks for {needed.name}{needed.specifier}; it is not installed'
        elif not needed.specifier.contains(version, prereleases=True):
            sentences[needed.name] = (
                f'requirements.txt asks for {needed.name}{needed.specifier}; version {version} is installed'
            )
    return sentences


def install_missing(wheels: pathlib.Path, requirements: str, folder: pathlib.Path, seconds: float) -> list[str]:
    """Installs into `folder` what the folder of wheels holds and this environment lacks or has in a wrong version.

    What is installed and not named in the requirements stays as it is, and no dependency is looked for elsewhere.

    Returns:
      the names of what was installed.
    Raises:
      subprocess.SubprocessError: pip failed, or took longer than `seconds`.
    """
    wrong = {_canonical(name) for name in unmet(requirements)}
    held = sorted({_canonical(path.name.split('-')[0]) for path in wheels.glob('*.whl')})
    names = [name for name in held if name in wrong or installed(name) is None]
    if names:
        options = ['--quiet', '--no-index', '--no-deps', '--no-compile', f'--find-links={wheels}', f'--target={folder}']
        command = [sys.executable, '-m', 'pip', 'install', *options, *names]
        subprocess.run(command, check=True, timeout=seconds, capture_output=True, text=True)
    return names


def _canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def _requirement(line: str) -> Any:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        try:
            from pip._vendor.packaging.requirements import Requirement
        except ImportError:
            return None
    return Requirement(line)
