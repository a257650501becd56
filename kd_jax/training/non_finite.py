"""What to say when a term, the loss or the gradient of a run is not finite: what the cause cannot be, and a remedy.

Data, numbers of the config and weights that are loaded are checked when they are read, so they are finite here.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kd_jax.core.recipe import Recipe
from kd_jax.core.state import Metrics
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.training.scheduled_numbers import numbers_of_step

TOTALS = ('loss', 'grad_norm')
LARGE = 1e4  # A term of a larger weight is named. A finite term of a larger mean shows that the networks diverge.


class NotFinite(NamedTuple):
    """The metric that is not finite first.

    Attributes:
      name: a term, 'loss' or 'grad_norm'; a term, if one is among those of the same step.
      step: its step, counted from 1.
      others: name -> mean of the metrics that are finite at that step.
    """

    name: str
    step: int
    others: Mapping[str, float]


def first_not_finite(chunk: Metrics, done: int) -> NotFinite | None:
    """The metric of a chunk of steps that is not finite first; None if all are finite.

    Args:
      chunk: metrics as (sum, count), each with a leading axis of steps.
      done: the number of steps before the chunk.
    """
    bad = {name: np.flatnonzero(~np.isfinite(summed)) for name, (summed, _) in chunk.items()}
    bad = {name: where for name, where in bad.items() if len(where)}
    if not bad:
        return None
    name = min(bad, key=lambda name: (bad[name][0], name in TOTALS))
    at = bad[name][0]
    means = {other: float(summed[at]) / max(float(count[at]), 1.0) for other, (summed, count) in chunk.items()}
    return NotFinite(name, done + int(at) + 1, {other: mean for other, mean in means.items() if np.isfinite(mean)})


def cause_and_remedy(prepared: PreparedRun, found: NotFinite) -> str:
    """Goes on after "NAME became non-finite at step STEP": what the cause may be, and what to do."""
    if found.name in TOTALS and (heavy := _heavy_terms(prepared, found.step)):
        return f', although every term is finite: lower the weights of the terms ({heavy})'
    if alone := _read_by_no_finite_term(prepared.recipe, found):
        return alone
    if found.step == 1:
        read = (
            ''
            if found.name in TOTALS
            else f'what the term reads ({", ".join(_read_by(prepared.recipe, found.name))}), '
        )
        return (
            f', before the first update, so the learning rate is not the cause: look at {read}the losses and their '
            'numbers; the data and the weights that were loaded are finite'
        )
    return '; lower the learning rate, warm it up or set optimizer.clip=1.0'


def _heavy_terms(prepared: PreparedRun, step: int) -> str:
    """The terms of large weight at a step, with their weights; '' if there are none."""
    scheduled = numbers_of_step(prepared, step).get('terms', {})
    weights = {}
    for term in prepared.recipe.terms:
        constant = prepared.recipe.hparams['terms'][term.name].get('weight')
        weight = scheduled.get(term.name, {}).get('weight', constant)
        if isinstance(weight, int | float) and abs(weight) > LARGE:
            weights[term.name] = weight
    return ', '.join(f"'{name}' has {weight:g}" for name, weight in weights.items())


def _read_by_no_finite_term(recipe: Recipe, found: NotFinite) -> str:
    """What a term reads and no finite term reads, if that narrows the cause down; '' otherwise."""
    read = _read_by(recipe, found.name)
    small = [term.name for term in recipe.terms if abs(found.others.get(term.name, np.inf)) < LARGE]
    fine = [path for path in read if any(path in _read_by(recipe, name) for name in small)]
    if not fine:
        return ''
    rest = ', '.join(path for path in read if path not in fine)
    return (
        f', although terms that read {", ".join(fine)} too are finite: look at {rest + ", and at " if rest else ""}the '
        'loss and its numbers'
    )


def _read_by(recipe: Recipe, name: str) -> list[str]:
    """The activations that a term reads."""
    paths = [path for term in recipe.terms if term.name == name for path in term.paths() if path.source != 'batch']
    return list(dict.fromkeys(f'{path.source}.{path.name}' for path in paths))
