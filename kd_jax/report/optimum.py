"""The setting at which a number is best, and how sure that is: a bootstrap over seeds."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kd_jax.report import number_format
from kd_jax.report.result_files import Measure

RESAMPLES = 10_000
ENOUGH = 3  # seeds: the resamples of fewer are too much alike
OUTSIDE = 0.025  # the share of the resamples that the interval leaves out at each end


@dataclasses.dataclass(frozen=True)
class Optimum:
    """The best setting.

    Attributes:
      best: the setting with the best mean over seeds.
      seeds: number of seeds; all settings have them.
      shares: the share of the resamples in which each setting is the best, in ascending order of the settings. Settings
        that tie in a resample share it. For one seed there is nothing to resample, and this is empty.
    """

    best: float
    seeds: int
    shares: Mapping[float, float]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The lowest and the highest setting of the 95% interval; None for one seed."""
        if not self.shares:
            return None
        settings, below = list(self.shares), np.cumsum(list(self.shares.values()))
        low, high = (int(np.argmax(below > edge)) for edge in (OUTSIDE, 1 - OUTSIDE - 1e-9))
        return settings[low], settings[high]

    @property
    def doubt(self) -> str:
        """Why the interval does not show how sure the best setting is; '' if it does.

        Resamples of few seeds are alike: with the spread of real runs, 95% intervals of two seeds hold the best setting
        far less often, and one without width shows only that these seeds agree.
        """
        if self.seeds < ENOUGH:
            fewer = 'is' if self.seeds == 1 else 'are'
            return f'{number_format.seeds(self.seeds)} {fewer} too few for a 95% interval'
        low, high = self.interval or (self.best, self.best)
        return 'the same setting is the best in every resample, so the 95% interval has no width' if low == high else ''


def optimum(measures: Mapping[float, Measure], lower: bool) -> Optimum | None:
    """The setting with the best mean, and the settings that could be it.

    Each resample draws as many seeds as there are, with replacement, and takes the same seeds for every setting: runs
    of one seed share their data, their first weights and their teacher. The percentiles of the best settings give the
    interval (Efron and Tibshirani 1993, section 13.3). It says nothing about other images than those evaluated.

    Args:
      measures: the number at each setting.
      lower: whether lower is better.
    Returns:
      None if there is no seed that all settings have.
    """
    settings = sorted(measures)
    seeds = sorted(set.intersection(*(set(measures[x].by_seed) for x in settings))) if settings else []
    if not seeds:
        return None
    values = np.array([[measures[x].by_seed[seed] for seed in seeds] for x in settings]) * (1 if lower else -1)
    best = settings[int(values.sum(axis=1).argmin())]
    if len(seeds) == 1:
        return Optimum(best, 1, {})
    drawn = np.random.default_rng(0).integers(len(seeds), size=(RESAMPLES, len(seeds)))
    counts = np.stack([(drawn == place).sum(axis=1) for place in range(len(seeds))])
    totals = values @ counts
    ties = np.isclose(totals, totals.min(axis=0), rtol=1e-9, atol=0.0)
    return Optimum(best, len(seeds), dict(zip(settings, (ties / ties.sum(axis=0)).mean(axis=1).tolist(), strict=True)))


def optimum_in_words(found: Optimum) -> str:
    """For example '3 (2 to 5)', the best setting and its interval; '3 (one seed)' without one."""
    if found.interval is None:
        return f'{found.best:,.6g} (one seed)'
    low, high = found.interval
    return f'{found.best:,.6g} ({low:,.6g} to {high:,.6g})'
