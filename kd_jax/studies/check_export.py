"""Checks an exported program against the numbers of its study: it is run on the split that the study measured."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.data.batches import evaluation_view, fetch_batch, padded_batches
from kd_jax.data.splits import example_count
from kd_jax.report.number_format import named
from kd_jax.studies.evaluated_network import EvaluatedNetwork

BATCH_SIZE = 500
# Other devices round otherwise: this share of the examples may be decided otherwise, and other numbers may differ by
# this much, or by four times this share.
SHARE = 0.005
SPLITS = ('test', 'valid', 'train')


def check_program(
    found: EvaluatedNetwork,
    program: Callable[..., Any],
    weights: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, Any],
) -> str:
    """Runs an exported program on a split and compares what its outputs measure with the result of the run.

    Args:
      found: what was exported; with copies, before one of them was taken.
      program: (weights, *inputs) -> outputs.
      weights: its weights; those of each copy if the network has copies, because a result holds their mean.
      arrays: split -> arrays.
    Returns:
      what was found, for example 'checked: 75 errors on test, as in the study', or why nothing could be compared.
    Raises:
      UserError: the numbers differ.
    """
    one, stated = found.evaluation, found.result[found.checkpoint]
    assert one is not None
    split = next((s for s in SPLITS if s in arrays and (stated.get(s) or {}).get(one.name)), '')
    reads = {key: path for key, path in one.reads.items() if path.source == 'batch' or path == found.path}
    parameters = inspect.signature(one.metrics.statistics).parameters
    lacking = [key for key in one.reads if key not in reads and parameters[key].default is inspect.Parameter.empty]
    if not split or lacking:
        return 'not checked: ' + (
            f"'{one.name}' also measures {one.reads[lacking[0]]}, which was not exported"
            if lacking
            else 'the result states no number of a split that the data has'
        )
    there = stated[split][one.name]
    here = _measured(dataclasses.replace(one, reads=reads), found, program, weights, arrays[split])
    for metric, number in here.items():
        unit = one.metrics.stated[metric].unit
        if not _agree(number, there.get(metric, number), unit, example_count(arrays[split])):
            raise UserError(
                f'{found.where}: the exported program measures {named(metric, number, unit)} on {split}, but the study '
                f'says {named(metric, there[metric], unit)}, so nothing was written. Have the data, the checkpoint or '
                'the code of the model changed since?'
            )
    best = one.best if one.best in here else next(iter(here))
    return f'checked: {named(best, here[best], one.metrics.stated[best].unit)} on {split}, as in the study'


def _measured(one: Any, found: EvaluatedNetwork, program: Any, weights: Any, arrays: Any) -> dict[str, float]:
    path, parts = found.path, []

    @jax.jit
    def statistics(batch: Any, out: Any, mask: Any) -> Any:
        context = {'batch': evaluation_view(batch), path.source: {path.name: out}}
        return one.statistics(found.networks, context, mask)

    for positions, mask in padded_batches(arrays, min(BATCH_SIZE, example_count(arrays))):
        batch = fetch_batch(arrays, positions)
        outs = [program(own, *(batch[name] for name in found.inputs)) for own in weights]
        parts.append(jax.device_get(statistics(batch, jnp.stack(outs) if found.network.copies else outs[0], mask)))
    return one.values(jax.tree.map(lambda *own: np.stack(own), *parts))


def _agree(here: float, there: float | None, unit: str, examples: int) -> bool:
    """Whether two numbers are equal up to the rounding of different devices."""
    if there is None or not math.isfinite(here):
        return there is None and not math.isfinite(here)
    slack = {'count': max(1.0, SHARE * examples), 'fraction': max(1 / examples, SHARE)}
    return abs(here - there) <= slack.get(unit, max(SHARE, 4 * SHARE * abs(there)))
