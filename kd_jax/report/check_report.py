"""Finds mistakes in a study's report section before anything is trained."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from kd_jax.config.checked_json import misfit
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.file_schemas import ReportSection
from kd_jax.config.json_files import json_value
from kd_jax.config.name_globs import matching
from kd_jax.report.chosen_runs import check_choices
from kd_jax.report.claim_verdicts import BOUNDS, CONDITION, REFERENCES
from kd_jax.report.result_files import run_globs, split_reference

Kinds = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]


FIGURES: Kinds = {  # kind -> (required keys, optional keys)
    'lines': (('runs', 'x', 'y'), ('by', 'by_label', 'log_x', 'log_y', 'reference')),
    'optima': (('runs', 'x', 'y'), ('beside', 'by', 'by_label', 'log_x', 'log_y')),
    'curves': (('runs', 'y'), ('per_epoch', 'log_x', 'times', 'reference')),
    'bars': (('values',), ()),
    'scatter': (('values', 'x'), ('groups', 'named', 'log_x')),
    'matrices': (('values',), ('label',)),
    'soft_targets': (('run', 'analysis'), ()),
    'shares': (('claims',), ()),
}


HELD = ('paper', 'rule', 'provided', 'regime', 'own', 'why', 'evidence')  # how a claim is held against the paper's
CLAIMS: Kinds = {
    'number': (('value',), HELD),
    'share': (('value', 'low', 'high'), HELD),
    'difference': (('value', 'low'), HELD),
    'ratio': (('value', 'high'), HELD),
    'optimum': (('runs', 'x', 'y'), HELD),
    'extrapolation': (('value', 'times'), HELD),
}


LIMITS = ((('above', 'at_least'), -math.inf), (('at_most', 'below'), math.inf))  # of a rule
SECTIONS = ('tables', 'claims', 'figures', 'chosen')
WORDS = ('kind', 'title', 'caption', 'xlabel', 'ylabel')


def check_report(study: dict[str, Any], runs: Iterable[str] | None = None) -> None:
    """Checks the report section of a study: its keys, its kinds, and the runs that it names.

    Args:
      study: content of study.json.
      runs: names of all runs of the study; None skips the check of run names.
    Raises:
      UserError: the first mistake, with a suggestion of known names.
    """
    report = study.get('report') or {}
    known = None if runs is None else list(runs)
    _known_keys(report, ('lead', *SECTIONS), 'the report')
    for key, named in report.items():
        if key in SECTIONS and not isinstance(named or {}, dict):
            raise UserError(f'{key} of the report are {named!r}, but they must be a dictionary: name -> options.')
    if wrong := misfit(json_value(report), ReportSection):
        raise UserError(f'report: {wrong}.')
    check_choices(report, known)
    chosen = list(report.get('chosen') or {})
    known = None if known is None else [*known, *chosen]
    for name, table in (report.get('tables') or {}).items():
        _check_table(table, known, f'table {name!r}')
    for name, claim in (report.get('claims') or {}).items():
        _check_claim(claim, known, f'claim {name!r}')
        _known_globs(claim.get('runs', ()), known, chosen, f'claim {name!r}')
    for name, figure in (report.get('figures') or {}).items():
        _check_figure(name, figure, known, report.get('claims') or {})
        _known_globs(figure.get('runs', ()), known, chosen, f'figure {name!r}')
    if 'lead' in report:
        _one_of(report['lead'], report.get('figures') or {}, "'lead' of the report", 'figures')


def _check_table(table: dict[str, Any], known: list[str] | None, where: str) -> None:
    _needs(table, ('columns', 'rows'), where)
    _known_keys(table, ('title', 'text', 'columns', 'rows', 'baseline', 'teachers', 'compare'), where)
    for key, known_names in (('baseline', table['rows']), ('compare', table['columns'])):
        if key in table:
            _one_of(table[key], known_names, f'{where}, {key!r}', 'rows' if key == 'baseline' else 'columns')
    for teacher in table.get('teachers') or ():
        _one_of(teacher, table['rows'], f"{where}, 'teachers'", 'rows')
    for key, row in table['rows'].items():
        place = f'{where}, row {key!r}'
        _known_run(row.get('run', key), known, place)
        _known_keys(row, ('label', 'run', 'columns', 'paper'), place)
        _known_keys(row.get('columns') or {}, table['columns'], f"{place}, 'columns'")
        _known_keys(row.get('paper') or {}, table['columns'], f"{place}, 'paper'")


def _check_claim(claim: dict[str, Any], known: list[str] | None, where: str) -> None:
    _check_kind(claim, CLAIMS, where)
    for key in [key for key in CLAIMS[claim['kind']][0] if key in REFERENCES]:
        _known_run(split_reference(claim[key])[0], known, f'{where}, {key!r}')
    for label, value in (claim.get('evidence') or {}).items():
        _known_run(split_reference(value)[0], known, f"{where}, 'evidence', {label!r}")
    for key in CONDITION if 'provided' in claim else ():
        _known_run(split_reference(claim['provided'][key])[0], known, f"{where}, 'provided', {key!r}")
    rule = claim.get('rule')
    if rule is not None and not (rule and set(rule) <= set(BOUNDS)):
        raise UserError(
            f"report: {where}, 'rule' is {rule!r}, but it must be a dictionary with some of "
            f'{", ".join(BOUNDS)}, such as dict(at_least=0.8).'
        )
    low, high = ([(rule or {}).get(key, end) for key in keys] for keys, end in LIMITS)
    if max(low) > min(high):
        raise UserError(f"report: {where}, 'rule' is {rule!r}, which no number meets; exchange the two.")
    for key in ('provided', 'regime', 'own', 'why', 'evidence'):
        if key in claim and not rule:
            raise UserError(f"report: {where} has a {key!r} but no 'rule', so it says nothing; add a rule.")


def _check_figure(name: str, figure: dict[str, Any], known: list[str] | None, claims: Mapping[str, Any]) -> None:
    where = f'figure {name!r}'
    if not name.replace('-', '').replace('_', '').isalnum():
        raise UserError(f'report: the name of {where} becomes a file name; use only letters, digits, - and _.')
    _check_kind(figure, FIGURES, where)
    if isinstance(figure.get('x'), dict) != (figure['kind'] == 'scatter') and 'x' in figure:
        wanted = 'a dictionary: label -> number' if figure['kind'] == 'scatter' else 'the path of a number'
        raise UserError(f"report: {where}, 'x' is {figure['x']!r}, but it must be {wanted}.")
    for label, value in {**(figure.get('values') or {}), **(figure.get('reference') or {})}.items():
        _known_run(split_reference(value)[0], known, f'{where}, {label!r}')
    for key in ('x', 'groups', 'named') if figure['kind'] == 'scatter' else ():
        _known_keys(figure.get(key) or (), figure['values'], f'{where}, {key!r}')
    for label in figure['values'] if figure['kind'] == 'scatter' else ():
        if label not in figure['x']:
            raise UserError(f"report: {where}: {label!r} has no number in 'x', so it has no place; add one.")
    for claim in (figure.get('claims') or {}).values():
        shares = {key: entry for key, entry in claims.items() if entry['kind'] in ('share', 'ratio')}
        _one_of(claim, shares, f'{where}, the claim', 'claims of kind share or ratio')
    if 'run' in figure:
        _known_run(figure['run'], known, where)
    if figure['kind'] == 'curves' and isinstance(figure['runs'], Mapping) and known is not None:
        _one_label(figure['runs'], known, where)


def _one_label(labels: Mapping[str, Any], known: list[str], where: str) -> None:
    """Checks that no run is given two labels, of which a figure would show one."""
    of: dict[str, str] = {}
    for label, globs in labels.items():
        found = [run for pattern in run_globs(globs) for run in matching(pattern, known)]
        if len(found) == 1 and of.setdefault(found[0], label) != label:
            raise UserError(
                f"report: {where}: run '{found[0]}' has the labels {of[found[0]]!r} and {label!r}; leave one out."
            )


def _known_globs(patterns: str | Iterable[str], known: list[str] | None, chosen: Iterable[str], where: str) -> None:
    """Checks that each glob matches a run, or is the whole name of a chosen one, which no other glob matches."""
    for pattern in run_globs(patterns):
        if known is not None and pattern not in chosen and not set(matching(pattern, known)) - set(chosen):
            raise UserError(f'report: {where}: no run matches {pattern!r}. {suggest(pattern, known)}')


def _check_kind(entry: dict[str, Any], kinds: Kinds, where: str) -> None:
    _needs(entry, ('kind',), where)
    if entry['kind'] not in kinds:
        hint = suggest(entry['kind'], kinds)
        raise UserError(f'report: {where} has the unknown kind {entry["kind"]!r}. {hint}')
    needed, optional = kinds[entry['kind']]
    _needs(entry, needed, where)
    _known_keys(entry, (*needed, *optional, *WORDS), where)


def _needs(entry: dict[str, Any], keys: Iterable[str], where: str) -> None:
    for key in keys:
        if key not in entry:
            raise UserError(f'report: {where} needs a {key!r}.')


def _known_keys(entry: Iterable[str], known: Iterable[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise UserError(f'report: {where} has an unknown key {key!r}. {suggest(key, known)}')


def _one_of(name: Any, known: Mapping[str, Any], where: str, what: str) -> None:
    if not isinstance(name, str) or name not in known:
        raise UserError(f'report: {where} is {name!r}, but it must be one of the {what}. {suggest(str(name), known)}')


def _known_run(run: str, known: list[str] | None, where: str) -> None:
    if known is not None and run not in known:
        raise UserError(f'report: {where} names the unknown run {run!r}. {suggest(run, known)}')
