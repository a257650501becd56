"""Executes one group of runs in this process, trainings or transforms, and writes the results."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from kd_jax.config.checked_json import write_checked
from kd_jax.config.disk_errors import disk_errors
from kd_jax.config.errors import UserError
from kd_jax.config.memory_errors import memory_errors
from kd_jax.devices.processes import on_primary
from kd_jax.prepare.check_memory import check_memory
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.studies.prepare_study import prepare_run_of_study
from kd_jax.studies.run_groups import partition_runs
from kd_jax.studies.stale_runs import record_config
from kd_jax.studies.study import Progress, Run, Study
from kd_jax.studies.transform_run import complete_config, names_of_study, run_transform
from kd_jax.studies.workdir import Workdir
from kd_jax.training.active_run import RunToTrain
from kd_jax.training.loop import train_group
from kd_jax.training.stacked_runs import share_equal_data


def execute_group(
    study: Study, group: Sequence[Run], workdir: Workdir, progress: Progress
) -> list[dict[str, Any] | UserError]:
    """Trains one group of runs in this process and writes the results.

    The arguments are plain values and the work directory, so any process that sees the directory can call this.

    Args:
      study: the study.
      group: the runs; finished ones are not trained again.
      workdir: the work directory of the study.
      progress: called with (runs, steps done, total steps, latest losses); `runs` are those that are trained as one
        program.
    Returns:
      for each run, its result or the error that stopped it.
    Raises:
      UserError: as `train_group`.
      Preempted: the process was asked to stop; the same call continues where it stopped.
    """
    grouping = study.about.get('group_runs', 'auto')
    what = f'{study.where}: {group[0].id}' + (f' and {len(group) - 1} more' if len(group) > 1 else '')
    with memory_errors(what), disk_errors(workdir.path), contextlib.ExitStack() as held:
        for run in group:
            held.enter_context(workdir.alone(run.id))
        outcomes: dict[str, Any] = {run.id: workdir.result(run.id) for run in group}
        for run in (run for run in group if outcomes[run.id] is None and 'transform' in run.config):
            with names_of_study(study, workdir):
                outcome = run_transform(study, run, workdir)
            outcomes[run.id] = outcome if isinstance(outcome, UserError) else _write(study, run, outcome, workdir)
        waiting = [run for run in group if outcomes[run.id] is None]
        runs_to_train: list[RunToTrain] = []
        for run in waiting:
            runs_to_train.append(
                _prepare_to_train(study, run, workdir, [run_to_train.prepared for run_to_train in runs_to_train])
            )
        for places in partition_runs([run_to_train.prepared for run_to_train in runs_to_train], grouping):
            together = tuple(waiting[i] for i in places)
            tell = functools.partial(progress, together)
            ended = train_group([runs_to_train[i] for i in places], tell, grouping, caches=workdir.caches)
            for run, outcome in zip(together, ended, strict=True):
                outcomes[run.id] = outcome if isinstance(outcome, UserError) else _write(study, run, outcome, workdir)
    return list(outcomes.values())


def _prepare_to_train(study: Study, run: Run, workdir: Workdir, others: Sequence[PreparedRun]) -> RunToTrain:
    directory = workdir.directory(run.id)
    config = complete_config(study, run, workdir)
    with names_of_study(study, workdir):
        prepared = share_equal_data(prepare_run_of_study(study, run, config), others)
    check_memory(prepared)
    sources = {name: workdir.directory(f'{name}-s{run.seed}') for name in run.needs}
    on_primary(functools.partial(record_config, directory / 'config.json', run.config, prepared))
    return RunToTrain(prepared, directory, sources)


def _write(study: Study, run: Run, result: Mapping[str, Any], workdir: Workdir) -> dict[str, Any]:
    asked = {key: study.about[key] for key in ('command',) if key in study.about}  # the study's command, not a worker's
    result = {'study': study.about['name'], 'run': run.name, 'seed': run.seed, **result, **asked}
    on_primary(functools.partial(write_checked, workdir.result_path(run.id), result))
    return result
