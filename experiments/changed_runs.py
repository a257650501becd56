"""Says what a command does with the runs whose config has changed since they were trained."""

import argparse
from collections.abc import Mapping, Sequence

from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.studies.continued_runs import ChangedRuns, changed_runs
from kd_jax.studies.study import Run, Study, select_runs
from kd_jax.studies.workdir import Workdir


def outdated_runs(
    study: Study,
    runs: Sequence[Run],
    prepared_runs: Mapping[str, PreparedRun],
    workdir: Workdir,
    options: argparse.Namespace,
) -> tuple[ChangedRuns, list[str]]:
    """The runs of a command whose results are out of date, and the sentences that say what it does with them.

    Raises:
      UserError: without `--fresh`, a run has changed in a way with which it cannot continue.
    """
    changed = changed_runs(study, workdir, runs, prepared_runs, options.fresh)
    trained = select_runs(study, options.only, workdir, changed.ids)
    return changed, _sentences(changed, trained, workdir, options.fresh)


def _sentences(changed: ChangedRuns, runs: Sequence[Run], workdir: Workdir, fresh: bool) -> list[str]:
    """One sentence for each kind of run that is trained again or removed, for the plan and for the command.

    Args:
      changed: the runs whose results are out of date.
      runs: the runs that the command trains, those that have changed among them.
      workdir: the work directory, before anything is removed from it.
      fresh: whether the command has `--fresh`.
    """
    trained = {run.id for run in runs}
    there = [run_id for run_id in changed.anew if workdir.has_checkpoints(run_id) or workdir.result(run_id)]
    anew = [run_id for run_id in there if run_id in trained]
    said = {
        'epochs was raised. Continue from the last checkpoint': changed.longer,
        'Only analyses or samples have changed. Continue from the last checkpoint': changed.measured,
        'Start anew (--fresh)' if fresh else 'Start anew, because they need these': anew,
        'Remove and not train, because --only leaves them out': [run_id for run_id in there if run_id not in trained],
    }
    return [f'{what}: {", ".join(run_ids)}.' for what, run_ids in said.items() if run_ids]
