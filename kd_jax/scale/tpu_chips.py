"""TPU chips: published figures and available slices."""

import dataclasses
import glob
import importlib.util
import math
import os
import re
from collections.abc import Mapping

import jax

from kd_jax.config.errors import UserError, suggest

GIB = 2**30
DOCS = 'https://cloud.google.com/tpu/docs'
FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
CUBE = 4  # larger 3-D slices are made of cubes of 4 x 4 x 4 chips
SMALL = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published figures of one chip.

    Attributes:
      hbm: bytes of memory.
      flops: peak bfloat16 operations per second; JAX's default precision multiplies float32 matrices in bfloat16 too.
      bandwidth: bytes per second between the chip and its HBM.
      interconnect: bytes per second that a chip can send to its neighbours, over all its links together; half of what
        the documentation calls bidirectional bandwidth.
      axes: number of axes of the torus, 2 or 3.
      largest: number of chips of the largest slice.
      source: page that gives these figures.
      devices: JAX devices per chip; TPU7x has two, one for each half of the chip.
      options: options that libtpu needs to describe the chip as JAX sees it.
    """

    hbm: float
    flops: float
    bandwidth: float
    interconnect: float
    axes: int
    largest: int
    source: str
    devices: int = 1
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


CHIPS = {
    # v4 has six links of 50 GB/s: Jouppi et al. (2023), arXiv 2304.01433, table 4.
    'v4': Chip(32 * GIB, 275e12, 1200e9, 300e9, 3, 4096, f'{DOCS}/v4', options={'chip_config_name': 'megacore'}),
    'v5e': Chip(16 * GIB, 197e12, 819e9, 200e9, 2, 256, f'{DOCS}/v5e'),
    'v5p': Chip(95 * GIB, 459e12, 2765e9, 600e9, 3, 6144, f'{DOCS}/v5p'),
    'v6e': Chip(32 * GIB, 918e12, 1638e9, 400e9, 2, 256, f'{DOCS}/v6e'),
    'tpu7x': Chip(192 * GIB, 2307e12, 7380e9, 600e9, 3, 9216, f'{DOCS}/tpu7x', devices=2),
}


# The slices that `--topology=all` compares, from one host to 256 chips.
COMPARED = tuple(
    f'{name}:{"x".join(map(str, shape))}'
    for name, chip in CHIPS.items()
    for shape in (
        ((2, 2), (4, 4), (8, 8), (16, 16)) if chip.axes == 2 else ((2, 2, 1), (2, 2, 4), (4, 4, 4), (4, 8, 8))
    )
)


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice such as 'v5e:4x4'; or fake devices on this machine's processor, such as 'cpu:8', whose `chip` is None."""

    name: str
    shape: tuple[int, ...]
    chip: Chip | None

    @property
    def chips(self) -> int:
        return math.prod(self.shape)


def parse_topology(text: str) -> Topology:
    """Parses the name of a topology.

    Raises:
      UserError: the chip does not exist, or has no such slice.
    """
    match = re.fullmatch(r'(\w+):(\d+(?:x\d+)*)', text.strip().lower())
    if not match:
        raise UserError(f"--topology={text}: a topology looks like 'v5e:4x4', 'v5p:2x2x4', 'cpu:8' or 'all'.")
    name, shape = match[1], tuple(int(size) for size in match[2].split('x'))
    if name == 'cpu':
        if len(shape) != 1 or not shape[0]:
            raise UserError(f"--topology={text}: fake devices have no shape; write 'cpu:8' for eight of them.")
        if shape[0] > (most := max(chip.largest for chip in CHIPS.values())):
            raise UserError(
                f'--topology={text}: no slice of a TPU has more than {most} chips; write at most cpu:{most}.'
            )
        return Topology(f'cpu:{shape[0]}', shape, None)
    if name not in CHIPS:
        raise UserError(f'--topology={text}: there is no chip {name!r}. {suggest(name, [*CHIPS, "cpu"])}')
    chip = CHIPS[name]
    if not _exists(shape, chip):
        offered = FLAT if chip.axes == 2 else SMALL
        shown = ', '.join('x'.join(map(str, sizes)) for sizes in offered)
        more = '' if chip.axes == 2 else f', and multiples of {CUBE} in ascending order up to {chip.largest} chips'
        raise UserError(f'--topology={text}: there is no such slice of {name}; its slices are {shown}{more}.')
    return Topology(f'{name}:{"x".join(map(str, shape))}', shape, chip)


def _exists(shape: tuple[int, ...], chip: Chip) -> bool:
    if chip.axes == 2:
        return shape in FLAT
    cubes = len(shape) == 3 and all(size and size % CUBE == 0 for size in shape) and shape == tuple(sorted(shape))
    return shape in SMALL or (cubes and math.prod(shape) <= chip.largest)


def leave_out_libtpu() -> None:
    """Stops JAX from looking for a TPU on a machine that has libtpu, for preflight, but no accelerator.

    The search would take ten seconds and print messages. If JAX_PLATFORMS is set, or the machine has an accelerator of
    any kind, this function changes nothing.
    """
    kinds = ('accel*', 'vfio/[0-9]*', 'nvidia*', 'kfd')
    accelerators = [path for kind in kinds for path in glob.glob(f'/dev/{kind}')]
    if 'JAX_PLATFORMS' in os.environ or accelerators or not importlib.util.find_spec('libtpu'):
        return
    os.environ['JAX_PLATFORMS'] = 'cpu'  # for processes started from here
    jax.config.update('jax_platforms', 'cpu')
