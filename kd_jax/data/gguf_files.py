"""Reads GGUF files, the format of llama.cpp: their fields, and where each tensor lies.

Such files come from anywhere, so no length in them is believed: what a file claims beyond its end is refused before it
takes memory.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np

from kd_jax.config.ordinary_files import open_ordinary, size_of

T = TypeVar('T')
MAGIC, VERSIONS = b'GGUF', (2, 3)
NUMBERS = {  # by the number of the type
    0: '<u1', 1: '<i1', 2: '<u2', 3: '<i2', 4: '<u4', 5: '<i4', 6: '<f4', 7: '?', 10: '<u8', 11: '<i8', 12: '<f8',
}  # fmt: skip
STRING, ARRAY = 8, 9
AXES = 4
ALIGNMENT, MAX_ALIGNMENT = 32, 2**16


class GgufTensor(NamedTuple):
    """A tensor of a file.

    Attributes:
      shape: its shape as NumPy has it, rows first; 1 to 4 axes.
      kind: the number of its type.
      start: its first byte in the file.
    """

    shape: tuple[int, ...]
    kind: int
    start: int


class GgufFile(NamedTuple):
    """A file without the values of its tensors.

    Attributes:
      path: its path.
      size: its size in bytes.
      fields: numbers, truth values, texts, and lists of them, by name.
      tensors: the tensors by name.
    """

    path: str
    size: int
    fields: dict[str, Any]
    tensors: dict[str, GgufTensor]


def read_gguf(path: str) -> GgufFile:
    """Reads all of a file but the values of its tensors.

    Raises:
      UserError: it is not an ordinary file.
      OSError: it is missing or cannot be read.
      ValueError: it is no GGUF file, truncated or damaged; the message is part of a sentence about the file.
    """
    with open_ordinary(path) as opened:
        file = _Reader(opened)
        if (begins := file.take(len(MAGIC))) != MAGIC:
            raise ValueError(f'it begins with {begins!r}, not with {MAGIC!r}')
        (version,) = file.numbers('<u4', 1)
        if version not in VERSIONS:
            raise ValueError(f'it has version {version}, but only {" and ".join(map(str, VERSIONS))} are known')
        tensors, fields = file.numbers('<u8', 2)
        found = _unlike(file.field() for _ in range(fields))
        placed = _unlike(file.tensor() for _ in range(tensors))
        alignment = found.get('general.alignment', ALIGNMENT)
        if not isinstance(alignment, int) or not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
            raise ValueError(f'its general.alignment is {alignment!r}, which is no power of 2 up to {MAX_ALIGNMENT}')
        begin = -(-file.at // alignment) * alignment
        moved = {name: tensor._replace(start=begin + tensor.start) for name, tensor in placed.items()}
        return GgufFile(path, file.size, found, moved)


def tensor_bytes(file: GgufFile, sizes: Mapping[int, tuple[int, int]]) -> dict[str, int]:
    """The number of bytes of each tensor.

    Args:
      file: the file.
      sizes: of each type that is known, how many weights a block has, and how many bytes.
    Raises:
      ValueError: a type is not known, or a tensor does not lie in the file or overlaps another one.
    """
    found = {}
    for name, tensor in file.tensors.items():
        if tensor.kind not in sizes:
            raise ValueError(f'{name} has the type of tensors number {tensor.kind}, which is not known')
        weights, size = sizes[tensor.kind]
        if tensor.shape[-1] % weights:
            raise ValueError(f'{name} has rows of {tensor.shape[-1]} weights, but its type has blocks of {weights}')
        found[name] = math.prod(tensor.shape) // weights * size
        if tensor.start + found[name] > file.size:
            raise ValueError(f'{name} ends at byte {tensor.start + found[name]:,}, and the file at {file.size:,}')
    placed = sorted(found, key=lambda name: file.tensors[name].start)
    for name, after in itertools.pairwise(placed):
        if file.tensors[name].start + found[name] > file.tensors[after].start:
            raise ValueError(f'{name} and {after} overlap')
    return found


def _unlike(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """A dictionary of pairs, whose names must differ."""
    found: dict[str, T] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f'{name!r} is there twice')
        found[name] = value
    return found


class _Reader:
    """Reads a file from its begin; every step takes bytes, so no count in the file keeps it busy beyond its end."""

    def __init__(self, opened: IO[bytes]):
        self.opened, self.size, self.at = opened, size_of(opened), 0

    def take(self, count: int) -> bytes:
        if count > self.size - self.at:
            raise ValueError(f'at byte {self.at:,} it claims {count:,} bytes, but it has {self.size:,} in all')
        self.at += count
        return self.opened.read(count)

    def numbers(self, kind: str, count: int) -> list[Any]:
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize), kind).tolist()

    def text(self) -> str:
        (count,) = self.numbers('<u8', 1)
        begin = self.at
        try:
            return self.take(count).decode('utf-8')
        except UnicodeDecodeError as error:
            raise ValueError(f'at byte {begin + error.start:,} is a text that is not UTF-8') from error

    def field(self) -> tuple[str, Any]:
        name = self.text()
        (kind,) = self.numbers('<u4', 1)
        if kind != ARRAY:
            return name, self.values(name, kind, 1)[0]
        (kind,), (count,) = self.numbers('<u4', 1), self.numbers('<u8', 1)
        return name, self.values(name, kind, count)

    def values(self, name: str, kind: int, count: int) -> list[Any]:
        if kind == STRING:
            return [self.text() for _ in range(count)]
        if kind not in NUMBERS:
            raise ValueError(f'the field {name!r} has values of type number {kind}, which is not known')
        return self.numbers(NUMBERS[kind], count)

    def tensor(self) -> tuple[str, GgufTensor]:
        name = self.text()
        (axes,) = self.numbers('<u4', 1)
        if not 1 <= axes <= AXES:
            raise ValueError(f'{name} has {axes:,} axes, but a tensor has 1 to {AXES}')
        shape = self.numbers('<u8', axes)
        if 0 in shape:
            raise ValueError(f'{name} has no weights')
        (kind,), (start,) = self.numbers('<u4', 1), self.numbers('<u8', 1)
        return name, GgufTensor(tuple(shape[::-1]), kind, start)
