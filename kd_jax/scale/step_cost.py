"""The cost of a training step on one chip: memory, least time, and whether it fits."""

import dataclasses
from collections.abc import Mapping

from kd_jax.scale.tpu_chips import GIB, Topology


@dataclasses.dataclass(frozen=True)
class Cost:
    """One training step on one slice; all numbers are for one chip.

    Attributes:
      topology: the slice.
      memory: bytes by what holds them: 'parameters' (of all networks that move, with their collections), 'optimizer',
        'teacher' (all frozen networks), 'data' (resident examples, and what waits to be trained on), 'activations'
        (all that is alive within the step only), 'code', and 'padding' to the chip's tiles. The last three are missing
        if it did not compile.
      needed: bytes in all; None if the compiler gave up without saying.
      available: bytes that a program may use; None for fake devices.
      flops: operations a step.
      accessed: bytes a step that the program's operations read and write, also those that stay on the chip.
      moved: bytes a step that must come from HBM or go there whatever the program does between: its arguments without
        resident examples, and its results.
      exchanged: the collectives, kind -> (how many, bytes sent).
    """

    topology: Topology
    memory: Mapping[str, float]
    needed: float | None
    available: float | None
    flops: float = 0.0
    accessed: float = 0.0
    moved: float = 0.0
    exchanged: Mapping[str, tuple[int, float]] = dataclasses.field(default_factory=dict)

    @property
    def fits(self) -> bool | None:
        """Whether the program fits into the chip's memory; None for fake devices, which have no limit."""
        if self.available is None:
            return None
        return self.needed is not None and self.needed <= self.available

    @property
    def bounds(self) -> dict[str, float]:
        """Seconds a step that each part of the chip needs at its published rate: nothing is faster than the slowest.

        'traffic' is no bound: it is what the memory would need if nothing that `accessed` counts stayed on the chip.
        """
        chip = self.topology.chip
        if chip is None or not self.fits:
            return {}
        return {
            'compute': self.flops / chip.flops,
            'memory': self.moved / chip.bandwidth,
            'interconnect': sum(sent for _, sent in self.exchanged.values()) / chip.interconnect,
            'traffic': self.accessed / chip.bandwidth,
        }

    @property
    def seconds(self) -> float | None:
        """The roofline: no step can take less (Williams, Waterman & Patterson 2009)."""
        return max((s for name, s in self.bounds.items() if name != 'traffic'), default=None)

    @property
    def seconds_with_traffic(self) -> float | None:
        """The same, if every operand of every operation came from HBM: nearer to what large networks take."""
        return max(self.bounds.values(), default=None)


def verdict(cost: Cost, batch_size: int) -> str:
    """'fits', or 'does not fit' and what to change, in one sentence."""
    if cost.available is None:
        return 'compiles'
    needed = 'more than the chip has' if cost.needed is None else f'{cost.needed / GIB:.2f} GiB'
    room = f'{cost.available / GIB:.4g} GiB a chip'
    if cost.fits:
        assert cost.needed is not None
        share = cost.needed / cost.available
        return f'fits: {needed} of {room} ({share:.0%})' + (', little is left for evaluation' if share > 0.9 else '')
    return f'does not fit: {needed}, of {room}; {remedy(cost, batch_size)}'


def remedy(cost: Cost, batch_size: int) -> str:
    """What would save most memory."""
    known = {name: cost.memory[name] for name in ('parameters', 'optimizer', 'teacher', 'data')}
    if 'activations' not in cost.memory and cost.needed is not None:
        known['activations'] = max(0.0, cost.needed - sum(known.values()))
    largest = max(known, key=lambda name: known[name])
    size = (
        f'{largest} take {known[largest] / GIB:.2f} GiB'
        if largest != 'teacher'
        else (f'the teacher takes {known[largest] / GIB:.2f} GiB')
    )
    advice = {
        'parameters': "shard them: networks.NAME.sharding='fsdp' with mesh.fsdp=N",
        'optimizer': "shard it: networks.NAME.sharding='fsdp' with mesh.fsdp=N",
        'teacher': "shard it (networks.NAME.sharding='fsdp' with mesh.fsdp=N) or pay it once (cache=True)",
        'data': 'stream them: data.resident=False',
        'activations': f'use a batch_size below {batch_size}, more chips, or compute_dtype="bfloat16"',
    }
    return f'{size}: {advice[largest]}.'
