"""Runs that a study chooses on validation examples, such as the best of several temperatures."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.name_globs import matching
from kd_jax.report.asked_runs import Results
from kd_jax.report.claim_verdicts import CONDITION, REFERENCES
from kd_jax.report.path_words import path_in_words
from kd_jax.report.result_files import matching_runs, measure_over_seeds, run_globs, split_reference
from kd_jax.report.stated_units import stated_in

ON_VALIDATION = ('last.valid.', 'best.valid.')
LABELLED = ('values', 'reference', 'evidence')  # keys of a claim or a figure that hold {label: run:path}


class Choice(NamedTuple):
    """A run that was chosen.

    Attributes:
      name: the name that the report gives to whichever run is chosen.
      run: the run that was chosen; None as long as no candidate has a number.
      candidates: the runs that have a number.
      way: 'lowest' or 'highest'.
      by: the value path of the number.
    """

    name: str
    run: str | None
    candidates: list[str]
    way: str
    by: str


def chosen_runs(study: Mapping[str, Any], results: Results) -> list[Choice]:
    """Returns the choices of the report section: of each, the run with the best mean over its seeds."""
    return [_choose(name, entry, results) for name, entry in ((study.get('report') or {}).get('chosen') or {}).items()]


def _choose(name: str, entry: Mapping[str, Any], results: Results) -> Choice:
    by = entry['by']
    measures = {run: found for run in matching_runs(results, entry['runs']) if (found := _measured(results, run, by))}
    lower = stated_in(results, *[(run, by) for run in measures]).get('better') != 'higher'
    best = min(measures, key=lambda run: measures[run] if lower else -measures[run], default=None)
    return Choice(name, best, list(measures), 'lowest' if lower else 'highest', by)


def _measured(results: Results, run: str, path: str) -> float | None:
    found = measure_over_seeds(results, run, path)
    return found.mean if found else None


def with_chosen_runs(study: dict[str, Any], results: Results) -> dict[str, Any]:
    """The study, with the runs that were chosen in place of their names in tables, claims and figures.

    A claim about a chosen run gets the runs that it was chosen from, `candidates`: they belong to its cost.
    """
    choices = [choice for choice in chosen_runs(study, results) if choice.run]
    run_of = {choice.name: choice.run for choice in choices if choice.run}
    if not run_of:
        return study
    report = dict(study['report'])
    report['tables'] = {name: _in_table(table, run_of) for name, table in (report.get('tables') or {}).items()}
    for section in ('claims', 'figures'):
        named = (report.get(section) or {}).items()
        report[section] = {name: _in_entry(entry, run_of) for name, entry in named}
    for name, entry in (study['report'].get('claims') or {}).items():
        read = {split_reference(entry[key])[0] for key in REFERENCES if key in entry}
        candidates = [run for choice in choices if choice.name in read for run in choice.candidates]
        report['claims'][name] |= {'candidates': candidates} if candidates else {}
    return {**study, 'report': report}


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
    """Says which run was chosen for each name, of which, and by what; '' if nothing was chosen."""
    said = [
        f'“{choice.name}” is {choice.run}, with the {choice.way} {path_in_words(choice.by)} of '
        f'{", ".join(choice.candidates)}'
        for choice in chosen_runs(study, results)
        if choice.run
    ]
    return '; '.join(said)


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
