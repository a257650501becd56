"""Compiles a study for a TPU slice, without a TPU, to see whether it fits and what it costs at least.

python -m experiments.preflight --config=configs/hinton_mnist.py --topology=v5e:2x2
python -m experiments.preflight --config=configs/hinton_mnist.py --topology=all                # compares many slices
python -m experiments.preflight --config=configs/hinton_mnist.py --topology=cpu:8              # without libtpu
"""

import argparse
import collections
import dataclasses
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from rich.table import Table
from rich.text import Text

from experiments import command_line
from experiments.terminal import console, keep_going
from kd_jax.config.config_file import load_config
from kd_jax.config.disk_errors import disk_errors
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.json_files import write_json
from kd_jax.config.name_globs import matching
from kd_jax.data import placeholder_sources
from kd_jax.prepare.prepared_run import PreparedRun, prepare_run
from kd_jax.scale import preflight, tpu_chips
from kd_jax.scale.preflight import step_identity
from kd_jax.scale.step_cost import ARRAYS_FIT, Cost, verdict
from kd_jax.scale.tpu_chips import Topology, parse_topology
from kd_jax.studies.complete_configs import complete_configs
from kd_jax.studies.study import Run, Study, parse_study

SHORT_VERDICTS = ('fits', 'compiles', ARRAYS_FIT)  # other verdicts are sentences, too long for a table cell
CAVEAT = (
    'All times are lower bounds. The bounds in brackets assume that every operand is read from HBM. Not included: '
    'input, evaluation, compilation, preemption. See docs/cloud_tpu.md.'
)


@dataclasses.dataclass(frozen=True)
class Part:
    """Runs of a study whose training steps compile to the same program; `steps` is their total over all seeds."""

    runs: tuple[str, ...]
    config: Mapping[str, Any]
    where: str
    steps: int = 0


@dataclasses.dataclass(frozen=True)
class Answer:
    """The cost of a part on a slice; if the part cannot run there, `cost` is None and `verdict` gives the reason."""

    part: Part
    verdict: str
    cost: Cost | None = None


def make_parser() -> command_line.Parser:
    parser = command_line.parser('experiments.preflight', __doc__)
    parser.add_argument('--topology', required=True, help="slices separated by commas, 'cpu:8', or 'all'")
    parser.add_argument('--run', default='*', help='glob of run names (default: all runs that train)')
    parser.add_argument(
        '--dollars_per_chip_hour', type=command_line.price, help='your price; adds the cost of the study'
    )
    parser.add_argument('--out', type=command_line.path, help='JSON file to which all numbers are written')
    return parser


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options of the command line and the overrides of config leaves."""
    return command_line.parse(make_parser(), argv)


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: exit_code(argv))


def exit_code(argv: Sequence[str] | None) -> int:
    logging.getLogger('absl').setLevel(logging.ERROR)
    jax.config.update('jax_platforms', 'cpu')
    try:
        return run(*arguments(argv))
    except UserError as error:
        console.print(f'error: {error}', style='bold red', soft_wrap=True)
        return 2


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    names = tpu_chips.COMPARED if options.topology == 'all' else options.topology.split(',')
    slices = [parse_topology(name) for name in names]
    command_line.check_file(options.out, '--out')
    config, _ = load_config(options.config, overrides)
    planned = parse_study(config, options.config)
    for topology in sorted(slices, key=lambda one: -one.chips):
        preflight.devices(topology)
    parts = distinct(planned, options.run)
    found: list[tuple[Topology, list[Answer]]] = []
    for topology in slices:
        with console.status(Text(f'compiling for {topology.name}')):
            found.append((topology, [answer(part, topology, alone=len(slices) == 1) for part in parts]))
    for topology, answers in found:
        if len(slices) == 1:
            console.print(step_table(topology, answers))
        for one in answers if len(slices) == 1 else ():
            console.print(f'{", ".join(one.part.runs)}: {one.verdict}', soft_wrap=True)
    totals = [total(topology, answers, options.dollars_per_chip_hour) for topology, answers in found]
    console.print(study_table(totals, planned.about['name']))
    for row in totals:
        if row['verdict'] not in SHORT_VERDICTS:
            console.print(f'{row["topology"]}: {row["verdict"]}', soft_wrap=True)
    console.print(CAVEAT, soft_wrap=True)
    if options.out:
        with disk_errors(options.out):
            write_json(options.out, {'study': planned.about['name'], 'config': options.config, 'slices': totals})
    return 0 if any(one['fits'] is not False for one in totals) else 1


def distinct(planned: Study, glob: str) -> list[Part]:
    """The runs that train and match `glob`, grouped by the program of their training step.

    Raises:
      UserError: no run matches, or the config of a run is wrong.
    """
    seeds = collections.Counter(run.name for run in planned.runs)
    first = {run.name: run for run in reversed(planned.runs)}
    chosen = [first[name] for name in matching(glob, seeds)]
    if not chosen:
        raise UserError(f'--run={glob} matches no run. {suggest(glob, {run.name for run in planned.runs})}')
    wanted = {run.name for run in chosen}
    for run in reversed(planned.runs):
        wanted |= set(run.needs) if run.name in wanted else set()

    def prepare(run: Run, config: Mapping[str, Any]) -> PreparedRun:
        where = f"{planned.where}: run '{run.name}'"
        alone = dict.fromkeys(config.get('mesh', {}), 1)
        known = placeholder_sources.without_data(config)
        return prepare_run({**known, 'mesh': alone}, run.seed, where, jax.devices()[:1])

    runs = tuple(run for run in planned.runs if run.name in wanted)
    ready = complete_configs(dataclasses.replace(planned, runs=runs), prepare)
    parts: dict[str, Part] = {}
    for run in chosen:
        if run.name not in ready:
            console.print(f"run '{run.name}' is left out: its model is known only after a transform.")
            continue
        prepared = ready[run.name]
        if prepared.total_steps:
            config = {**prepared.config, 'mesh': run.config.get('mesh', {})}
            key = f'{config["mesh"]} {step_identity(prepared)}'
            before = parts.get(key, Part((), config, prepared.where))
            steps = before.steps + prepared.total_steps * seeds[run.name]
            parts[key] = dataclasses.replace(before, runs=(*before.runs, run.name), steps=steps)
    return list(parts.values())


def answer(part: Part, topology: Topology, alone: bool) -> Answer:
    """Compiles a part for a slice and returns its cost.

    Raises:
      UserError: its mesh does not fit the slice, and no other slice was asked for (`alone`).
    """
    try:
        prepared = prepare_run(
            placeholder_sources.without_data(part.config), 0, part.where, preflight.devices(topology)
        )
        cost = preflight.compile_run(prepared, topology)
    except UserError as error:
        if alone:
            raise
        return Answer(part, str(error))
    return Answer(part, verdict(cost, prepared.order.batch_size), cost)


def total(topology: Topology, answers: Sequence[Answer], dollars: float | None) -> dict[str, Any]:
    """The whole study on a slice as plain data: its parts, and lower bounds if the runs train one after another."""
    chip, known = topology.chip, [(one.part, one.cost) for one in answers if one.cost]
    fits = all(one.cost and one.cost.fits is not False for one in answers)
    row: dict[str, Any] = {
        'topology': topology.name,
        'chips': topology.chips,
        'source': chip.source if chip else '',
        'fits': fits if chip or not fits else None,
        'needed': max((cost.needed or math.inf for _, cost in known), default=None),
        'available': chip.hbm if chip else None,
        'verdict': next((o.verdict for o in answers if not o.cost or o.cost.fits is False), known_to(topology, known)),
        'parts': [
            {'runs': one.part.runs, 'steps': one.part.steps, 'verdict': one.verdict, **numbers(one.cost)}
            for one in answers
        ],
    }
    if fits and chip:
        for name, seconds in (('hours', 'seconds'), ('hours_with_traffic', 'seconds_with_traffic')):
            row[name] = sum(part.steps * getattr(cost, seconds) for part, cost in known) / 3600
        row['chip_hours'] = row['hours'] * topology.chips
        row['chip_hours_with_traffic'] = row['hours_with_traffic'] * topology.chips
        if dollars is not None:
            row['dollars'], row['dollars_with_traffic'] = (
                row[name] * dollars for name in ('chip_hours', 'chip_hours_with_traffic')
            )
    return row


def known_to(topology: Topology, known: Sequence[tuple[Part, Cost]]) -> str:
    """The verdict on a slice that nothing speaks against."""
    if not topology.chip:
        return 'compiles'
    return 'fits' if all(cost.compiled for _, cost in known) else ARRAYS_FIT


def numbers(cost: Cost | None) -> dict[str, Any]:
    """The cost of a step for one chip as plain data."""
    if cost is None:
        return {}
    fields = ('compiled', 'memory', 'needed', 'flops', 'accessed', 'moved', 'exchanged', 'bounds', 'seconds')
    return {field: getattr(cost, field) for field in fields}


def step_table(topology: Topology, answers: Sequence[Answer]) -> Table:
    """A table with the cost of one training step of every part, for one chip."""
    table = Table('', title=f'One training step on one chip of {topology.name}')
    for one in answers:
        more = f' and {len(one.part.runs) - 1} like it' if len(one.part.runs) > 1 else ''
        table.add_column(one.part.runs[0] + more, justify='right', overflow='fold')
    costs = [one.cost for one in answers if one.cost]
    table.add_row('HBM', *[bytes_text(cost.needed) for cost in costs])
    for name in dict.fromkeys(name for cost in costs for name in cost.memory):
        table.add_row(f'  {name}', *[bytes_text(cost.memory.get(name)) for cost in costs])
    table.add_row('operations', *[f'{cost.flops:.3g}' for cost in costs])
    table.add_row('bytes in and out, at least', *[bytes_text(cost.moved) for cost in costs])
    table.add_row('bytes of all operations', *[bytes_text(cost.accessed if cost.compiled else None) for cost in costs])
    for kind in dict.fromkeys(kind for cost in costs for kind in cost.exchanged):
        shown = [cost.exchanged.get(kind, (0, 0.0)) for cost in costs]
        table.add_row(f'sent by {kind}', *[f'{bytes_text(sent)} in {count}' if count else '–' for count, sent in shown])
    for name in ('compute', 'memory', 'interconnect') if topology.chip else ():
        table.add_row(f'time for {name}, at least', *[seconds_text(cost.bounds.get(name)) for cost in costs])
    if topology.chip:
        table.add_row('a step, at least', *[seconds_text(cost.seconds) for cost in costs])
        table.add_row('with all bytes from HBM', *[seconds_text(cost.seconds_with_traffic) for cost in costs])
    return table


def study_table(totals: Sequence[Mapping[str, Any]], name: str) -> Table:
    """A table with the cost of the whole study on every slice."""
    table = Table(
        'slice', 'chips', 'HBM a chip', 'hours', 'chip-hours', title=f'All runs and seeds of {name}, at least'
    )
    priced = any('dollars' in row for row in totals)
    if priced:
        table.add_column('dollars')
    table.add_column('verdict')
    for row in totals:
        of = '' if row['available'] is None else f' of {row["available"] / tpu_chips.GIB:.0f} GiB'
        cells = [
            row['topology'],
            str(row['chips']),
            bytes_text(row['needed']) + of,
            span(row, 'hours'),
            span(row, 'chip_hours'),
        ]
        table.add_row(
            *cells,
            *([span(row, 'dollars')] if priced else []),
            row['verdict'] if row['verdict'] in SHORT_VERDICTS else 'no: see below',
        )
    return table


def span(row: Mapping[str, Any], name: str) -> str:
    """The lower bound, followed in brackets by the bound if all bytes come from HBM."""
    return f'{row[name]:.3g} ({row[f"{name}_with_traffic"]:.3g})' if name in row else '–'


def bytes_text(number: float | None) -> str:
    if number is None or math.isinf(number):
        return '–'
    for group, name in ((2**30, 'GiB'), (2**20, 'MiB'), (2**10, 'KiB')):
        if number >= group:
            return f'{number / group:.1f} {name}'
    return f'{number:.0f} B'


def seconds_text(seconds: float | None) -> str:
    if seconds is None:
        return '–'
    return (
        f'{seconds:.2f} s'
        if seconds >= 1
        else f'{1e3 * seconds:.2f} ms'
        if seconds >= 1e-3
        else f'{1e6 * seconds:.1f} µs'
    )


if __name__ == '__main__':
    sys.exit(main())
