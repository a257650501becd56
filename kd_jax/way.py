"""Which way a program goes over the runs of a pack ('vmap' or 'map', see `packs`): the one that takes less time.

It is measured on the machine at hand, once a process, by a few steps and the evaluation of a few examples.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from kd_jax import feed, packs, program, results
from kd_jax.job import Job
from kd_jax.member import Member

TRIAL, TRIAL_EXAMPLES = 4, 1000  # steps, and examples of an evaluation, by which the ways are timed
TRIAL_SECONDS = 0.2  # that each part is timed, at least twice
TEMPORARY_BYTES = 2**32  # what a vmapped program may need beside its arguments, or it is not tried
SHORT = 1000  # steps of all runs: shorter packs are mapped without being timed
WORTH = 2.0  # times what compiling takes: shorter packs are not timed by both ways

_fastest: list[tuple[Any, str]] = []


def choose(members: Sequence[Member], read: feed.Feed, pack: Any) -> str:
    """The way over the runs of a pack, noted in their positions with the step from which it is taken.

    A pack that goes on goes on as it was. Where the runs are split over devices it is 'vmap' without being measured.
    """
    job, size, done = members[0].job, len(members), members[0].step
    if size == 1:
        by = packs.ALONE
    elif pack in packs.WAYS:
        by = pack
    elif of_before(members):
        by = of_before(members)
    elif job.mesh.shape['stack'] > 1:
        by = 'vmap'
    elif size * (job.total_steps - done) < SHORT:
        by = 'map'
    else:
        key = packs.structure(job.config, job.where), size, read.shared
        by = fastest(key, functools.partial(_trial, members, read))
    for member in members:
        last = (member.position['packed'] or [{}])[-1]
        if (last.get('by', packs.ALONE), last.get('runs', 1)) != (by, size):
            member.position['packed'].append({'from_step': done, 'by': by, 'runs': size})
    return by


def of_before(members: Sequence[Member]) -> str:
    """The way by which these very runs were trained together before; '' if they were not."""
    last = [(member.position['packed'] or [{}])[-1] for member in members]
    ways = {own.get('by', '') if own.get('runs') == len(members) else '' for own in last}
    return ways.pop() if len(ways) == 1 else ''


class Trial(NamedTuple):
    """A way over the runs of a pack, compiled.

    Attributes:
      temporary_bytes: what a few steps need beside their arguments.
      parts: functions that do a part of the work, the first of them those steps, and how many times each is to be done.
    """

    temporary_bytes: int
    parts: Sequence[tuple[Callable[[], Any], float]]


def _trial(members: Sequence[Member], read: feed.Feed, by: str) -> Trial:
    """A few steps, and the evaluation of a few examples, from where the runs are."""
    jobs, states, frozen = zip(*[(member.job, member.state, member.frozen) for member in members], strict=True)
    job, done, left = jobs[0], members[0].step, jobs[0].total_steps - members[0].step
    run_chunk: Any = program.make_run_chunk(job, by, len(jobs), read.shared)
    arguments = read.arguments(*read.positions(done, TRIAL))
    compiled = run_chunk.lower(program.stack_states(jobs, states), *arguments).compile()
    evaluations = -(-left // job.eval_steps)
    examples = {
        split: len(arrays['id']) * (1 if split == 'train' else evaluations)
        for split, arrays in job.splits.arrays.items()
    }
    split = max(examples, key=lambda split: examples[split])
    tried = [_with_few(own, split) for own in jobs]
    return Trial(
        compiled.memory_analysis().temp_size_in_bytes,
        [
            (lambda: compiled(program.stack_states(jobs, states), *arguments), left / TRIAL),
            (
                lambda: results.measure_runs(tried, states, frozen, (split,), by),
                sum(examples.values()) / min(TRIAL_EXAMPLES, len(job.splits.arrays[split]['id'])),
            ),
        ],
    )


def _with_few(job: Job, split: str) -> Job:
    """The job with the first examples of one split alone."""
    few = {name: array[:TRIAL_EXAMPLES] for name, array in job.splits.arrays[split].items()}
    return dataclasses.replace(job, splits=dataclasses.replace(job.splits, arrays={split: few}))


def fastest(key: Any, trial: Callable[[str], Trial]) -> str:
    """The way that takes less time for all that is left to do on this machine; measured once a process for each `key`.

    'vmap' is not tried where it cannot pay for being compiled: if all the work by 'map' takes no longer than `WORTH`
    times what 'map' took to compile. Nor is it run if it needs more than `TEMPORARY_BYTES`.

    Args:
      key: what is packed.
      trial: compiles a way.
    """
    known = next((by for other, by in _fastest if other == key), None)
    if known:
        return known
    started = time.monotonic()
    mapped = trial('map')
    compiling = time.monotonic() - started
    best, seconds = 'map', _seconds(mapped)
    if seconds > WORTH * compiling:
        vmapped = trial('vmap')
        if vmapped.temporary_bytes <= TEMPORARY_BYTES and _seconds(vmapped) < seconds:
            best = 'vmap'
    _fastest.append((key, best))
    return best


def _seconds(trial: Trial) -> float:
    return sum(times * _least(run) for run, times in trial.parts)


def _least(run: Callable[[], Any]) -> float:
    """Seconds of the quickest of several calls, after one that is not counted."""
    jax.block_until_ready(run())
    times: list[float] = []
    while len(times) < 2 or sum(times) < TRIAL_SECONDS:
        started = time.monotonic()
        jax.block_until_ready(run())
        times.append(time.monotonic() - started)
    return min(times)
