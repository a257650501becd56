"""Outputs of frozen networks, computed once for a split and replayed in place of the live networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kd_jax import step
from kd_jax.data.sources import Arrays
from kd_jax.evaluate import Evaluator
from kd_jax.recipe import Path, Recipe


def record(evaluator: Evaluator, variables: Mapping[str, Any], arrays: Arrays, batch_size: int) -> dict[str, Any]:
    """The split with what the terms read of networks that no gradient passes, under 'recorded', examples leading.

    The pass is made with the batch size of training, so that the replayed outputs are the live ones bit for bit.
    """
    recipe = evaluator.recipe
    paths = tuple(sorted(recorded_paths(recipe), key=str))
    read = evaluator.predict(variables, arrays, paths, batch_size)
    recorded: dict[str, dict[str, np.ndarray]] = {}
    for path, array in zip(paths, read, strict=True):
        lead = np.moveaxis(array, evaluator.stacked_axes(path), 0)
        recorded.setdefault(path.source, {})[path.name] = np.ascontiguousarray(lead)
    return {**arrays, step.RECORDED: recorded}


def recorded_paths(recipe: Recipe) -> set[Path]:
    """What the terms and the trained networks read of frozen networks that see the batch alone."""
    fixed = {network.name for network in step.recordable(recipe)}
    moving = [network for network in recipe.networks if network.name not in fixed]
    read = [path for network in moving for path in network.inputs] + [p for t in recipe.terms for p in t.paths()]
    return {Path(path.source, path.name) for path in read if path.source in fixed}
