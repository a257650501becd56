"""Continues finished runs whose `epochs` have been raised, and measures runs again whose `analyses` have changed."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kd_jax.config.errors import UserError
from kd_jax.config.json_files import flat
from kd_jax.config.references import parse_result
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.run_options import run_option
from kd_jax.studies.stale_runs import changed_leaves, forget_runs, recorded_config
from kd_jax.studies.study import Run, Study
from kd_jax.studies.workdir import Workdir

AT_END = {'analyses', 'samples'}  # options of a run that say what is measured after its last step


class ContinuedRuns(NamedTuple):
    """The ids of runs that continue from their last checkpoints although their config has changed.

    Attributes:
      longer: runs whose `epochs` have been raised.
      measured: runs of which nothing but `analyses` or `samples` has changed; a finished one is only measured again.
    """

    longer: list[str]
    measured: list[str]

    def __bool__(self) -> bool:
        return bool(self.longer or self.measured)


def continued_runs(
    study: Study, workdir: Workdir, runs: Sequence[Run], prepared_runs: Mapping[str, PreparedRun]
) -> ContinuedRuns:
    """Finds the runs, among `runs` and those they need, that continue although their config has changed.

    A run with larger `epochs` passes through the same states as a run that had these epochs from the beginning. What is
    measured after the last step changes no state, so such a run is not trained again. Runs without a checkpoint are left
    out, runs whose models are known only after a transform, and a run whose changed analysis another run reads.

    Raises:
      UserError: a schedule depends on the length of the run, or the run ended where the longer one has no evaluation.
    """
    found = ContinuedRuns([], [])
    by_id = {run.id: run for run in study.runs}
    for run_id, leaves in changed_leaves(study, workdir, runs, prepared_runs).items():
        run = by_id[run_id]
        paths = [leaf.split(':')[0] for leaf in leaves]
        trained = [path for path in paths if path.split('.')[0] not in AT_END]
        if run.name not in prepared_runs or _is_read(study, run.name, set(paths) - set(trained)):
            continue
        if not workdir.has_checkpoints(run_id):
            continue
        if not trained:
            found.measured.append(run_id)
        if trained == ['epochs']:
            before = recorded_config(workdir.directory(run_id) / 'config.json').get('epochs', 0)
            after = run_option(run.config, 'epochs')
            if all(isinstance(epochs, int | float) for epochs in (before, after)) and before < after:
                if reason := _reason_against(prepared_runs[run.name], before):
                    raise UserError(
                        f'{run_id} in {workdir.path} has {before:g} epochs and cannot be trained for longer, because '
                        f'{reason}. Use --fresh to restart it and the runs that need it, or another --workdir.'
                    )
                found.longer.append(run_id)
    return found


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


def continue_runs(study: Study, workdir: Workdir, continued: ContinuedRuns) -> list[str]:
    """Removes the results of these runs, so that they continue from their checkpoints.

    Runs that need one that is trained for longer are removed as a whole.

    Returns:
      the ids of the runs that are trained anew, because they need one that is trained for longer.
    """
    changed, anew = set(continued.longer), []
    for run in study.runs:
        if changed & set(run.needed_ids):
            changed.add(run.id)
            anew.append(run.id)
    begun = [run_id for run_id in anew if (workdir.directory(run_id) / 'config.json').exists()]
    forget_runs(study, workdir, anew)
    for run_id in {*continued.longer, *continued.measured} - set(anew):
        workdir.remove_result(run_id)
    return begun
