"""Continues the training of finished runs whose `epochs` have been raised."""

from collections.abc import Mapping, Sequence

from kd_jax.config.errors import UserError
from kd_jax.config.json_files import flat
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.run_options import run_option
from kd_jax.studies.stale_runs import changed_leaves, forget_runs, recorded_config
from kd_jax.studies.study import Run, Study
from kd_jax.studies.workdir import Workdir


def longer_runs(
    study: Study, workdir: Workdir, runs: Sequence[Run], prepared_runs: Mapping[str, PreparedRun]
) -> list[str]:
    """Finds the runs, among `runs` and those they need, whose config differs only in larger `epochs`.

    Such a run continues from its last checkpoint and passes through the same states as a run that had these epochs from
    the beginning. Runs whose models are known only after a transform are left out.

    Returns:
      the ids of these runs.
    Raises:
      UserError: a schedule depends on the length of the run, or the run ended where the longer one has no evaluation.
    """
    changed = changed_leaves(study, workdir, runs, prepared_runs)
    by_id = {run.id: run for run in study.runs}
    longer = []
    for run_id, leaves in changed.items():
        run = by_id[run_id]
        if [leaf.split(':')[0] for leaf in leaves] != ['epochs']:
            continue
        before = recorded_config(workdir.directory(run_id) / 'config.json').get('epochs', 0)
        after = run_option(run.config, 'epochs')
        numbers = all(isinstance(epochs, int | float) for epochs in (before, after))
        raised = numbers and before < after
        if raised and run.name in prepared_runs:
            if reason := _reason_against(prepared_runs[run.name], before):
                raise UserError(
                    f'{run_id} in {workdir.path} has {before:g} epochs and cannot be trained for longer, because '
                    f'{reason}. Use --fresh to restart it and the runs that need it, or another --workdir.'
                )
            longer.append(run_id)
    return longer


def _reason_against(prepared: PreparedRun, before: float) -> str:
    schedule = next((leaf for leaf in flat(prepared.config) if leaf.endswith('/schedule')), '')
    if schedule:
        return f'{schedule.removesuffix("/schedule").replace("/", ".")} is a schedule over the length of the run'
    if round(before * prepared.order.steps_per_epoch) % prepared.eval_steps:
        return f'it ended between two evaluations (eval_every is {run_option(prepared.config, "eval_every"):g})'
    return ''


def train_on(study: Study, workdir: Workdir, ids: Sequence[str]) -> list[str]:
    """Removes the results of these runs, so that they continue from their checkpoints, and the runs that need them.

    Returns:
      the ids of the runs that are trained anew, because they need one of these.
    """
    changed, anew = set(ids), []
    for run in study.runs:
        if changed & set(run.needed_ids):
            changed.add(run.id)
            anew.append(run.id)
    begun = [run_id for run_id in anew if (workdir.directory(run_id) / 'config.json').exists()]
    forget_runs(study, workdir, anew)
    for run_id in set(ids) - set(anew):
        workdir.result_path(run_id).unlink(missing_ok=True)
    return begun
