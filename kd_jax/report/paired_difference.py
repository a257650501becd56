"""How certain a difference is between two runs with the same seeds and the same test examples."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kd_jax.config.errors import UserError


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """The mean of a difference over seeds and examples, and its uncertainty.

    Attributes:
      mean: the mean difference.
      over_seeds: the variance of the mean that the choice of the seeds brings.
      over_examples: the variance of the mean that the choice of the examples brings.
      degrees: degrees of freedom of the sum of these variances.
    """

    mean: float
    over_seeds: float
    over_examples: float
    degrees: float

    @property
    def standard_error(self) -> float:
        return math.sqrt(self.over_seeds + self.over_examples)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of the mean."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.degrees, 0.975)) * self.standard_error
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """The probability of a difference at least as large, in either direction, if there is none."""
        from scipy.special import stdtr

        if not self.standard_error:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * stdtr(self.degrees, -abs(self.mean) / self.standard_error))


def paired_difference(own: np.ndarray, other: np.ndarray) -> PairedDifference:
    """The difference of two runs that share seeds and examples.

    This is the bootstrap that draws seeds and examples anew at once (Owen 2007, "The pigeonhole bootstrap", Annals of
    Applied Statistics 1), in closed form. With n seeds its variance of the mean is (n - 1) / n of `over_seeds`, nearly
    all of `over_examples`, and the variance of the rest, which both of these contain already. Two changes make its
    intervals right for few seeds. `over_seeds` is divided by n - 1 instead of n. And the interval is that of Student's
    t, with degrees of freedom after Satterthwaite (1946), because percentiles of means of three seeds lie between the
    lowest and the highest seed and cover the truth in at most three of four cases. The rest counts twice, so that the
    interval is rather too wide than too narrow.

    Args:
      own: 1 for a correct answer and 0 for a wrong one, or a share of several copies, [seeds, examples].
      other: those of the run to compare with, of the same shape and in the same order.
    Raises:
      UserError: the shapes differ, or there are fewer than two seeds or examples.
    """
    if own.shape != other.shape or own.ndim != 2 or min(own.shape) < 2:
        raise UserError(
            f'a difference needs two arrays [seeds, examples] of one shape, with at least two of each, but these have '
            f'shapes {list(own.shape)} and {list(other.shape)}.'
        )
    gain = own.astype(np.float64) - other
    seeds, examples = gain.shape
    over_seeds = float(gain.mean(axis=1).var(ddof=1)) / seeds
    over_examples = float(gain.mean(axis=0).var(ddof=1)) / examples
    spread = over_seeds**2 / (seeds - 1) + over_examples**2 / (examples - 1)
    degrees = (over_seeds + over_examples) ** 2 / spread if spread else seeds - 1.0
    return PairedDifference(float(gain.mean()), over_seeds, over_examples, degrees)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that are corrected for their number, in the order given.

    Holm (1979): the smallest of m p-values is multiplied by m, the next one by m - 1, and so on; none becomes smaller
    than one before it, or larger than 1. If those below 0.05 count as found, the probability that any of them is false
    is at most 0.05, whatever depends on what.
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = least
    return corrected
