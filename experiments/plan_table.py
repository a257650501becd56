"""The table of `--plan`: the runs of a study, their sizes and states, and the time that is left."""

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Column, Table

from kd_jax.evaluation.evaluations import judge_of
from kd_jax.prepare.prepared_run import PreparedRun, count_parameters
from kd_jax.report.number_format import duration
from kd_jax.studies.continued_runs import ChangedRuns
from kd_jax.studies.study import Run
from kd_jax.studies.workdir import Workdir
from kd_jax.teacher_cache.recording import per_token


def plan_table(
    runs: Sequence[Run],
    groups: Sequence[tuple[Run, ...]],
    prepared_runs: Mapping[str, PreparedRun],
    workdir: Workdir,
    changed: ChangedRuns,
) -> Table:
    """A table of the runs: parameters, steps, group, state, dependencies and, once a run has been timed, the time left.

    A run of `changed` that continues is shown as begun, and one that starts anew as to do. In the column 'group',
    '1: 3' means group 1, which has 3 runs. '?' means that the model of the run is known only after a transform.
    """
    whole = [
        Column(name, no_wrap=True, justify='right' if name in ('parameters', 'steps') else 'left')
        for name in ('parameters', 'steps', 'group', 'state')
    ]
    name, needed = (Column(heading, overflow='fold') for heading in ('run', 'starts from'))
    table = Table(name, *whole, needed, title=str(workdir.path), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    together = [group for group in groups if len(group) > 1]
    grouped = {run.id: f'{number}: {len(group)}' for number, group in enumerate(together, 1) for run in group}
    known = {run.id: prepared_runs[run.name] for run in runs if run.name in prepared_runs}
    kept = {run_id: (workdir.result(run_id) or {'steps': 0})['steps'] for run_id in changed.ids - {*changed.anew}}
    costs = {
        run.id: (known[run.id].total_steps - kept.get(run.id, 0)) * work(known[run.id]) if run.id in known else 0
        for run in runs
    }
    timed = [
        (result['steps'] * work(known[run.id]) if run.id in known else 0, result['seconds'])
        for run in runs
        if (result := workdir.result(run.id)) is not None
    ]
    pace = sum(seconds for _, seconds in timed) / sum(cost for cost, _ in timed) if any(c for c, _ in timed) else None
    left = 0.0
    for run in runs:
        prepared, result = known.get(run.id), None if run.id in changed.ids else workdir.result(run.id)
        begun = run.id not in changed.anew and workdir.has_checkpoints(run.id)
        state = 'finished' if result else 'begun' if begun else 'to do'
        estimate = result['seconds'] if result else None if pace is None else pace * costs[run.id]
        left += estimate or 0.0 if result is None else 0.0
        state += '' if estimate is None else f', {estimate:.0f} s'
        needs = ', '.join(run.needs) if len(run.needs) < 3 else f'{run.needs[0]} and {len(run.needs) - 1} more'
        numbers = (f'{moving_parameters(prepared):,}', f'{prepared.total_steps:,}') if prepared else ('?', '?')
        table.add_row(run.id, *numbers, grouped.get(run.id, ''), state, needs)
    todo = sum(run.id in changed.ids or workdir.result(run.id) is None for run in runs)
    table.caption = f'{todo} of {len(runs)} runs to do' + (f', about {duration(left)}' if pace and todo else '')
    table.caption += f'; best epoch by {judges}' if (judges := _judges(known.values())) else ''
    recorded = [prepared.cache.what for prepared in known.values() if prepared.cache]
    if recorded:
        largest = max(recorded, key=lambda what: what.size)
        table.caption += f'; caches of up to {largest.size / 1e6:.4g} MB each{per_token(largest)}'
    return table


def _judges(prepared_runs: Iterable[PreparedRun]) -> str:
    """The metrics that choose the best epochs: 'student.errors, teacher.errors'; '' without validation examples."""
    with_valid = [prepared for prepared in prepared_runs if 'valid' in prepared.splits.arrays]
    judges = [judge_of(prepared.evaluator.measured.values()) for prepared in with_valid]
    names = list(dict.fromkeys(f'{judge.name}.{judge.best}' for judge in judges if judge))
    return ', '.join(names) if len(names) < 4 else f'{", ".join(names[:3])} and {len(names) - 3} more'


def moving_parameters(prepared: PreparedRun) -> int:
    """Number of parameters of the networks that the run trains, or that its transform makes."""
    made = prepared.recipe.moving if 'transform' in prepared.config else prepared.recipe.trained
    return sum(count_parameters(prepared, network) for network in made)


def work(prepared: PreparedRun) -> float:
    """Estimated relative cost of a step: per example, a trained parameter costs three times as much as a frozen one."""
    trained = moving_parameters(prepared)
    frozen = sum(count_parameters(prepared, network) for network in prepared.recipe.networks) - trained
    return prepared.order.batch_size * (3 * trained + frozen)
