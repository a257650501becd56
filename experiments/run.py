"""Runs a study: skips finished runs, resumes interrupted ones, and writes a report at the end.

python -m experiments.run --config=configs/hinton_mnist.py                        # minutes on two cores
python -m experiments.run --config=configs/hinton_mnist.py:paper --plan           # shows the plan only
python -m experiments.run --config=... --config.runs.student.terms.soft.t=4.0     # overrides a config leaf
python -m experiments.run --config=... --executor=processes --workers=4           # trains several runs at once

docs/first_config.md explains a config file, docs/options.md lists all its options.
"""

import argparse
import dataclasses
import itertools
import pathlib
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.progress import TaskID

from experiments import command_line
from experiments.changed_runs import outdated_runs
from experiments.plan_table import plan_table
from experiments.progress import progress_display
from experiments.terminal import console, keep_going, leave
from experiments.training_command import exit_code
from kd_jax import report
from kd_jax.config.checked_json import write_checked
from kd_jax.config.config_file import load_config, split_variant
from kd_jax.config.disk_errors import disk_errors
from kd_jax.config.errors import MachineError, UserError
from kd_jax.config.visible_text import visible
from kd_jax.devices.platform import check_platform
from kd_jax.devices.processes import is_primary, join_processes, on_primary
from kd_jax.prepare.check_memory import check_memory
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.report.number_format import named
from kd_jax.studies import executors
from kd_jax.studies.continued_runs import ChangedRuns, remove_outdated
from kd_jax.studies.executors.scheduler import Executor
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.stale_runs import data_checksums
from kd_jax.studies.study import Run, Study, asked_configs, parse_study, select_runs
from kd_jax.studies.workdir import Workdir
from kd_jax.training import provenance
from kd_jax.training.run_result import expected_result

WORKERS = 2  # of --executor=processes


def make_parser() -> command_line.Parser:
    parser = command_line.parser('experiments.run', __doc__)
    parser.add_argument('--workdir', type=command_line.path, help='default: runs/<name of the study>')
    parser.add_argument('--only', action='append', default=[], help='globs of runs, separated by commas')
    parser.add_argument('--plan', action='store_true', help='show what would be run, then exit')
    parser.add_argument('--fresh', action='store_true', help='restart the runs whose config has changed')
    parser.add_argument(
        '--executor',
        choices=('in_process', 'processes', 'ray'),
        default='in_process',
        help='where runs are trained: one after another here, in several processes here, or on a Ray cluster',
    )
    parser.add_argument('--workers', type=int, help=f'for --executor=processes: runs at once (default: {WORKERS})')
    parser.add_argument('--ray_address', help="for --executor=ray: 'host:port' (default: auto)")
    hosts = parser.add_argument_group('one program on several processes; start each process with the same command')
    hosts.add_argument(
        '--distributed', action='store_true', help='take the three below from the environment (Cloud TPU)'
    )
    hosts.add_argument('--coordinator', metavar='HOST:PORT', help='address of the first process')
    hosts.add_argument('--processes', type=int, help='number of processes')
    hosts.add_argument('--process', type=int, help='index of this process, from 0')
    return parser


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options of the command line and the overrides of config leaves."""
    options, overrides = command_line.parse(make_parser(), argv)
    for text in options.only:
        if not text.strip(','):
            raise UserError('--only= names no run: give globs separated by commas, or leave the option out.')
    _check_executor(options)
    return options, overrides


def _check_executor(options: argparse.Namespace) -> None:
    """Refuses options of an executor that was not chosen, and fills in the others."""
    for option, value, executor in (
        ('--workers', options.workers, 'processes'),
        ('--ray_address', options.ray_address, 'ray'),
    ):
        if value is not None and options.executor != executor:
            raise UserError(
                f'{option}={value} is for --executor={executor}, but the executor is {options.executor}: set '
                f'--executor={executor}, or leave {option} out.'
            )
    options.workers = WORKERS if options.workers is None else options.workers
    options.ray_address = options.ray_address or 'auto'


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: exit_code(lambda: run(*arguments(argv))))


def join(options: argparse.Namespace) -> None:
    """Joins a program of several processes if the command line asks for it; only the first process prints."""
    hosts = (options.coordinator, options.processes, options.process)
    if not options.distributed and all(value is None for value in hosts):
        return
    if options.executor != 'in_process':
        raise UserError(f'--executor={options.executor} starts processes of its own: leave out --distributed.')
    join_processes(*hosts)
    console.quiet = not is_primary()


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    join(options)
    config, shown = load_config(options.config, overrides)
    planned = parse_study(config, options.config)
    workdir = Workdir(options.workdir or pathlib.Path('runs') / planned.about['name'])
    workdir.check_paths(run.id for run in planned.runs)
    variant = split_variant(options.config)[1]
    about = {**planned.about, 'variant': variant, 'report': shown, 'command': provenance.command()}
    report.check_report(about, {run.name for run in planned.runs})
    stand_ins = executors.stand_ins(planned) if options.executor == 'ray' else None
    check_platform()
    prepared_runs = prepare_study(planned, stand_ins)
    report.check_values(about, {name: expected_result(prepared) for name, prepared in prepared_runs.items()})
    runs = select_runs(planned, options.only, workdir)
    workdir.check_same_study(about['name'])
    if options.plan:
        show_plan(planned, runs, prepared_runs, workdir, options)
        return 0
    if options.executor != 'ray':
        for name in dict.fromkeys(run.name for run in runs if run.name in prepared_runs):
            check_memory(prepared_runs[name])
    executor = make_executor(options)
    with workdir.locked(), disk_errors(workdir.path):
        on_primary(lambda: renew(planned, workdir, *outdated_runs(planned, runs, prepared_runs, workdir, options)))
        runs = select_runs(planned, options.only, workdir)
        asked = {'runs': asked_configs(planned), 'data_checksums': data_checksums(prepared_runs)}
        on_primary(lambda: write_checked(workdir.path / 'study.json', {**about, **asked}))
        groups = groups_of(planned, runs, workdir, prepared_runs, options)
        failed = None
        try:
            execute(dataclasses.replace(planned, about=about), runs, groups, workdir, executor)
        except MachineError:
            raise
        except UserError as error:
            failed = error
    write_report(workdir, failed)
    return 0


def write_report(workdir: Workdir, failed: UserError | None) -> None:
    """Writes and shows the report, also if a run has failed, so that no page shows results that are gone.

    Raises:
      UserError: `failed`, or what is wrong with the report.
    """
    try:
        with disk_errors(workdir.path):
            on_primary(lambda: report.build_report(workdir.path, workdir.path))
        on_primary(lambda: report.print_tables(*report.load_results(workdir.path)))
    except UserError as error:
        if failed:
            raise UserError(f'{failed}\n{error}') from error
        raise
    console.print(f'\nReport: {workdir.path / "report.html"}', soft_wrap=True)
    if failed:
        raise failed


def show_plan(
    planned: Study,
    runs: Sequence[Run],
    prepared_runs: Mapping[str, PreparedRun],
    workdir: Workdir,
    options: argparse.Namespace,
) -> None:
    """Prints what the same command would do without `--plan`."""
    changed, said = ChangedRuns([], [], []), list[str]()
    try:
        changed, said = outdated_runs(planned, runs, prepared_runs, workdir, options)
        runs = select_runs(planned, options.only, workdir, changed.ids)
    except UserError as error:
        said = [str(error)]
    if options.fresh and not said:
        said = ['Nothing has changed: no run would restart.']
    groups = groups_of(planned, runs, workdir, prepared_runs, options, changed.ids)
    console.print(plan_table(runs, groups, prepared_runs, workdir, changed))
    for sentence in said:
        console.print(sentence, soft_wrap=True)


def renew(planned: Study, workdir: Workdir, changed: ChangedRuns, said: Sequence[str]) -> None:
    """Says which runs continue or start anew because a config has changed, and then removes what is out of date."""
    for sentence in said:
        console.print(sentence, soft_wrap=True)
    remove_outdated(planned, workdir, changed)


def make_executor(options: argparse.Namespace) -> Executor:
    """Makes the executor that the command line asks for; for Ray, joins the cluster."""
    if options.executor == 'processes':
        return executors.processes(options.workers)
    return executors.ray(options.ray_address) if options.executor == 'ray' else executors.in_process()


def groups_of(
    planned: Study,
    runs: Sequence[Run],
    workdir: Workdir,
    prepared_runs: Mapping[str, PreparedRun],
    options: argparse.Namespace,
    again: Collection[str] = (),
) -> list[tuple[Run, ...]]:
    """Returns the runs that are not finished or in `again`, in the groups in which they are trained."""
    waiting = [run for run in runs if run.id in again or workdir.result(run.id) is None]
    workers = {'in_process': 1, 'processes': options.workers, 'ray': None}[options.executor]
    return plan_groups(waiting, planned.about.get('group_runs', 'auto'), prepared_runs, workers)


def execute(
    planned: Study, runs: Sequence[Run], groups: Sequence[tuple[Run, ...]], workdir: Workdir, executor: Executor
) -> None:
    """Trains `groups`, the unfinished ones of `runs`; shows progress, and prints a line for each finished run."""
    waiting = sum(map(len, groups))
    if waiting < len(runs):
        console.print(f'{len(runs) - waiting} of {len(runs)} runs are already finished in {workdir.path}.')
    display, whole = progress_display(waiting)
    with display:
        lines: dict[str, TaskID] = {}
        clock: dict[str, tuple[float, int]] = {}
        numbers = itertools.count(len(runs) - waiting + 1)

        def progress(together: Sequence[Run], done: int, total: int, losses: Mapping[str, float]) -> None:
            first = together[0].id
            since, begun = clock.setdefault(first, (time.monotonic(), done))
            if first not in lines:
                name = f'{first} and {len(together) - 1} more' if len(together) > 1 else first
                lines[first] = display.add_task(visible(name), total=total, rate='', losses='')
            rate = (done - begun) / max(time.monotonic() - since, 1e-9)
            shown = '  '.join(f'{name} {value:.4g}' for name, value in losses.items() if name != 'grad_norm')
            speed = f'{rate:.3g} steps/s' if rate > 0 else 'compiling'
            display.update(lines[first], completed=done, rate=speed, losses=shown)

        def finished(run: Run, result: Mapping[str, Any]) -> None:
            display.advance(whole)
            if run.id in lines:
                display.remove_task(lines.pop(run.id))
            line = f'[{next(numbers)}/{len(runs)}] {run.id}: {measured(result)}{result["seconds"]:.0f} s'
            if stopped := result.get('stopped'):
                line += f', stopped at epoch {stopped["epoch"]:.4g}: {stopped["reason"]}'
            console.print(line)

        executor(planned, groups, workdir, progress, finished)


def measured(result: Mapping[str, Any]) -> str:
    """What a run measured at its end, by the metric that chooses the best epoch: 'student 146 errors on test, '."""
    split = 'test' if result['last'].get('test') else 'valid'
    words = []
    for name, found in result['last'].get(split, {}).items():
        metric = result['best_by'][name]
        words.append(f'{name} {named(metric, found[metric], result["metrics"][name][metric]["unit"])}')
    return f'{"  ".join(words)} on {split}, ' if words else ''


if __name__ == '__main__':
    leave(main())
