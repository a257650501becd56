"""Runs that a study chooses on validation examples, such as the best of several temperatures."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.name_globs import matching
from kd_jax.report import number_format
from kd_jax.report.asked_runs import Results, said_unfinished
from kd_jax.report.claim_verdicts import CONDITION, REFERENCES
from kd_jax.report.comparison import best_of
from kd_jax.report.path_words import path_in_words
from kd_jax.report.result_files import (
    Measure,
    counted_on,
    matching_runs,
    measure_over_seeds,
    on_common_seeds,
    run_globs,
    split_reference,
)
from kd_jax.report.stated_units import stated_in

ON_VALIDATION = ('last.valid.', 'best.valid.')
LABELLED = ('values', 'reference', 'evidence')  # keys of a claim or a figure that hold {label: run:path}


class Choice(NamedTuple):
    """A run that was chosen.

    Attributes:
      name: the name that the report gives to whichever run is chosen.
      run: the run that was chosen; None if none could be.
      candidates: the runs among which it is chosen.
      way: 'lowest' or 'highest'.
      by: the value path of the number.
      left_out: the other runs that were tried; they have no finite number on a seed that ran.
      seeds: on how many seeds they are compared, if some candidates have more than these; else None.
      why_not: why none could be chosen; '' if one is.
    """

    name: str
    run: str | None
    candidates: list[str]
    way: str
    by: str
    left_out: list[str]
    seeds: int | None
    why_not: str


def chosen_runs(study: Mapping[str, Any], results: Results) -> list[Choice]:
    """Returns the choices of the report section: of each, the run with the best mean over the seeds that all have.

    None is chosen before all runs that were asked for have run: the best of some of them is not the best of all.
    """
    chosen = (study.get('report') or {}).get('chosen') or {}
    return [_choose(name, entry, study, results) for name, entry in chosen.items()]


def _choose(name: str, entry: Mapping[str, Any], study: Mapping[str, Any], results: Results) -> Choice:
    by, tried = entry['by'], matching_runs(study.get('runs') or results, entry['runs'])
    found = {run: measure_over_seeds(results, run, by) for run in tried}
    candidates = {run: own for run, own in found.items() if own and own.n == len(results[run])}
    measures = list(candidates.values())
    lower = stated_in(results, *((run, by) for run in candidates)).get('better') != 'higher'
    why_not = said_unfinished(study, results, tried) or _incomparable(entry, candidates, results)
    run = None if why_not else list(candidates)[best_of(measures, 'lower' if lower else 'higher')[0]]
    left_out = [run for run in tried if run in results and run not in candidates]
    way = 'lowest' if lower else 'highest'
    return Choice(name, run, list(candidates), way, by, left_out, _shared(measures), why_not)


def _incomparable(entry: Mapping[str, Any], candidates: Mapping[str, Measure], results: Results) -> str:
    """Why no candidate is known to be the best; '' if one is."""
    by = entry['by']
    if not candidates:
        return f'no run that matches {", ".join(run_globs(entry["runs"]))} has a finite {by} on each of its seeds'
    if not on_common_seeds(list(candidates.values())):
        return f'{", ".join(candidates)} have no seed in common'
    is_count = stated_in(results, *((run, by) for run in candidates))['unit'] == 'count'
    sizes = {run: counted_on(results, run, by) for run in candidates if is_count}
    if len(set(sizes.values())) < 2:
        return ''
    counts = ', '.join(f'{run}: {"unknown" if size is None else f"{size:,.0f}"}' for run, size in sizes.items())
    return f'{by} is counted on different numbers of examples ({counts}), so choose by a number that is no count'


def _shared(measures: list[Measure]) -> int | None:
    """The number of seeds that all have, if some have more."""
    common = on_common_seeds(measures) if measures else []
    return common[0].n if common and any(own.n > common[0].n for own in measures) else None


def with_chosen_runs(study: dict[str, Any], results: Results) -> dict[str, Any]:
    """The study, with the runs that were chosen in place of their names in tables, claims and figures.

    A claim about a chosen run gets the runs that were tried for it, `candidates`, because they belong to its cost; and
    `not_chosen`, the names for which none could be chosen, with the reasons.
    """
    if not (choices := chosen_runs(study, results)):
        return study
    run_of = {choice.name: choice.run for choice in choices if choice.run}
    report = dict(study['report'])
    report['tables'] = {name: _in_table(table, run_of) for name, table in (report.get('tables') or {}).items()}
    for section in ('claims', 'figures'):
        named = (report.get(section) or {}).items()
        report[section] = {name: _in_entry(entry, run_of) for name, entry in named}
    for name, entry in (study['report'].get('claims') or {}).items():
        own = [choice for choice in choices if choice.name in _read(entry)]
        candidates = [run for choice in own for run in (*choice.candidates, *choice.left_out)]
        not_chosen = {choice.name: choice.why_not for choice in own if choice.why_not}
        report['claims'][name] |= {'candidates': candidates} if candidates else {}
        report['claims'][name] |= {'not_chosen': not_chosen} if not_chosen else {}
    return {**study, 'report': report}


def _read(entry: Mapping[str, Any]) -> set[str]:
    """The names of runs on which a claim rests."""
    condition = [entry['provided'][key] for key in CONDITION] if 'provided' in entry else []
    references = [*(entry[key] for key in REFERENCES if key in entry), *condition]
    return {split_reference(text)[0] for text in references} | set(run_globs(entry.get('runs', ())))


def _in_table(table: Mapping[str, Any], run_of: Mapping[str, str]) -> dict[str, Any]:
    rows = {
        key: {**row, 'run': run_of[run], 'label': row.get('label', key)}
        if (run := row.get('run', key)) in run_of
        else row
        for key, row in table['rows'].items()
    }
    return {**table, 'rows': rows}


def _in_entry(entry: Mapping[str, Any], run_of: Mapping[str, str]) -> dict[str, Any]:
    """The entry of a claim or a figure, with the chosen runs wherever it names a run, and in no text."""

    def of(reference: str) -> str:
        run, colon, path = reference.partition(':')
        return run_of.get(run, run) + colon + path

    replaced = dict(entry)
    for key in entry:
        if key in ('run', 'runs'):
            replaced[key] = _in_globs(entry[key], run_of)
        elif key in REFERENCES:
            replaced[key] = of(entry[key])
        elif key in LABELLED:
            replaced[key] = {label: of(reference) for label, reference in (entry[key] or {}).items()}
        elif key == 'provided':
            replaced[key] = {**entry[key], **{part: of(entry[key][part]) for part in CONDITION}}
    return replaced


def _in_globs(globs: Any, run_of: Mapping[str, str]) -> Any:
    """The name of a run, or the globs of `runs`: one, several, or those of each label."""
    if isinstance(globs, Mapping):
        return {label: _in_globs(own, run_of) for label, own in globs.items()}
    return run_of.get(globs, globs) if isinstance(globs, str) else [run_of.get(glob, glob) for glob in globs]


def said_chosen(study: Mapping[str, Any], results: Results) -> str:
    """Says which run was chosen for each name, of which, and by what, or why none is; '' before anything has run."""
    return '; '.join(map(_said, chosen_runs(study, results))) if results else ''


def _said(choice: Choice) -> str:
    if choice.why_not:
        return f'“{choice.name}” is not chosen: {choice.why_not}'
    on = f', on the {number_format.seeds(choice.seeds)} that all of them have' if choice.seeds else ''
    without = f' (without a finite number on every seed: {", ".join(choice.left_out)})' if choice.left_out else ''
    what = f'the {choice.way} {path_in_words(choice.by)} of {", ".join(choice.candidates)}'
    return f'“{choice.name}” is {choice.run}, with {what}{on}{without}'


def check_choices(report: Mapping[str, Any], known: Iterable[str] | None) -> None:
    """Checks the section `chosen` of a report.

    Raises:
      UserError: a name is that of a run, no run matches, or the choice is not made on validation examples.
    """
    names = None if known is None else list(known)
    for name, entry in (report.get('chosen') or {}).items():
        where = f'report: chosen {name!r}'
        if unknown := [key for key in entry if key not in ('runs', 'by')]:
            raise UserError(f'{where} has an unknown key {unknown[0]!r}. {suggest(unknown[0], ("runs", "by"))}')
        if not str(entry['by']).startswith(ON_VALIDATION):
            raise UserError(
                f'{where} is chosen by {entry["by"]!r}; choose on validation examples: a path that begins with '
                f'{" or ".join(ON_VALIDATION)}.'
            )
        if names is None:
            continue
        if name in names:
            raise UserError(f'{where} has the name of a run; give it another one.')
        for pattern in run_globs(entry['runs']):
            if not matching(pattern, names):
                raise UserError(f'{where}: no run matches {pattern!r}. {suggest(pattern, names)}')
