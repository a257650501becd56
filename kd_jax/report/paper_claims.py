"""Claims of a study: a share of a gain, or a difference, beside the number that the paper reports."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kd_jax.report import number_format
from kd_jax.report.result_files import Measure, Results, measure_over_seeds, path_in_words, split_reference, why_missing
from kd_jax.report.stated_units import stated_in
from kd_jax.report.table_texts import row_labels
from kd_jax.report.tables import study_tables

Labels = Mapping[tuple[str, str], str]  # (run, value path) -> label of a row


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim with its numbers.

    Attributes:
      name: name of the claim in the report section.
      title: title of the claim.
      of_means: the claim computed from the mean of each run; None if it cannot be computed.
      seedwise: the claim computed for each seed that all its runs have; None if no seed gives a number.
      paper: the number that the paper reports; None if it reports none.
      sentence: the claim in words.
    """

    name: str
    title: str
    of_means: float | None
    seedwise: Measure | None
    paper: float | None
    sentence: str


def study_claims(study: dict[str, Any], results: Results) -> list[Claim]:
    """Returns the claims of the study's report section."""
    entries = (study.get('report') or {}).get('claims') or {}
    weigh = {'share': _share, 'difference': _difference}
    labels = row_labels(study_tables(study, results)) if entries else {}
    return [weigh[entry['kind']](name, entry, results, labels) for name, entry in entries.items()]


def _share(name: str, entry: dict[str, Any], results: Results, labels: Labels) -> Claim:
    value, low, high = parts = [
        measure_over_seeds(results, *split_reference(entry[key])) for key in ('value', 'low', 'high')
    ]
    gaps = _gaps(entry, ('value', 'low', 'high'), parts, results)
    if gaps or value is None or low is None or high is None:
        return _open(name, entry, gaps, results)
    by_seed = {
        seed: (value.by_seed[seed] - low.by_seed[seed]) / (high.by_seed[seed] - low.by_seed[seed])
        for seed in _common(value, low, high)
        if high.by_seed[seed] != low.by_seed[seed]
    }
    seedwise = Measure(by_seed) if by_seed else None
    of_means = (value.mean - low.mean) / (high.mean - low.mean) if high.mean != low.mean else None
    unit = stated_in(results, split_reference(entry['value']))['unit']
    names = _named(entry, {'value': value, 'low': low, 'high': high}, unit, labels)
    if of_means is None:
        words = f'{names[1]} and {names[2]} are equal, so the gain is zero and a share of it is undefined.'
    else:
        words = f'{names[0]} is {_percent(of_means)} of the way from {names[1]} to {names[2]}'
        words += _seedwise(seedwise, len(_common(value, low, high))) + '.'
    return _claim(name, entry, of_means, seedwise, words, 'fraction')


def _difference(name: str, entry: dict[str, Any], results: Results, labels: Labels) -> Claim:
    value, low = parts = [measure_over_seeds(results, *split_reference(entry[key])) for key in ('value', 'low')]
    gaps = _gaps(entry, ('value', 'low'), parts, results)
    if gaps or value is None or low is None:
        return _open(name, entry, gaps, results)
    seedwise = value.over(low)
    of_means = value.mean - low.mean
    unit = stated_in(results, split_reference(entry['value']))['unit']
    shown = seedwise.mean if seedwise else of_means
    digits = number_format.decimals(shown, unit, seedwise.n if seedwise else max(value.n, low.n))
    words = number_format.signed(shown, unit, digits)
    if seedwise and seedwise.sd is not None:
        words += f' ± {number_format.plain(seedwise.sd, unit, digits)}'
    words += f' {_what(entry, unit)}'
    names = _named(entry, {'value': value, 'low': low}, unit, labels)
    words += f' from {names[1]} to {names[0]}'
    if not seedwise:
        words += ', the difference of the means (the two runs have no seed in common)'
    elif seedwise.n == 1:
        words += ', on one seed'
    elif seedwise.sd:
        size = abs(seedwise.mean) / seedwise.sd
        words += f', seed by seed over {number_format.seeds(seedwise.n)}: {size:.1f} standard deviations'
    return _claim(name, entry, of_means, seedwise, f'{words}.', unit)


def _claim(
    name: str,
    entry: dict[str, Any],
    of_means: float | None,
    seedwise: Measure | None,
    words: str,
    unit: number_format.Unit,
) -> Claim:
    paper = entry.get('paper')
    sentence = words + _papers(entry, paper, unit)
    return Claim(name, entry.get('title', name), of_means, seedwise, paper, sentence)


def _papers(entry: dict[str, Any], paper: float | None, unit: number_format.Unit) -> str:
    if paper is None:
        return ''
    if entry['kind'] == 'share':
        return f' The paper reports {number_format.quoted(paper, "fraction")}%.'
    sign = '+' if paper > 0 else ''
    return f' The paper reports {sign}{number_format.quoted(paper, unit)}.'


def _what(entry: dict[str, Any], unit: number_format.Unit) -> str:
    name = split_reference(entry['value'])[1].rpartition('.')[2]
    return f'points of {name}' if unit == 'fraction' else name


def _open(name: str, entry: dict[str, Any], gaps: list[str], results: Results) -> Claim:
    unit = stated_in(results, split_reference(entry['value']))['unit']
    return _claim(name, entry, None, None, f'Open: {" ".join(gaps)}', unit)


def _gaps(entry: dict[str, Any], keys: tuple[str, ...], parts: list[Measure | None], results: Results) -> list[str]:
    gaps = [entry[key] for key, part in zip(keys, parts, strict=True) if part is None]
    return list(dict.fromkeys(why_missing(results, *split_reference(gap)) for gap in gaps))


def _common(*measures: Measure) -> list[int]:
    return sorted(set.intersection(*(set(m.by_seed) for m in measures)))


def _named(entry: dict[str, Any], parts: dict[str, Measure], unit: number_format.Unit, labels: Labels) -> list[str]:
    """Returns the name of each part with its number.

    A part is named by the label of the table row that shows its number. Without one it is named by its run, and by the
    number too if two parts are of one run.
    """
    places = [split_reference(entry[key]) for key in parts]
    runs = [run for run, _ in places]
    names = [
        labels.get((run, path)) or (run if runs.count(run) == 1 else f'{run}, {path_in_words(path)}')
        for run, path in places
    ]
    numbers = [number_format.with_unit(number_format.measured(part, unit), unit) for part in parts.values()]
    return [f'“{name}” ({text})' for name, text in zip(names, numbers, strict=True)]


def _percent(share: float) -> str:
    return f'{100 * share:.1f}%'.replace('-', '−')


def _seedwise(share: Measure | None, common: int) -> str:
    if not common:
        return ', computed from the means (the runs have no seed in common)'
    if share is None or common == 1:
        return ', on one seed' if common == 1 else ''
    spread = f' ± {100 * share.sd:.1f}%' if share.sd is not None else ''
    if share.interval and share.n > 2:
        spread += f', 95% interval {_percent(share.interval[0])} to {_percent(share.interval[1])}'
    left_out = f'; {number_format.seeds(common - share.n)} without any gain left out' if share.n < common else ''
    return f'; seed by seed {_percent(share.mean)}{spread} ({number_format.seeds(share.n)}{left_out})'
