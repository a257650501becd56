"""Checksums of weights from outside a study, by which it notices that a file or directory was replaced."""

import functools
import pathlib
import zlib
from collections.abc import Sequence

from kd_jax.config.errors import UserError
from kd_jax.config.ordinary_files import open_ordinary
from kd_jax.config.references import DIRECTORIES, RunDirectory, RunReference, WeightsFile, parse_init
from kd_jax.core.network import Network

PART = 2**24  # bytes that are read at once


def weight_checksums(networks: Sequence[Network]) -> dict[str, str]:
    """A CRC-32 of the weights of each network that starts from a file or a directory, by network.

    '' if the weights cannot be read; loading them says why. A network that starts from a run of the study has none,
    because a study compares the config and the data of that run.
    """
    origins = {network.name: parse_init(network.init) for network in networks if network.init}
    return {name: _checksum(origin) for name, origin in origins.items() if not isinstance(origin, RunReference)}


def _checksum(origin: WeightsFile | RunDirectory) -> str:
    try:
        found = 0
        for name, file in _files(origin):
            status = file.stat()
            known = _of_file(file, status.st_size, status.st_mtime_ns)
            found = zlib.crc32(f'{name} {known}'.encode(errors='surrogateescape'), found)
        return f'crc32:{found:08x}' if found else ''
    except (OSError, UserError):
        return ''


def _files(origin: WeightsFile | RunDirectory) -> list[tuple[str, pathlib.Path]]:
    """The files that are read, with their names below the directory; a file on its own has the name ''."""
    if isinstance(origin, RunDirectory):
        directory = origin.directory / DIRECTORIES[origin.checkpoint]
        found = [path for path in directory.rglob('*') if path.is_file()]
    else:
        directory = pathlib.Path(origin.file)
        if not directory.is_dir():
            return [('', directory)]
        found = [path for path in directory.iterdir() if path.suffix == '.safetensors' or path.name == 'config.json']
    return sorted((path.relative_to(directory).as_posix(), path) for path in found)


@functools.lru_cache(maxsize=4096)
def _of_file(path: pathlib.Path, size: int, modified: int) -> int:
    """The CRC-32 of a file; the runs of a study often start from one file, which is read again only if it changed."""
    found = 0
    with open_ordinary(path) as file:
        while part := file.read(PART):
            found = zlib.crc32(part, found)
    return found
