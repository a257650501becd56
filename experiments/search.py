"""Searches hyperparameters with Optuna; each trial trains ordinary runs of the study.

python -m experiments.search --config=configs/hinton_mnist.py --trials=20
python -m experiments.search --config=... --trials=20 --storage=postgresql://user@host/db     # the same on each worker

The same command continues a search that was killed. All workers share one --workdir and one --storage.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import command_line
from experiments.run import execute
from experiments.terminal import console, keep_going, leave
from experiments.training_command import exit_code
from kd_jax import report
from kd_jax.config.checked_json import write_checked
from kd_jax.config.config_file import load_config, load_search
from kd_jax.config.disk_errors import disk_errors
from kd_jax.config.errors import Diverged, UserError
from kd_jax.devices.platform import check_platform
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.studies.optuna_trials import (
    next_trial,
    objective_value,
    one_after_another,
    runs_of_trials,
    search_report,
    short_value,
    tell_optuna,
)
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.search_space import (
    Search,
    check_objective,
    parse_search,
    trial_name,
    values_of_trial,
    values_to_prepare,
    with_trial,
)
from kd_jax.studies.search_storage import ELSEWHERE, join_search, sqlite_url
from kd_jax.studies.stale_runs import changed_leaves, data_checksums, difference_in_words
from kd_jax.studies.study import parse_study, select_runs
from kd_jax.studies.workdir import Workdir
from kd_jax.training import provenance


def make_parser() -> command_line.Parser:
    parser = command_line.parser('experiments.search', __doc__)
    parser.add_argument('--trials', type=int, required=True, help='total number of trials, over all workers')
    parser.add_argument('--storage', help="URL of Optuna's database (default: SQLite in the work directory)")
    parser.add_argument('--workdir', type=command_line.path, help='default: runs/<name of the study>_search')
    return parser


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options of the command line and the overrides of config leaves."""
    return command_line.parse(make_parser(), argv)


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: exit_code(lambda: run(*arguments(argv))))


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    config, _ = load_config(options.config, overrides)
    wanted = parse_search(load_search(options.config), config, options.config)
    check_platform()
    first, *others = values_to_prepare(wanted)
    prepared_runs = prepare(options, config, wanted, first)
    for values in others:
        prepare(options, config, wanted, values)
    if options.trials < 1:
        raise UserError(f'--trials={options.trials}: give the total number of trials, 1 or more.')
    workdir = Workdir(options.workdir or pathlib.Path('runs') / f'{config["name"]}_search')
    workdir.check_paths(f'{trial_name(name, 0)}-s0' for name in config['runs'])
    storage = options.storage or sqlite_url(workdir.path.absolute() / 'search.db')
    workdir.check_same_study(config['name'], search=True)
    with workdir.locked(shared=True), disk_errors(workdir.path):
        joined = join_search(wanted, config, storage, workdir, options.config, data_checksums(prepared_runs))
        while train_one(options, config, wanted, joined, workdir, prepared_runs):
            pass
        about = {key: value for key, value in config.items() if key != 'runs'}
        about |= {'command': provenance.command(), 'report': search_report(wanted, joined)}
        about |= {'runs': runs_of_trials(wanted, joined, config, options.config), 'search': wanted.objective}
        write_checked(workdir.path / 'study.json', about)
        report.build_report(workdir.path, workdir.path)
    report.print_tables(*report.load_results(workdir.path))
    console.print(f'\nReport: {workdir.path / "report.html"}', soft_wrap=True)
    return 0


def prepare(
    options: argparse.Namespace, config: Mapping[str, Any], wanted: Search, values: Mapping[str, Any]
) -> dict[str, PreparedRun]:
    """Prepares the study with a trial of these values, and checks that the trial measures the objective."""
    with_it, judged = with_trial(config, wanted, 0, values, options.config)
    prepared_runs = prepare_study(parse_study(with_it, options.config))
    if judged in prepared_runs:
        check_objective(wanted, prepared_runs[judged])
    return prepared_runs


def train_one(
    options: argparse.Namespace,
    config: Mapping[str, Any],
    wanted: Search,
    joined: Any,
    workdir: Workdir,
    prepared_runs: Mapping[str, PreparedRun],
) -> bool:
    """Trains a trial and reports its value to Optuna; returns false if no trial is left.

    Raises:
      UserError: a run that the trial would use was made with another config or other data.
    """
    with next_trial(joined, wanted, options.trials, workdir, options.config) as trial:
        if trial is None:
            return False
        values = values_of_trial(wanted, trial.params)
        with_it, judged = with_trial(config, wanted, trial.number, values, options.config)
        planned = parse_study(with_it, options.config)
        planned = dataclasses.replace(planned, about={**planned.about, 'command': provenance.command()})
        runs = select_runs(planned, [judged], workdir)
        if changed := changed_leaves(planned, workdir, runs, prepared_runs):
            raise UserError(f'{difference_in_words(changed, workdir)} {ELSEWHERE.capitalize()}.')
        runs = [run for run in runs if workdir.result(run.id) is None]
        shown = ', '.join(f'{path} = {short_value(value)}' for path, value in values.items())
        try:
            groups = plan_groups(runs, planned.about.get('group_runs', 'auto'))
            execute(planned, runs, groups, workdir, one_after_another)
            found = objective_value(wanted, judged, sum(run.name == judged for run in planned.runs), workdir)
        except Diverged as error:
            console.print(str(error), soft_wrap=True)
            found = None
        tell_optuna(joined, trial.number, found)
        console.print(f'trial {trial.number}: {"failed" if found is None else short_value(found)}, {shown}')
    return True


if __name__ == '__main__':
    leave(main())
