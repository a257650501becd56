"""Compares numbers of runs: the baseline, gains over it seed by seed, and the best of several numbers."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from kd_jax.config.errors import UserError
from kd_jax.config.references import RunReference, parse_init
from kd_jax.report.path_words import Difference, differs
from kd_jax.report.result_files import Measure, Results, on_common_seeds

Mark = Literal['best', 'level', '']


@dataclasses.dataclass(frozen=True)
class Gain:
    """How much better a number is than the baseline's: positive is better, whichever way the metric goes.

    Attributes:
      mean: the mean over the seeds that both have; the difference of the two means if they have none in common.
      by_seed: the gain of each seed that both have; None without such seeds.
    """

    mean: float
    by_seed: Measure | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean gain, see `Measure.interval`; None without common seeds."""
        return self.by_seed.interval if self.by_seed else None

    @property
    def is_certain(self) -> bool:
        """Whether the 95% interval leaves zero out."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def gain_over(own: Measure, baseline: Measure, better: str) -> Gain:
    """The gain of `own` over `baseline`; `better` is 'lower' or 'higher'."""
    sign = -1 if better == 'lower' else 1
    paired = own.over(baseline)
    by_seed = Measure({seed: sign * value for seed, value in paired.by_seed.items()}) if paired else None
    return Gain(by_seed.mean if by_seed else sign * (own.mean - baseline.mean), by_seed)


class Measured(NamedTuple):
    """What a number measures: its value path, and of a count on how many examples it is counted, if that is known."""

    path: str
    examples: float | None = None

    def apart(self, other: 'Measured') -> Difference:
        """In what it differs from another one; the number of examples matters to counts alone, which grow with it."""
        others = None not in (self.examples, other.examples) and self.examples != other.examples
        return differs(self.path, other.path) or ('examples' if others else '')


def apart(measured: Sequence[Measured | None], baseline: int | None) -> list[Difference]:
    """In what each number of a column differs from the baseline's, or without one from what most of them measure.

    Args:
      measured: what each row measures; None if it has no number.
      baseline: the row of the baseline, if there is one.
    """
    found = [own for own in measured if own]
    against = None if baseline is None else measured[baseline]
    against = against or max(found, key=lambda own: sum(not own.apart(other) for other in found), default=None)
    return [own.apart(against) if own and against else '' for own in measured]


def best_of(measures: Sequence[Measure], better: str | None) -> list[int]:
    """The places of the best mean and its equals, over the seeds that all have: other seeds may be easier or harder.

    None if there is no such seed. Higher is better unless `better` is 'lower'.
    """
    means = [measure.mean for measure in on_common_seeds(measures)] if measures else []
    best = (min if better == 'lower' else max)(means, default=None)
    return [place for place, mean in enumerate(means) if mean == best]


def marks(measures: Sequence[Measure | None], better: str | None) -> list[Mark]:
    """Marks the best of several numbers of one column.

    Returns:
      'best' for the best mean and its equals, see `best_of`; 'level' for a number whose difference from the best, seed
      by seed, has a 95% interval that does not lie below zero; '' for the others, and for all if fewer than two have a
      number, if these have no seed in common, or if no way is the better one.
    """
    found = {place: measure for place, measure in enumerate(measures) if measure}
    best = [list(found)[place] for place in best_of(list(found.values()), better)]
    if len(found) < 2 or better is None or not best:
        return [''] * len(measures)
    behind = {place: gain_over(measure, found[best[0]], better).interval for place, measure in found.items()}
    level = [place for place, interval in behind.items() if interval and interval[1] >= 0]
    return ['best' if place in best else 'level' if place in level else '' for place in range(len(measures))]


def teachers(results: Results) -> set[str]:
    """The runs that only teach: a frozen network of another run starts from them, and they have no such network."""
    taught_by = {run: _frozen_from(next(iter(seeds.values())).get('config')) for run, seeds in results.items()}
    return {run for own in taught_by.values() for run in own if not taught_by.get(run)}


def find_baseline(runs: Mapping[str, str], results: Results) -> str | None:
    """Finds the row that the others are compared with, if the report does not name it.

    It is the row of the run called 'baseline'. Without one, it is the only row whose run trains a single network, from
    nothing, and teaches no other run. If several rows fit, there is none.

    Args:
      runs: the run of each row, by the row's key.
      results: the results of the study.
    """
    named = [row for row, run in runs.items() if run == 'baseline']
    if named:
        return named[0] if len(named) == 1 else None
    teaching = teachers(results)
    alone = [row for row, run in runs.items() if run in results and run not in teaching and _alone(results[run])]
    return alone[0] if len(alone) == 1 else None


def _alone(seeds: Mapping[int, Mapping[str, Any]]) -> bool:
    networks = _networks(next(iter(seeds.values())).get('config'))
    return len(networks) == 1 and not any(network.get('init') for network in networks)


def _networks(config: Any) -> list[Mapping[str, Any]]:
    networks = config.get('networks') if isinstance(config, Mapping) else None
    every = networks.values() if isinstance(networks, Mapping) else ()
    return [network for network in every if isinstance(network, Mapping)]


def _frozen_from(config: Any) -> set[str]:
    """The runs that the frozen networks of a config start from."""
    found = set()
    for network in _networks(config):
        init = network.get('init')
        if network.get('update') == 'frozen' and isinstance(init, str) and init:
            with contextlib.suppress(UserError):
                reference = parse_init(init)
                found |= {reference.run} if isinstance(reference, RunReference) else set()
    return found
