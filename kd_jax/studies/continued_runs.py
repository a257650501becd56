"""Finds what becomes of runs whose config has changed: they continue, are measured again, start anew or are refused."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kd_jax.config.errors import UserError
from kd_jax.config.json_files import flat
from kd_jax.config.references import parse_result
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.run_options import run_option
from kd_jax.studies.stale_runs import (
    changed_leaves,
    difference_in_words,
    forget_runs,
    recorded_config,
    with_dependents,
)
from kd_jax.studies.study import Run, Study
from kd_jax.studies.workdir import Workdir

LONGER, MEASURED = 'longer', 'measured'  # how a run continues although its config has changed
AT_END = {'analyses', 'samples'}  # options of a run that say what is measured after its last step


class ChangedRuns(NamedTuple):
    """The ids of runs whose results are out of date, because a config has changed; each is in one list.

    Attributes:
      longer: runs whose `epochs` have been raised; they continue from their last checkpoints.
      measured: runs of which nothing but `analyses` or `samples` has changed; a finished one is only measured again.
      anew: runs that start anew.
    """

    longer: list[str]
    measured: list[str]
    anew: list[str]

    @property
    def ids(self) -> set[str]:
        return {*self.longer, *self.measured, *self.anew}


def changed_runs(
    study: Study, workdir: Workdir, runs: Sequence[Run], prepared_runs: Mapping[str, PreparedRun], fresh: bool
) -> ChangedRuns:
    """Finds the runs, among `runs`, those they need and those that need these, that are trained or measured again.

    With `fresh`, all runs that have changed start anew. Otherwise a run with larger `epochs` continues, because it
    passes through the same states as a run that had these epochs from the beginning, and so does a run that is only
    measured otherwise after its last step. Runs that need one that is trained again start anew.

    Raises:
      UserError: without `fresh`, a run has changed in a way with which it cannot continue.
    """
    changed = changed_leaves(study, workdir, runs, prepared_runs)
    if fresh:
        return ChangedRuns([], [], with_dependents(study, changed))
    by_id = {run.id: run for run in study.runs}
    kinds: dict[str, list[str]] = {LONGER: [], MEASURED: [], '': []}
    for run_id, leaves in changed.items():
        paths = [leaf.split(':')[0] for leaf in leaves]
        kinds[_how_it_continues(study, workdir, by_id[run_id], paths, prepared_runs)].append(run_id)
    if others := {run_id: changed[run_id] for run_id in kinds['']}:
        raise UserError(
            f'{difference_in_words(others, workdir)} Use --fresh to restart these and the runs that need them, or '
            'another --workdir.'
        )
    trained = set(with_dependents(study, kinds[LONGER]))
    anew = [run.id for run in study.runs if trained & set(run.needed_ids)]
    longer, measured = ([run_id for run_id in kinds[how] if run_id not in anew] for how in (LONGER, MEASURED))
    return ChangedRuns(longer, measured, anew)


def _how_it_continues(
    study: Study, workdir: Workdir, run: Run, paths: Sequence[str], prepared_runs: Mapping[str, PreparedRun]
) -> str:
    """LONGER or MEASURED; '' if the run cannot continue with other values of the options `paths`.

    A run without a checkpoint cannot, nor a run whose model is known only after a transform, nor a run whose changed
    analysis another run reads.

    Raises:
      UserError: a schedule depends on the length of the run, or the run ended where the longer one has no evaluation.
    """
    trained = [path for path in paths if path.split('.')[0] not in AT_END]
    if not workdir.has_checkpoints(run.id) or run.name not in prepared_runs:
        return ''
    if _is_read(study, run.name, set(paths) - set(trained)):
        return ''
    if not trained:
        return MEASURED
    if trained != ['epochs']:
        return ''
    before = recorded_config(workdir.directory(run.id) / 'config.json').get('epochs', 0)
    after = run_option(run.config, 'epochs')
    if not all(isinstance(epochs, int | float) for epochs in (before, after)) or before >= after:
        return ''
    if reason := _reason_against(prepared_runs[run.name], before):
        raise UserError(
            f'{run.id} in {workdir.path} has {before:g} epochs and cannot be trained for longer, because {reason}. Use '
            '--fresh to restart it and the runs that need it, or another --workdir.'
        )
    return LONGER


def _is_read(study: Study, name: str, paths: Collection[str]) -> bool:
    """Whether a run of the study reads one of these leaves of the config of run `name` by a reference to its result."""
    analyses = {tuple(path.split('.')[:2]) for path in paths}
    values = [value for run in study.runs for value in flat(run.config).values() if isinstance(value, str)]
    read = [reference.path[:2] for value in values if (reference := parse_result(value)) and reference.run == name]
    return any(path == analysis[: len(path)] for path in read for analysis in analyses)


def _reason_against(prepared: PreparedRun, before: float) -> str:
    schedule = next((leaf for leaf in flat(prepared.config) if leaf.endswith('/schedule')), '')
    if schedule:
        return f'{schedule.removesuffix("/schedule").replace("/", ".")} is a schedule over the length of the run'
    if round(before * prepared.order.steps_per_epoch) % prepared.eval_steps:
        return f'it ended between two evaluations (eval_every is {run_option(prepared.config, "eval_every"):g})'
    return ''


def remove_outdated(study: Study, workdir: Workdir, changed: ChangedRuns) -> None:
    """Removes runs that start anew, and only the results of runs that continue from their checkpoints.

    After a kill, the same command finds the rest: a run that continues keeps its config.json.
    """
    forget_runs(study, workdir, changed.anew)
    for run_id in (*changed.longer, *changed.measured):
        workdir.remove_result(run_id)
