"""What is measured of a run, in training and at its end: its result."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from kd_jax import analyses, lookup, packs, provenance, step
from kd_jax.job import Job, read_paths
from kd_jax.step import State

SPLITS = ('train', 'valid', 'test')


def measure(job: Job, state: State, frozen, splits: tuple[str, ...]) -> dict[str, Any]:
    """Every evaluation on those of `splits` that the run has."""
    variables = step.variables(state, frozen)
    present = [split for split in splits if split in job.splits.arrays]
    return {split: job.evaluator.measure(variables, job.splits.arrays[split]) for split in present}


def measure_runs(
    jobs: Sequence[Job], states: Sequence[State], frozen: Sequence[Mapping[str, Any]], splits: tuple[str, ...], by: str
) -> list[dict[str, Any]]:
    """What `measure` gives of each run of a pack; to rounding by 'vmap', on the splits that all have in common."""
    if by != 'vmap':
        return [measure(*run, splits) for run in zip(jobs, states, frozen, strict=True)]
    same = packs.in_common(frozen)
    trained = packs.stacked([step.variables(state, {}) for state in states])
    apart = packs.stacked([{name: tree for name, tree in own.items() if name not in same} for own in frozen])
    variables = {**trained, **apart, **{name: frozen[0][name] for name in same}}
    found: list[dict[str, Any]] = [{} for _ in jobs]
    for split in (split for split in splits if split in jobs[0].splits.arrays):
        arrays = [job.splits.arrays[split] for job in jobs]
        if len(states) > 1 and len(set(packs.alike(arrays))) == 1:
            measured = jobs[0].evaluator.measure_runs(variables, arrays[0], len(states), same)
        else:
            measured = [measure(*run, (split,))[split] for run in zip(jobs, states, frozen, strict=True)]
        for own, numbers in zip(found, measured, strict=True):
            own[split] = numbers
    return found


def of_run(
    job: Job,
    state: State,
    frozen,
    measured: Mapping[str, Any],
    packed: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The result of a run that is at its end, a JSON value.

    Args:
      job: of the run.
      state, frozen: its networks at the end.
      measured: by split, what `measure` gives of them.
      packed: since which step it was trained with how many others as one program; empty for a run that was alone.
      history: rows of evaluations.
    """
    last = {'step': int(state.step), 'epoch': job.total_steps / max(1, job.order.steps_per_epoch)}
    last |= measured
    main = next(iter(job.evaluator.measured), None)
    scored = [row for row in history if row.get('valid')]
    best = max(scored, key=lambda row: row['valid'][main]['accuracy'], default=None)
    if best is not None:
        best = {key: best[key] for key in ('step', 'epoch', 'valid', 'test')}
    return {
        'config': job.config,
        **provenance.of_this_process(),
        'finished': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'parameters': {name: int(sum(a.size for a in jax.tree.leaves(tree))) for name, tree in state.params.items()},
        'steps': job.total_steps,
        'epochs': job.config.get('epochs', 0),
        'examples': {split: len(arrays['id']) for split, arrays in job.splits.arrays.items()},
        'oversampling': job.splits.oversampling,
        'seconds': history[-1]['seconds'] if history else 0.0,
        'packed': list(packed),
        'last': last,
        'best': best,
        'history': history,
        'analyses': {
            name: _analyse(options, job, step.variables(state, frozen))
            for name, options in job.config.get('analyses', {}).items()
        },
    }


def _analyse(options: Mapping[str, Any], job: Job, variables) -> Any:
    function = lookup.named(options['analysis'], analyses, 'analysis', job.where)
    positional, keywords = lookup.signature(function)
    paths = tuple(read_paths(options[key], job.where) for key in positional)
    splits = [s for s in options.get('splits', ('valid', 'test')) if s in job.splits.arrays]
    read = {split: job.evaluator.predict(variables, job.splits.arrays[split], paths) for split in splits}
    arguments = [{split: read[split][i] for split in splits} for i in range(len(positional))]
    return function(*arguments, **{key: options[key] for key in keywords if key in options})
