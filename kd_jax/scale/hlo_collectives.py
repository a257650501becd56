"""Reads the collectives, and the bytes that devices exchange, from the text of a compiled program."""

import dataclasses
import math
import re

KINDS = ('all-reduce', 'reduce-scatter', 'all-gather', 'all-to-all', 'collective-permute')
BITS = {'pred': 8, 'bf16': 16}  # the names of all other types end in the number of bits
OPERATION = re.compile(rf'%(?P<name>\S+) = (?P<type>.*?) (?P<kind>{"|".join(KINDS)})(?P<start>-start)?\(')
SCATTER = re.compile(r'ROOT %\S+ = (?P<type>.*?) dynamic-slice\(%(?P<name>[^\s,)]+)')
ARRAY = re.compile(r'\b(pred|bf16|[cfsu]\d+|f8\w+)\[([\d,]*)\]')


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between groups of devices.

    Attributes:
      kind: one of `KINDS`.
      size: bytes of the whole array, before it is scattered or after it is gathered.
      group: number of devices that exchange data with each other.
    """

    kind: str
    size: int
    group: int

    @property
    def sent(self) -> float:
        """The bytes that each device must send at least, with any algorithm.

        An all-reduce is a reduce-scatter followed by an all-gather; each sends (group - 1) / group of the array
        (Patarasuk & Yuan 2009, Bandwidth optimal all-reduce algorithms, section 3).
        """
        if self.kind == 'collective-permute':
            return float(self.size)
        return (2 if self.kind == 'all-reduce' else 1) * self.size * (self.group - 1) / self.group


def read_collectives(text: str, devices: int) -> list[Collective]:
    """Returns the collectives of an optimized HLO module; an asynchronous one, which has several lines, counts once.

    A collective in the body of a loop also counts once, because the number of iterations is not read.

    Args:
      text: text of the module.
      devices: number of devices that run it, for collectives over all devices.
    """
    found: dict[str, Collective] = {}
    key_of: dict[str, str] = {}
    for line in text.splitlines():
        if match := OPERATION.search(line):
            channel = re.search(r'channel_id=(\d+)', line)
            key = channel[1] if channel else match['name']
            key_of[match['name']] = key
            kind, group = match['kind'], _group(line, devices)
            arrays = _sizes(match['type'])
            if match['start'] and kind != 'all-reduce':
                arrays = arrays[1:2]  # (operand, result, contexts...)
            size = sum(arrays) * (group if kind == 'reduce-scatter' else 1)
            found.setdefault(key, Collective(kind, size, group))
        elif (match := SCATTER.search(line)) and (key := key_of.get(match['name'])) in found:
            # The TPU compiler writes a reduce-scatter as an all-reduce; each device then keeps its part.
            found[key] = Collective('reduce-scatter', found[key].size, found[key].group)
    return [one for one in found.values() if one.group > 1]


def by_kind(collectives: list[Collective]) -> dict[str, tuple[int, float]]:
    """Returns, for each kind that occurs, the number of collectives and the bytes that each device sends for them."""
    groups = {kind: [one for one in collectives if one.kind == kind] for kind in KINDS}
    return {kind: (len(group), sum(one.sent for one in group)) for kind, group in groups.items() if group}


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
