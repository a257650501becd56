"""Finds and removes runs that were made with another config."""

import json
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kd_jax.config.checked_json import read_checked, write_checked
from kd_jax.config.file_schemas import Anything
from kd_jax.config.json_files import flat, json_value
from kd_jax.config.ordinary_files import refuse_links
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.report.asked_runs import differing_leaves
from kd_jax.studies.study import Run, Study
from kd_jax.studies.workdir import Workdir

# Keys of a run's config.json, where they are no options of the config, and of its result.
DATA, WEIGHTS = 'data_checksum', 'weight_checksums'


def changed_leaves(
    study: Study, workdir: Workdir, runs: Sequence[Run], prepared_runs: Mapping[str, PreparedRun] | None = None
) -> dict[str, list[str]]:
    """Finds the runs, among `runs` and those they need, that were made with another config, other data or weights.

    Args:
      study: the study.
      workdir: its work directory.
      runs: the runs that are asked for.
      prepared_runs: run name -> prepared run; the data and weights of the runs that it lacks are not compared.
    Returns:
      run id -> the leaves that differ, as 'path: value in the work directory -> value here'. A run of which only the
      result is left is compared by the config in the result. A run that has checkpoints and no record of its config
      counts as one that differs. A run without a checkpoint and without a result has not begun, and is left out.
    """
    changed = {}
    wanted = {run.id for run in runs}
    for run in reversed(study.runs):
        if run.id in wanted:
            wanted |= set(run.needed_ids)
    for run in (run for run in study.runs if run.id in wanted):
        path = workdir.directory(run.id) / 'config.json'
        begun, result = workdir.has_checkpoints(run.id), workdir.result(run.id)
        if not begun and result is None:
            continue
        if path.exists():
            recorded = recorded_config(path)
            leaves = _leaves_of_config(recorded, run)
        elif begun or result is None:
            leaves, recorded = [f'{path}: it is missing, and it alone tells what was trained (put a copy back)'], {}
        else:
            leaves, recorded = _leaves_of_result(result, run), result
        if prepared := (prepared_runs or {}).get(run.name):
            leaves += _replaced(recorded, prepared)
        if leaves:
            changed[run.id] = leaves
    return changed


def _replaced(recorded: Mapping[str, Any], prepared: PreparedRun) -> list[str]:
    """What was replaced since a run was started: its data, weights that it starts from. Unknown is not replaced."""
    before, now = recorded.get(DATA), prepared.splits.checksum
    other = before and now and before != now
    leaves = ['data: the source gives other arrays than when the run was started'] if other else []
    known = recorded.get(WEIGHTS) or {}
    for name, own in (prepared.weight_checksums if known else {}).items():  # without need they are not read
        if own and known.get(name) and known[name] != own:
            leaves.append(f'networks.{name}.init: it has other weights than when the run was started')
    return leaves


def _leaves_of_config(recorded: Mapping[str, Any], run: Run) -> list[str]:
    there, here = _experiment(recorded), _experiment(_plain(run.config))
    return [
        f'{key.replace("/", ".")}: {there.get(key, "absent")!r} -> {here.get(key, "absent")!r}'
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]


def _leaves_of_result(result: Mapping[str, Any], run: Run) -> list[str]:
    differing = differing_leaves(_plain(run.config), result['config'])
    return [f'{path}: {before} -> {now}' for path, before, now in differing]


def record_config(path: pathlib.Path, config: Mapping[str, Any], prepared: PreparedRun) -> None:
    """Writes the config of a run, and the checksums of its data and of weights from outside, when the run starts."""
    write_checked(path, {**config, DATA: prepared.splits.checksum, WEIGHTS: prepared.weight_checksums})


def recorded_config(path: pathlib.Path) -> dict[str, Any]:
    """The config of a run in the work directory.

    Raises:
      UserError: the file cannot be read as a config.
    """
    mend = f'delete {path.parent} and the result of this run, and run the same command again'
    return read_checked(path, Anything, mend).content


def _experiment(config: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a run's config that its numbers depend on: all except `resources` and `seeds`."""
    return flat({key: value for key, value in config.items() if key not in ('resources', 'seeds', DATA, WEIGHTS)})


def data_checksums(prepared_runs: Mapping[str, PreparedRun]) -> dict[str, str]:
    """Run name -> checksum of the data of a prepared run; '' if it is not known."""
    return {name: prepared.splits.checksum for name, prepared in prepared_runs.items()}


def difference_in_words(changed: Mapping[str, Sequence[str]], workdir: Workdir) -> str:
    """The sentence that runs of a work directory differ; `changed` is from `changed_leaves`."""
    name, leaves = next(iter(changed.items()))
    return (
        f'{workdir.path} was made with another config or other data: {len(changed)} of the runs differ, {name} in '
        f'{"; ".join(leaves)}.'
    )


def with_dependents(study: Study, ids: Iterable[str]) -> list[str]:
    """These runs and all runs that start from them, in the order of the study."""
    found = set(ids)
    for run in study.runs:
        if found & set(run.needed_ids):
            found.add(run.id)
    return [run.id for run in study.runs if run.id in found]


def forget_runs(study: Study, workdir: Workdir, ids: Sequence[str]) -> None:
    """Removes these runs, and all runs that start from them, from the work directory.

    Dependent runs are removed first, and each run's config.json last. After a kill, the same call therefore finds the
    rest.
    """
    for run_id in reversed(with_dependents(study, ids)):
        directory = workdir.directory(run_id)
        refuse_links(workdir.path / 'runs', workdir.path / 'results', directory)
        workdir.remove_result(run_id)
        for path in sorted(directory.glob('*'), key=lambda path: path.name == 'config.json'):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _plain(tree: Any) -> Any:
    return json.loads(json.dumps(json_value(tree)))
