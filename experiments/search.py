"""Searches hyperparameters with Optuna: each trial is trained as ordinary runs of the study.

python -m experiments.search --config=configs/search_kd.py --trials=20
python -m experiments.search --config=... --trials=20 --storage=postgresql://user@host/db     # the same on each worker

A search that was killed goes on with the same command. Its workers share one --workdir and one --storage.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.run import console, escape, execute, exit_code
from kd_jax import checkpoint, config_file, metrics, provenance, report, search, study, trials
from kd_jax.errors import Diverged, UserError
from kd_jax.workdir import Workdir


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command line: its options, and the overrides of config leaves."""
    parser = command_line.parser(__doc__)
    parser.add_argument('--trials', type=int, required=True, help='how many in all, those of other workers included')
    parser.add_argument('--storage', help="URL of Optuna's database (default: SQLite in the work directory)")
    parser.add_argument('--workdir', type=pathlib.Path, help='default: runs/<name of the study>_search')
    return command_line.parse(parser, argv)


def main(argv: Sequence[str] | None = None) -> int:
    return exit_code(lambda: run(*arguments(argv)))


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    config, _ = config_file.load(options.config, overrides)
    wanted = search.parse(config_file.search(options.config), config, options.config)
    study.jobs(
        study.parse(search.with_trial(config, wanted, 0, search.first(wanted), options.config)[0], options.config)
    )
    if options.trials < 1:
        raise UserError(f'--trials={options.trials}: it is how many there are in all, 1 or more.')
    workdir = Workdir(options.workdir or pathlib.Path('runs') / f'{config["name"]}_search')
    storage = options.storage or f'sqlite:///{workdir.path.absolute() / "search.db"}'
    with workdir.locked(shared=True), checkpoint.disk_errors(workdir.path):
        joined = trials.join(wanted, config, storage, workdir, options.config)
        while train_one(options, config, wanted, joined, workdir):
            pass
        about = {key: value for key, value in config.items() if key != 'runs'}
        about |= {'command': provenance.command(), 'report': trials.described(wanted, joined)}
        metrics.write_json(workdir.path / 'study.json', about)
        report.build(workdir.path, workdir.path)
    report.print_tables(*report.load(workdir.path))
    console.print(f'\nReport: {workdir.path / "report.html"}', soft_wrap=True)
    return 0


def train_one(options: argparse.Namespace, config, wanted: search.Search, joined, workdir: Workdir) -> bool:
    """Trains a trial and tells Optuna its value; false if there are none left."""
    with trials.trial(joined, wanted, options.trials, workdir, options.config) as trial:
        if trial is None:
            return False
        with_it, judged = search.with_trial(config, wanted, trial.number, trial.params, options.config)
        planned = study.parse(with_it, options.config)
        planned = dataclasses.replace(planned, about={**planned.about, 'command': provenance.command()})
        runs = [run for run in study.select(planned, [judged], workdir) if workdir.result(run.id) is None]
        shown = ', '.join(f'{path} = {trials.short(value)}' for path, value in trial.params.items())
        try:
            units = study.units(runs, planned.about.get('pack', 'auto'))
            execute(planned, runs, units, workdir, trials.one_after_another)
            found = trials.value(wanted, judged, config.get('seeds', 1), workdir)
        except Diverged as error:
            console.print(escape(str(error)), soft_wrap=True)
            found = None
        trials.tell(joined, trial.number, found)
        console.print(
            f'trial {trial.number}: {"failed" if found is None else trials.short(found)}, {shown}', markup=False
        )
    return True


if __name__ == '__main__':
    sys.exit(main())
