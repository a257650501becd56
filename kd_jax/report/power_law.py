"""Fits a + b x^-c to a learning curve, and says where it would end with more data."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kd_jax.report.result_files import Results, curve_over_seeds

LEAST = 4  # points; the fit has three numbers
EXPONENTS = np.geomspace(0.01, 3.0, 600)


class PowerLaw(NamedTuple):
    """y = floor + scale * x^-exponent, floor >= 0, scale > 0; Kaplan et al. (2020), section 1.2, with a floor."""

    floor: float
    scale: float
    exponent: float

    def at(self, x: Any) -> Any:
        return self.floor + self.scale * np.asarray(x, float) ** -self.exponent


def fit_power_law(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> PowerLaw | None:
    """The least-squares fit; None for fewer than four points, or if y does not fall along such a curve.

    It does not if the curve explains less than half of the variance of y. For each exponent of a grid the other two
    numbers have a closed form.

    Args:
      x: what the curve is over, [points]; those at 0, which no power law has, are left out.
      y: the values, [points].
    """
    places, values = np.asarray(x, float), np.asarray(y, float)
    places, values = places[places > 0], values[places > 0]
    if len(places) < LEAST or values.min() == values.max():
        return None
    best, least = None, np.inf
    unit = np.exp(np.mean(np.log(places)))  # so that the columns of the least-squares problem have alike sizes
    for exponent in EXPONENTS:
        column = (places / unit) ** -exponent
        floor, scale = np.linalg.lstsq(np.stack([np.ones_like(column), column], axis=1), values, rcond=None)[0]
        if floor < 0:
            floor, scale = 0.0, column @ values / (column @ column)
        error = np.sum((floor + scale * column - values) ** 2)
        if scale > 0 and error < least:
            best, least = PowerLaw(float(floor), float(scale * unit**exponent), float(exponent)), error
    edge = best is not None and best.exponent in (EXPONENTS[0], EXPONENTS[-1])
    return None if edge or least > 0.5 * np.sum((values - values.mean()) ** 2) else best


class Extrapolation(NamedTuple):
    """Where a learning curve would end: None and a reason if that cannot be told."""

    value: float | None
    words: str


def extrapolated(entry: Mapping[str, Any], results: Results) -> Extrapolation:
    """The claim of kind extrapolation: the value at `times` as many examples as the run has seen.

    The fit is over the evaluations that all seeds have, to the mean over seeds.
    """
    run, _, path = entry['value'].partition(':')
    if run not in results:
        return Extrapolation(None, f'{run} has not been run yet')
    curve = curve_over_seeds(results, run, path.removeprefix('last.'))
    if curve is None:
        return Extrapolation(None, f'{run} has no evaluation with this number')
    law, points = fit_power_law(curve.epochs, curve.mean), np.sum(curve.epochs > 0)
    if law is None:
        return Extrapolation(None, f'no curve a + b·n^−c falls through the {points} evaluations')
    end, seeds = curve.epochs[-1], len(results[run])
    fitted = f'{points} evaluations' + (f', each the mean of {seeds} seeds' if seeds > 1 else '')
    words = (
        f'a + b·n^−c, fitted to {fitted}, has a = {law.floor:.2f} and c = {law.exponent:.2f}; at '
        f'{entry["times"]:g} times as many examples it gives {law.at(end * entry["times"]):.2f}, which is a guess'
    )
    return Extrapolation(float(law.at(end * entry['times'])), words)
