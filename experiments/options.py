"""Writes the tables of docs/options.md: every option of a config, read from the code.

  python -m experiments.options

Types, ranges and defaults come from signatures; meanings come from docstrings and from the descriptions beside the code
that parses options (`kd_jax.config.described`). A test compares the page with the code.
"""

import argparse
import functools
import inspect
import pathlib
import re
import sys
import typing
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import optax

from experiments import command_line, export, generate, preflight, run, search
from experiments import report as report_command
from experiments.option_tables import (
    NOT_SET,
    Row,
    described,
    entries,
    escaped,
    kind_of,
    reads_and_gives,
    rows_of,
    shown,
    source,
    summary,
    table,
)
from kd_jax import analyses, evaluation, losses, models, report, transforms
from kd_jax.config import hyperparameters, sweeps
from kd_jax.config.described import REQUIRED
from kd_jax.config.import_by_name import parameters_of
from kd_jax.core import optimizers
from kd_jax.data import augment, sources, splits
from kd_jax.devices.mesh import make_mesh
from kd_jax.evaluation.evaluations import OPTIONS as EVALUATION_OPTIONS
from kd_jax.prepare import check_analyses, check_samples, run_options
from kd_jax.prepare.network_options import NETWORK_OPTIONS
from kd_jax.prepare.parse_terms import TERM_OPTIONS
from kd_jax.prepare.parse_transform import TRANSFORM_OPTIONS
from kd_jax.studies.search_space import SEARCH_OPTIONS
from kd_jax.studies.study import STUDY_OPTIONS
from kd_jax.teacher_cache import cache_options

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'options.md'
OF_MODELS = ('parent', 'name', 'network', 'networks')  # fields of models that the program gives
WHERE = ('where',)  # of losses and metrics
COMMANDS = {
    'run': run,
    'report': report_command,
    'search': search,
    'export': export,
    'generate': generate,
    'preflight': preflight,
}
OPTAX = 'https://optax.readthedocs.io/en/latest/api/optimizers.html#optax.'


def entry(kind: str, name: str, code: str, text: str, rows: Iterable[Row], more: str = '') -> str:
    """One named object under a heading that says of which kind it is, such as 'Loss `kd`'."""
    listed = list(rows)
    parts = (f'### {kind} `{name}`', f'{escaped(text)} {code}', table(listed) if listed else '', more)
    return '\n\n'.join(part for part in parts if part)


def code_of(where: Any) -> str:
    """A link to the file that defines an object."""
    return f'([code](../{pathlib.Path(inspect.getfile(where)).relative_to(ROOT).as_posix()}))'


def listing(kind: str, names: Iterable[str], entries_of_names: Iterable[str]) -> str:
    """Links to the entries, and the entries."""
    links = ' · '.join(f'[{name}](#{kind.lower()}-{name})' for name in sorted(names))
    return '\n\n'.join([links, *entries_of_names])


def functions(kind: str, module: ModuleType, **options: Any) -> str:
    """All functions that a module offers under a name in a config."""
    named = [(name, inspect.unwrap(getattr(module, name))) for name in module.__all__]
    return listing(
        kind,
        module.__all__,
        (entry(kind, name, code_of(one), told(one), rows_of(one, WHERE, **options)) for name, one in named),
    )


def told(function: Callable[..., Any]) -> str:
    """What a function does, its source, and whether it compares the examples of a batch."""
    compares = 'Compares examples with each other.' if 'where' in inspect.signature(function).parameters else ''
    return ' '.join(filter(None, (summary(function), source(function), compares)))


def number_kinds(section: str = '') -> dict[str, str]:
    """The types and ranges of the numbers of a run, or of a section such as 'data.', in words."""
    found = {}
    for key, (kind, least) in run_options.NUMBERS.items():
        words = 'whole number' if kind is int else 'number'
        if key in run_options.MOST:
            ranged = f'{words} between {least} and {run_options.MOST[key]:g}'
        else:
            ranged = f'{words} greater than 0' if 0 < least < 1 else f'{words}, {least} or more'
        if key.startswith(section):
            found[key.removeprefix(section)] = ranged
    return found


def augmentations() -> str:
    words = {bool: 'True, False', int: 'whole number between 0 and {}', float: 'number between 0 and {}'}
    return table(
        Row(name, words[kind].format(most), shown(kind()), meaning)
        for name, (kind, most, meaning) in augment.OPTIONS.items()
    )


def all_models() -> str:
    found = {name: getattr(models, name) for name in models.__all__}
    own = {name: model for name, model in found.items() if not isinstance(model, functools.partial)}
    others: dict[str, list[str]] = {name: [] for name in own}
    for name, model in found.items():
        if isinstance(model, functools.partial):
            base = next(key for key, function in own.items() if function is model.func)
            fixed = ', '.join(f'{key}={value!r}' for key, value in model.keywords.items())
            others[base].append(f'`{name}` ({fixed})')
    return listing('Model', own, (model_entry(name, model, others[name]) for name, model in own.items()))


def model_entry(name: str, model: Any, other_names: list[str]) -> str:
    module: Any = model if inspect.isclass(model) else typing.get_type_hints(model)['return']
    more = f'Names with other defaults: {", ".join(other_names)}.' if other_names else ''
    text = f'{told(model)} {reads_and_gives(vars(module).get("__call__") or module.apply)}'
    return entry('Model', name, code_of(model), text, rows_of(model, OF_MODELS), more)


def schedules() -> str:
    lines = ['| schedule | options | meaning |', '|---|---|---|']
    for name, function in hyperparameters.SCHEDULES.items():
        options = ', '.join(
            f'`{key}`' if p.default is p.empty else f'`{key}={p.default:g}`'
            for key, p in parameters_of(function)[1].items()
        )
        lines.append(f'| `{name}` | {options} | {escaped(summary(function))} |')
    return '\n'.join(lines)


def all_optimizers() -> str:
    return listing('Optimizer', optimizers.NAMES, map(optimizer_entry, optimizers.NAMES))


def optimizer_entry(name: str) -> str:
    """The arguments of a function of optax that a config can hold; the first sentence of what optax says of each."""
    function = getattr(optax, name)
    meaning = entries(inspect.getdoc(function) or '')
    kinds = {key: kind_of(annotation) for key, annotation in optimizers.RANGES.items()}
    rows = [
        Row(
            key,
            kinds.get(key) or optax_kind(key, p.default),
            optax_default(key, p.default),
            first_sentence(meaning[key]),
        )
        for key, p in inspect.signature(function).parameters.items()
        if key not in optimizers.MASKS
    ]
    return entry('Optimizer', name, f'([optax.{name}]({OPTAX}{name}))', summary(function), rows)


def optax_kind(key: str, default: Any) -> str:
    """The type of an argument of optax, in words."""
    if key in optimizers.DTYPES:
        return "type, such as 'bfloat16'"
    return {bool: 'True, False', int: 'whole number'}.get(type(default), 'number')


def optax_default(key: str, default: Any) -> str:
    if key == 'learning_rate':
        return shown(REQUIRED)
    return shown(jnp.dtype(default).name if key in optimizers.DTYPES and default else default)


def first_sentence(text: str) -> str:
    return re.sub(r':\w+:', '', text.replace('``', '`')).partition('. ')[0]


def families() -> str:
    return listing('Metrics', evaluation.__all__, map(family_entry, evaluation.__all__))


def family_entry(name: str) -> str:
    family = getattr(evaluation, name)
    rows = [*rows_of(family.statistics, WHERE, family.defaults), *rows_of(family.values, ('statistics',))]
    lines = ['| metric | unit | better |', '|---|---|---|']
    lines += [f'| `{key}` | {one.unit} | {one.better or NOT_SET} |' for key, one in family.stated.items()]
    text = f'{summary(family.values)} The best epoch is chosen by `{family.best}`.'
    return entry('Metrics', name, code_of(family.values), text, rows, '\n'.join(lines))


def sweep_functions() -> str:
    named = (sweeps.grid, sweeps.chain)
    return '\n\n'.join(entry('Function', one.__name__, code_of(one), summary(one), rows_of(one)) for one in named)


def command_entry(name: str, command: ModuleType) -> str:
    """The options of a command line, out of its parser."""
    actions = [action for action in command.make_parser()._actions if action.dest != 'help']
    rows = [Row(one.option_strings[0], argument_kind(one), argument_default(one), one.help or '') for one in actions]
    return entry('Command', name, code_of(command), f'`python -m experiments.{name}`: {summary(command)}', rows)


def argument_kind(action: argparse.Action) -> str:
    """The type of an option of a command line, in words."""
    if action.nargs == 0:
        return 'flag'
    if action.choices:
        return ', '.join(map(str, action.choices))
    return {int: 'whole number', float: 'number', command_line.path: 'path'}.get(action.type, 'text')


def argument_default(action: argparse.Action) -> str:
    if action.required:
        return shown(REQUIRED)
    return shown(action.default) if isinstance(action.default, str) and action.default else NOT_SET


PARTS: dict[str, Callable[[], str]] = {
    'study': lambda: table(described(STUDY_OPTIONS)),
    'run': lambda: table(described(run_options.RUN_OPTIONS, number_kinds())),
    'data': lambda: table(described(splits.OPTIONS, number_kinds('data.'))),
    'augment': augmentations,
    'sources': lambda: functions('Source', sources),
    'network': lambda: table(described(NETWORK_OPTIONS)),
    'models': all_models,
    'term': lambda: table(described(TERM_OPTIONS)),
    'losses': lambda: functions('Loss', losses, paths={}),
    'schedules': schedules,
    'optimizer': lambda: table(
        described(optimizers.OURS, {key: kind_of(kind) for key, kind in optimizers.RANGES.items()})
    ),
    'optimizers': all_optimizers,
    'evaluation': lambda: table(described(EVALUATION_OPTIONS)),
    'metrics': families,
    'samples': lambda: table(described(check_samples.SAMPLES)),
    'analysis': lambda: table(described(check_analyses.OPTIONS)),
    'analyses': lambda: functions('Analysis', analyses, paths={}),
    'cache': lambda: table(
        described(cache_options.OPTIONS, {key: ', '.join(map(repr, c)) for key, c in cache_options.CHOICES.items()})
    ),
    'mesh': lambda: f'`mesh`: {escaped(entries(make_mesh.__doc__ or "")["config"])}.',
    'resources': lambda: table(described(run_options.RESOURCES, number_kinds('resources.'))),
    'transform': lambda: table(described(TRANSFORM_OPTIONS)),
    'transforms': lambda: functions('Transform', transforms),
    'sweeps': sweep_functions,
    'search': lambda: table(described(SEARCH_OPTIONS)),
    'commands': lambda: listing('Command', COMMANDS, (command_entry(name, one) for name, one in COMMANDS.items())),
    'report': lambda: f'```text\n{inspect.getdoc(report)}\n```',
}


def with_parts(page: str) -> str:
    """The page with every part written anew: what stands between '<!-- from the code: NAME -->' and the end marker."""

    def written(match: re.Match[str]) -> str:
        return f'{match[1]}\n\n{PARTS[match[2]]()}\n\n{match[3]}'

    return re.sub(r'(<!-- from the code: (\w+) -->).*?(<!-- end -->)', written, page, flags=re.DOTALL)


def main() -> int:
    PAGE.write_text(with_parts(PAGE.read_text()))
    return 0


if __name__ == '__main__':
    sys.exit(main())
