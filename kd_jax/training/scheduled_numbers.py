"""The learning rates and the scheduled numbers of a run, for its log."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kd_jax.config.hyperparameters import value_at
from kd_jax.core.recipe import Recipe
from kd_jax.prepare.prepared_run import PreparedRun


def numbers_of_step(prepared: PreparedRun, step: int) -> dict[str, dict[str, dict[str, float]]]:
    """The learning rates, and every other number that a schedule drives, as training step number `step` used them.

    They are computed on the host from the config, so no training program changes.

    Args:
      prepared: the run.
      step: the number of the step, counted from 1.
    Returns:
      'optimizers', 'terms', 'networks' or 'follow' -> network or term -> number -> value. What is empty is left out.
    """
    progress: Any = np.float32(step - 1) / np.float32(prepared.total_steps)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for section, name, schedules in _driven(prepared.recipe):
        if schedules:
            numbers = prepared.recipe.hparams[section][name]
            values = {key: float(value_at(schedule, numbers[key], progress)) for key, schedule in schedules.items()}
            found.setdefault(section, {})[name] = values
    return found


def _driven(recipe: Recipe) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """For each owner of numbers: its section of `hparams`, its name, and the schedule of each number to log."""
    for network in recipe.networks:
        if network.optimizer is not None:
            schedules = network.optimizer.schedules
            yield 'optimizers', network.name, {k: s for k, s in schedules.items() if s or k == 'learning_rate'}
        if network.follow is not None and network.follow.schedule:
            yield 'follow', network.name, {'decay': network.follow.schedule}
        yield 'networks', network.name, network.schedules
    for term in recipe.terms:
        yield 'terms', term.name, {key: schedule for key, schedule in term.schedules.items() if schedule}
