"""How certain a difference is between two runs with the same seeds and the same test examples."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kd_jax.config.errors import UserError

LEAST = 1e-300  # p-values below it are 0


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """The mean of a difference over seeds and examples, and its uncertainty.

    Attributes:
      mean: the mean difference.
      over_seeds: the variance of the mean that the choice of the seeds brings.
      over_examples: the variance of the mean that the choice of the examples brings.
      seeds, examples: their numbers.
    """

    mean: float
    over_seeds: float
    over_examples: float
    seeds: int
    examples: int

    @property
    def standard_error(self) -> float:
        return math.sqrt(self.over_seeds + self.over_examples)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of the mean."""
        half = self._critical(0.05) * self.standard_error
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """The probability of a difference at least as large, in either direction, if there is none."""
        from scipy.optimize import brentq
        from scipy.special import stdtr

        if not self.standard_error:
            return 1.0 if self.mean == 0 else 0.0
        found = abs(self.mean) / self.standard_error
        if self._critical(LEAST) <= found:
            return 0.0
        # The critical value is a mean of two, so the probability lies between those with which each is exceeded.
        low, high = sorted(float(2 * stdtr(n - 1, -found)) for n in (self.seeds, self.examples))
        low, high = max(LEAST, low * (1 - 1e-9)), min(1.0, high * (1 + 1e-9))  # the ends are rounded
        return float(brentq(lambda p: self._critical(p) - found, low, high, xtol=LEAST))

    def _critical(self, probability: float) -> float:
        """How many standard errors the mean exceeds with this probability, in either direction, if it is zero."""
        from scipy.special import stdtrit

        parts = ((self.over_seeds, self.seeds - 1), (self.over_examples, self.examples - 1))
        total = self.over_seeds + self.over_examples
        if not total:
            return 0.0
        return sum(part * -float(stdtrit(degrees, probability / 2)) for part, degrees in parts) / total


def paired_difference(own: np.ndarray, other: np.ndarray) -> PairedDifference:
    """The difference of two runs that share seeds and examples.

    This is the bootstrap that draws seeds and examples anew at once (Owen 2007, "The pigeonhole bootstrap", Annals of
    Applied Statistics 1), in closed form. With n seeds its variance of the mean is (n - 1) / n of `over_seeds`, nearly
    all of `over_examples`, and the variance of the rest, which both of these contain already. Two changes make its
    intervals right for few seeds. `over_seeds` is divided by n - 1 instead of n. And the interval is that of Student's
    t, because percentiles of means of three seeds lie between the lowest and the highest seed and cover the truth in
    at most three of four cases. Its critical value is the mean of those for seeds and for examples, weighted by their
    variances (Cochran 1964, "Approximate significance levels of the Behrens-Fisher test", Biometrics 20). Degrees of
    freedom after Satterthwaite would be wrong here: where three seeds lie together by chance, they give thousands of
    degrees, and a p-value below 0.05 / 15 comes up to seven times too often.

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
    return PairedDifference(float(gain.mean()), over_seeds, over_examples, seeds, examples)


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
