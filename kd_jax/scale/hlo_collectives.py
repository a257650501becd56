"""Reads the collectives, and the bytes that devices exchange, from the text of a compiled program."""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

KINDS = ('all-reduce', 'reduce-scatter', 'all-gather', 'all-to-all', 'collective-permute')
BITS = {'pred': 8, 'bf16': 16}  # the names of all other types end in the number of bits
OPERATION = re.compile(rf'%(?P<name>\S+) = (?P<type>.*?) (?P<kind>{"|".join(KINDS)})(?P<start>-start)?\(')
# The TPU compiler writes a reduce-scatter as an all-reduce, of which each device keeps a part, in such a computation.
SCATTER = 'all-reduce-scatter'
COMPUTATION = re.compile(r'(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) \(.*\{$')
NAMES = r'%[\w.-]+(?:, %[\w.-]+)*'
CALLED = re.compile(rf'\b(?:calls|to_apply|body|condition|branch_computations)=\{{?({NAMES})')
ITERATIONS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
ARRAY = re.compile(r'\b(pred|bf16|[cfsu]\d+|f8\w+)\[([\d,]*)\]')


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between groups of devices.

    Attributes:
      kind: one of `KINDS`.
      size: bytes of the whole array, before it is scattered or after it is gathered.
      group: number of devices that exchange data with each other.
      times: how often it happens; in a loop, once for each iteration.
    """

    kind: str
    size: int
    group: int
    times: int = 1

    @property
    def sent(self) -> float:
        """The bytes that each device must send at least each time, with any algorithm.

        An all-reduce is a reduce-scatter followed by an all-gather; each sends (group - 1) / group of the array
        (Patarasuk & Yuan 2009, Bandwidth optimal all-reduce algorithms, section 3).
        """
        if self.kind == 'collective-permute':
            return float(self.size)
        return (2 if self.kind == 'all-reduce' else 1) * self.size * (self.group - 1) / self.group


def read_collectives(text: str, devices: int) -> list[Collective]:
    """Returns the collectives of an optimized HLO module; an asynchronous one, which has several lines, counts once.

    A collective in the body of a loop happens once for each iteration; in a loop of unknown length, once.

    Args:
      text: text of the module.
      devices: number of devices that run it, for collectives over all devices.
    """
    found: dict[tuple[Any, ...], Collective] = {}
    times, often, scatters = times_of_computations(text), 1, False
    for line in text.splitlines():
        if match := COMPUTATION.match(line):
            often, scatters = times(match['name']), match['name'].startswith(SCATTER)
        elif match := OPERATION.search(line):
            kind, group = match['kind'], _group(line, devices)
            arrays = _sizes(match['type'])
            if match['start'] and kind != 'all-reduce':
                arrays = arrays[1:2]  # (operand, result, contexts...)
            size = sum(arrays) * (group if kind == 'reduce-scatter' else 1)
            # Unlike collectives may have the same number of a channel.
            channel = re.search(r'channel_id=(\d+)', line)
            key = (kind, channel[1] if channel else match['name'], size)
            kind = 'reduce-scatter' if scatters and kind == 'all-reduce' else kind
            before = found.setdefault(key, Collective(kind, size, group, often))
            found[key] = dataclasses.replace(before, times=max(before.times, often))
    return [one for one in found.values() if one.group > 1]


def times_of_computations(text: str) -> Callable[[str], int]:
    """Makes the function that says how often a computation of a module runs: the bodies of loops several times.

    A loop says its number of iterations, or its condition compares a counter, which begins at 0, with a constant.
    """
    bodies: dict[str, list[str]] = {}
    entry = lines = None
    for line in text.splitlines():
        if match := COMPUTATION.match(line):
            lines = bodies.setdefault(match['name'], [])
            entry = match['name'] if match['entry'] else entry
        elif lines is not None:
            lines.append(line)
    callers: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    for name, own in bodies.items():
        for line in own:
            iterations = _iterations(line, bodies) if ' while(' in line else 1
            for names in CALLED.findall(line):
                for called in names.replace('%', '').split(', '):
                    callers[called].append((name, iterations))

    @functools.cache
    def times(name: str) -> int:
        if name == entry or not callers[name]:
            return 1
        return sum(iterations * times(caller) for caller, iterations in callers[name])

    return times


def _iterations(line: str, bodies: Mapping[str, list[str]]) -> int:
    """The number of iterations of the loop in a line; 1 if it is not known."""
    if known := ITERATIONS.search(line):
        return int(known[1])
    condition = re.search(r'condition=%?([\w.-]+)', line)
    inside = '\n'.join(bodies.get(condition[1], ()) if condition else ())
    limits = set(re.findall(r' = s32\[\]\S* constant\((\d+)\)', inside))
    return int(limits.pop()) if len(limits) == 1 and 'direction=LT' in inside else 1


def by_kind(collectives: list[Collective]) -> dict[str, tuple[int, float]]:
    """Returns, for each kind that occurs, the number of collectives and the bytes that each device sends for them."""
    groups = {kind: [one for one in collectives if one.kind == kind] for kind in KINDS}
    return {
        kind: (sum(one.times for one in group), sum(one.times * one.sent for one in group))
        for kind, group in groups.items()
        if group
    }


def _sizes(types: str) -> list[int]:
    """Returns the bytes of each array of a type, which may be a tuple."""
    return [
        math.prod(map(int, filter(None, shape.split(',')))) * (BITS.get(kind) or _bits(kind)) // 8
        for kind, shape in ARRAY.findall(types)
    ]


def _bits(kind: str) -> int:
    return 8 if kind.startswith('f8') else int(kind[1:])


def _group(line: str, devices: int) -> int:
    """Returns the devices per group, in any notation: {{0,1},{2,3}}, [2,2]<=[4], mesh['x'=2,'y'=2] {'y'}."""
    if match := re.search(r'replica_groups=\{\{([\d,]+)\}', line):
        return len(match[1].split(','))
    if match := re.search(r'replica_groups=\[(\d+),(\d+)\]<=', line):
        return int(match[2])
    if match := re.search(r'replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}', line):
        sizes = {axis: int(size) for axis, size in re.findall(r"'(\w+)'=(\d+)", match[1])}
        # An axis may be cut: 'x':(2)4 is a part of length 4.
        axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", match[2])
        return math.prod(int(part) if part else sizes[axis] for axis, part in axes)
    return devices
