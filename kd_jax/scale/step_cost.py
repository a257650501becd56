"""The cost of a training step on one chip: memory, lower bound of the time, and whether it fits."""

import dataclasses
from collections.abc import Mapping

from kd_jax.scale.tpu_chips import GIB, Topology


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one training step on one slice; all numbers are for one chip.

    Attributes:
      topology: the slice.
      memory: bytes by purpose: 'parameters' (of all networks that change in training, with their collections),
        'optimizer', 'teacher' (all frozen networks), 'data' (resident examples, and batches on the device that wait
        for training), 'activations' (temporary arrays of the step), 'code', and 'padding' to the chip's tiles. The last
        three are missing if the program did not compile.
      needed: total bytes; None if the compiler did not say.
      available: bytes that a program may use; None for fake devices.
      flops: operations per step.
      accessed: bytes per step that the operations of the program read and write, even if they never leave the chip.
      moved: bytes per step that must be read from or written to HBM in any case: the program's arguments, without
        resident examples, and its results.
      exchanged: the collectives: kind -> (number, bytes sent).
      compiled: whether a compiler has seen the program. If not, `memory` and `moved` are those of its arrays alone,
        `flops` those of its matrix products, and `exchanged` is not known.
    """

    topology: Topology
    memory: Mapping[str, float]
    needed: float | None
    available: float | None
    flops: float = 0.0
    accessed: float = 0.0
    moved: float = 0.0
    exchanged: Mapping[str, tuple[int, float]] = dataclasses.field(default_factory=dict)
    compiled: bool = True

    @property
    def fits(self) -> bool | None:
        """Whether the program fits into the chip's memory; None for fake devices, which have no limit."""
        if self.available is None:
            return None
        return self.needed is not None and self.needed <= self.available

    @property
    def bounds(self) -> dict[str, float]:
        """Seconds per step that each part of the chip needs at its published rate; the largest bounds the step's time.

        'traffic' is not a bound: it is the time of the memory if all bytes of `accessed` came from HBM.
        """
        chip = self.topology.chip
        if chip is None or not self.fits:
            return {}
        of_arrays = {'compute': self.flops / chip.flops, 'memory': self.moved / chip.bandwidth}
        if not self.compiled:
            return of_arrays
        return of_arrays | {
            'interconnect': sum(sent for _, sent in self.exchanged.values()) / chip.interconnect,
            'traffic': self.accessed / chip.bandwidth,
        }

    @property
    def seconds(self) -> float | None:
        """The roofline, a lower bound of the time of a step (Williams, Waterman & Patterson 2009)."""
        return max((s for name, s in self.bounds.items() if name != 'traffic'), default=None)

    @property
    def seconds_with_traffic(self) -> float | None:
        """The same, if every operand of every operation came from HBM; closer to the time of large networks."""
        return max(self.bounds.values(), default=None)


ARRAYS_FIT = 'arrays fit'  # without a compiler, nothing more is known


def verdict(cost: Cost, batch_size: int) -> str:
    """Says in one sentence whether the step fits and, if it does not, what to change."""
    if cost.available is None:
        return 'compiles'
    needed = 'more memory' if cost.needed is None else f'{cost.needed / GIB:.2f} GiB'
    room = f'{cost.available / GIB:.4g} GiB per chip'
    if cost.fits:
        assert cost.needed is not None
        share = cost.needed / cost.available
        if not cost.compiled:
            return (
                f'{ARRAYS_FIT}: {cost.needed / GIB:.2f} of {room} ({share:.0%}). What activations need, the compiler '
                "knows: pip install '.[tpu-preflight]' on a Linux machine."
            )
        return f'fits: {needed} of {room} ({share:.0%})' + (
            ', which leaves little for evaluation' if share > 0.9 else ''
        )
    return f'does not fit: it needs {needed}, but has {room}; {remedy(cost, batch_size)}'


def remedy(cost: Cost, batch_size: int) -> str:
    """Says which part takes most memory and how to reduce it."""
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
        'teacher': "shard it (networks.NAME.sharding='fsdp' with mesh.fsdp=N) or record its outputs once (cache=True)",
        'data': 'stream them: data.resident=False',
        'activations': f'use a batch_size below {batch_size}, more chips, or compute_dtype="bfloat16"',
    }
    return f'{size}: {advice[largest]}.'
