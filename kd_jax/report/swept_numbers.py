"""Finds the numbers that a study sweeps, by comparing the configs of its runs, and the runs along a swept number."""

import collections
import dataclasses
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kd_jax.report import number_format
from kd_jax.report.path_words import last_key
from kd_jax.report.result_files import (
    Measure,
    Results,
    counted_on,
    matching_runs,
    measure_over_seeds,
    number,
    value_at_path,
    why_missing,
)
from kd_jax.report.stated_units import stated_in

LEAST = 3  # the least number of values that make a sweep
SECTIONS = ('terms', 'networks', 'optimizer', 'data')  # which of the numbers that change together names the sweep
ASIDE = (  # options that do not change what is learned
    'analyses', 'cache', 'checkpoint_seconds', 'eval_every', 'evaluate', 'evaluate_train', 'resources', 'samples',
    'seeds',
)  # fmt: skip

Leaves = Mapping[str, Hashable]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A number of the config, and the runs in which nothing else changes.

    Attributes:
      path: its path in the config, such as 'terms.soft.t'.
      lines: groups of runs by a label ('' for a single group). Within a group only this number differs, and those that
        change with it one to one, such as the second of two equal widths.
      values: the number of each run.
    """

    path: str
    lines: Mapping[str, tuple[str, ...]]
    values: Mapping[str, float]

    def without(self, drawn: Sequence[set[str]]) -> 'Sweep':
        """The sweep without the groups all of whose runs are in one of the sets `drawn`."""
        kept = {label: line for label, line in self.lines.items() if not any(set(line) <= runs for runs in drawn)}
        kept = dict(zip(kept if len(kept) > 1 else [''], kept.values(), strict=False))
        return Sweep(self.path, kept, {run: self.values[run] for line in kept.values() for run in line})

    def called(self, names: Mapping[str, str]) -> 'Sweep':
        """The sweep with its groups called by what the names of their runs begin with up to a comma, if that differs.

        'KD, T = 1' and 'KD, T = 4' -> 'KD'.
        """
        begins = [_common_start([names[run] for run in line]).rpartition(', ')[0] for line in self.lines.values()]
        apart = len(self.lines) > 1 and all(begins) and len(set(begins)) == len(begins)
        return dataclasses.replace(self, lines=dict(zip(begins, self.lines.values(), strict=True))) if apart else self


def find_sweeps(results: Results) -> list[Sweep]:
    """The swept numbers of a study, each with at least three values."""
    configs = {run: dict(_leaves(next(iter(seeds.values())).get('config'))) for run, seeds in results.items()}
    alike: dict[frozenset[str], list[str]] = collections.defaultdict(list)
    for run, leaves in configs.items():
        alike[frozenset(leaves)].append(run)
    found: dict[str, list[tuple[str, ...]]] = {}
    for runs in alike.values():
        for path, lines in _sweeps_among(runs, configs):
            found.setdefault(path, []).extend(lines)
    return [
        Sweep(path, _labelled(lines), {run: configs[run][path] for line in lines for run in line})  # type: ignore[misc]
        for path, lines in found.items()
    ]


def _leaves(tree: Any, path: str = '') -> Iterator[tuple[str, Hashable]]:
    """The leaves of a config by their path, without the options that do not change what is learned."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if path or key not in ASIDE:
                yield from _leaves(value, f'{path}{key}.')
    elif isinstance(tree, list | tuple):
        for i, value in enumerate(tree):
            yield from _leaves(value, f'{path}{i}.')
    else:
        yield path[:-1], tree


def _sweeps_among(runs: Sequence[str], configs: Mapping[str, Leaves]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each swept number of runs with the same options, with its groups of runs."""
    pattern = {path: _pattern([configs[run][path] for run in runs]) for path in configs[runs[0]]}
    changing = [path for path in pattern if any(pattern[path])]
    alike: dict[tuple[int, ...], list[str]] = collections.defaultdict(list)
    for path in sorted(changing, key=_priority):
        alike[pattern[path]].append(path)
    for path, *others in alike.values():
        together = {path, *others}
        if not all(_is_number(configs[run][other]) for run in runs for other in together):
            continue
        rest = [other for other in changing if other not in together]
        groups: dict[Hashable, list[str]] = collections.defaultdict(list)
        for run in runs:
            groups[tuple(configs[run][other] for other in rest)].append(run)
        lines = [tuple(group) for group in groups.values() if len({configs[run][path] for run in group}) >= LEAST]
        if lines:
            yield path, lines


def _priority(path: str) -> int:
    section = path.partition('.')[0]
    return SECTIONS.index(section) if section in SECTIONS else len(SECTIONS)


def _pattern(values: Sequence[Hashable]) -> tuple[int, ...]:
    """Says which of the values are equal; two numbers that change together one to one have the same pattern."""
    first: dict[Hashable, int] = {}
    return tuple(first.setdefault(value, len(first)) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _labelled(lines: Sequence[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Names each group of runs by what the names of its runs have in common."""
    if len(lines) == 1:
        return {'': lines[0]}
    names = [_common_part(line) or line[0] for line in lines]
    return {name if names.count(name) == 1 else line[0]: line for name, line in zip(names, lines, strict=True)}


def _common_part(names: Sequence[str]) -> str:
    """The common start or end of names, whichever is longer: w30_t1, w30_t8 -> w30; w30_t1, w300_t1 -> t1.

    An end is what follows a '_', because numbers end alike: kd_10000, kd_20000 -> kd.
    """
    start, end = _common_start(names), _common_start([name[::-1] for name in names])[::-1]
    start = start.rpartition('_')[0] if '_' in start else start
    end = end.partition('_')[2]
    return max(start, end, key=len)


def _common_start(names: Sequence[str]) -> str:
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return ''.join(letters[0] for letters in alike)


class Swept(NamedTuple):
    """A run of a line: its setting, its number, and the number of the path `beside`, if the figure has one."""

    run: str
    x: float
    y: Measure
    beside: Measure | None


def with_labels(entry: dict[str, Any], results: Results) -> dict[str, Any]:
    """The entry; if its `runs` are a dictionary, label -> globs, with the line to which each run belongs."""
    if not isinstance(entry['runs'], Mapping):
        return entry
    runs = {run: label for label, globs in entry['runs'].items() for run in matching_runs(results, globs)}
    return {**entry, 'runs': list(runs), 'of': runs}


def grouped(entry: dict[str, Any], results: Results) -> tuple[dict[str, list[Swept]], str]:
    """The runs of each line of a figure by its name, and a sentence for each run without a number.

    Args:
      entry: options of the figure: `runs`, `x` and `y`; perhaps `by`, `by_label` and `beside`; or `of`, which gives the
        name of the line of each run.
      results: the results.
    """
    runs = matching_runs(results, entry['runs'])
    found: dict[Any, list[Swept]] = {}
    gaps = [] if runs else [f'no run that matches {entry["runs"]} has been run yet.']
    for run in runs:
        any_seed = next(iter(results[run].values()))
        x, y = number(any_seed, entry['x']), measure_over_seeds(results, run, entry['y'])
        if x is None or y is None:
            gaps.append(why_missing(results, run, entry['x'] if x is None else entry['y']))
            continue
        line = entry['of'][run] if 'of' in entry else _value(any_seed, entry)
        found.setdefault(line, []).append(Swept(run, x, y, _beside(entry, results, run)))
    label = entry.get('by_label', f'{last_key(entry.get("by", ""))} {{}}')
    ordered = sorted(found, key=lambda key: (isinstance(key, str), key))
    names = {key: label.replace('{}', _short(key)) if 'by' in entry else str(key) for key in ordered}
    return {names[key]: found[key] for key in ordered}, ' '.join(gaps)


def repeated(line: Sequence[Swept], path: str) -> str:
    """Says so if several runs of a line have the same setting, so that none of them is the run of the setting."""
    same = len({own.x for own in line}) < len(line)
    return f'several runs have the same {last_key(path)}.' if same else ''


def _beside(entry: dict[str, Any], results: Results, run: str) -> Measure | None:
    """The number at the path `beside`; a count is scaled to as many examples as `y` is counted on."""
    if 'beside' not in entry:
        return None
    found = measure_over_seeds(results, run, entry['beside'])
    if found is None or stated_in(results, (run, entry['y']))['unit'] != 'count':
        return found
    count, beside = (counted_on(results, run, entry[key]) for key in ('y', 'beside'))
    if count is None or not beside:
        return None
    scale = count / beside
    return Measure({seed: scale * value for seed, value in found.by_seed.items()})


def _value(result: dict[str, Any], entry: dict[str, Any]) -> Any:
    """The value by which the lines are told apart."""
    if 'by' not in entry:
        return ''
    try:
        value = value_at_path(result, entry['by'])
    except KeyError:
        return number_format.DASH
    return value if isinstance(value, int | float | str) else str(value)


def _short(value: Any) -> str:
    return f'{value:,.6g}' if isinstance(value, int | float) else str(value)
