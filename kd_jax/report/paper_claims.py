"""Claims of a study: a number, a share of a gain, a ratio, a difference or a best setting, held against the paper's."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from kd_jax.report import claim_verdicts, number_format
from kd_jax.report.check_report import CLAIMS
from kd_jax.report.optimum import optimum, optimum_in_words
from kd_jax.report.path_words import last_key, metric_in_words, path_in_words
from kd_jax.report.power_law import extrapolated
from kd_jax.report.result_files import (
    Measure,
    Results,
    measure_over_seeds,
    measures_of,
    on_common_seeds,
    some_seeds,
    split_reference,
    why_missing,
)
from kd_jax.report.stated_units import stated_in
from kd_jax.report.swept_numbers import grouped, repeated
from kd_jax.report.table_texts import row_labels
from kd_jax.report.tables import study_tables

Labels = Mapping[tuple[str, str], str]  # (run, value path) -> label of a row


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim with its numbers.

    Attributes:
      name: name of the claim in the report section.
      title: title of the claim.
      kind: its kind, see `report`.
      of_means: the claim computed from the mean of each run over the seeds that all its runs have, or over all seeds
        if they have none in common; None if it cannot be computed.
      seedwise: the claim computed for each seed that all its runs have; None if no seed gives a number.
      paper: the number that the paper reports; None if it reports none, or something else than one number.
      sentence: the claim in words.
      rule: the rule by which it is judged, in words; '' without one.
      ours: our number as text; '' if it cannot be computed.
      papers: what the paper reports, as text; '' if it reports nothing of the kind.
      verdict: whether it is reproduced, see `claim_verdicts.judged`; '' if the claim has no rule.
      why: if it is not reproduced or does not hold, what the experiments say about why.
      seconds: what its runs and those that they need took, over all seeds; 0 if the claim has no number yet.
      command: the command that runs them again; '' if it is not known.
    """

    name: str
    title: str
    kind: str
    of_means: float | None
    seedwise: Measure | None
    paper: float | None
    sentence: str
    rule: str
    ours: str
    papers: str
    verdict: str
    why: str
    seconds: float
    command: str


class Weighed(NamedTuple):
    """A claim's number: see `Claim`.

    `interval` is its 95% interval, `unjudged` says why no rule can judge it, and `doubt` why that proves nothing.
    """

    of_means: float | None
    seedwise: Measure | None
    words: str
    unit: number_format.Unit
    interval: tuple[float, float] | None = None
    unjudged: str = ''
    doubt: str = ''


def study_claims(study: dict[str, Any], results: Results) -> list[Claim]:
    """Returns the claims of the study's report section."""
    entries = (study.get('report') or {}).get('claims') or {}
    labels = row_labels(study_tables(study, results)) if entries else {}
    return [_claim(name, entry, study, results, labels) for name, entry in entries.items()]


def _claim(name: str, entry: dict[str, Any], study: dict[str, Any], results: Results, labels: Labels) -> Claim:
    weigh = {'number': _number, 'optimum': _optimum, 'extrapolation': _extrapolation}.get(entry['kind'], _paired)
    gap = claim_verdicts.unfinished(entry, study, results)
    found = _open(entry, [gap], results) if gap else weigh(entry, results, labels)
    doubt = found.doubt or claim_verdicts.doubt_about(entry, found.seedwise, found.interval)
    otherwise = found.unjudged or claim_verdicts.unmet(entry, results)
    verdict, rule = claim_verdicts.judged(entry, found.of_means, found.interval, found.unit, otherwise, doubt)
    runs = claim_verdicts.runs_of_claim(entry, study.get('runs') or results)
    ours = '' if found.of_means is None else _shown(found, signed=entry['kind'] == 'difference')
    stated = entry.get('paper')
    paper = None if isinstance(stated, str) else stated
    papers = stated or '' if paper is None else _quoted(paper, found.unit, entry['kind'])
    return Claim(
        name, entry.get('title', name), entry['kind'], found.of_means, found.seedwise, paper,
        ' '.join(filter(None, (found.words, papers and f'The paper reports {papers}.', rule and f'The rule: {rule}.'))),
        rule, ours, papers, verdict, _why(entry, results) if verdict.startswith(claim_verdicts.REFUTED) else '',
        claim_verdicts.seconds_of(runs, results, study.get('runs')) if ours else 0.0,
        claim_verdicts.command_for(runs, study),
    )  # fmt: skip


def _shown(found: Weighed, signed: bool) -> str:
    """The number of a claim, with its standard deviation or its interval."""
    assert found.of_means is not None
    digits = number_format.decimals(found.of_means, found.unit, found.seedwise.n if found.seedwise else 1)
    text = (number_format.signed if signed else number_format.plain)(found.of_means, found.unit, digits)
    if found.seedwise and found.seedwise.sd is not None:
        text += f' ± {number_format.plain(found.seedwise.sd, found.unit, digits)}'
    elif found.interval:
        text += f' ({" to ".join(number_format.plain(end, found.unit) for end in found.interval)})'
    return f'{text} points' if signed and found.unit == 'fraction' else number_format.with_unit(text, found.unit)


def _why(entry: dict[str, Any], results: Results) -> str:
    """What the experiments say about why: the claim's text, and the numbers of its `evidence`."""
    measures, gaps = measures_of(entry.get('evidence') or {}, results)
    units = {label: stated_in(results, split_reference(entry['evidence'][label]))['unit'] for label in measures}
    shown = [
        f'{label} {number_format.with_unit(number_format.measured(own, units[label]), units[label])}'
        for label, own in measures.items()
    ]
    return ' '.join(filter(None, (entry.get('why', ''), f'Measured: {"; ".join(shown)}.' if shown else '', gaps)))


def _number(entry: dict[str, Any], results: Results, labels: Labels) -> Weighed:
    value = measure_over_seeds(results, *split_reference(entry['value']))
    if value is None:
        return _open(entry, _gaps(entry, ('value',), [value], results), results)
    unit = stated_in(results, split_reference(entry['value']))['unit']
    [name] = _named(entry, {'value': value}, unit, labels, results)
    what = _what(entry, unit).removeprefix('points of ')
    words = f'{what[:1].upper()}{what[1:]} of {name}.'
    return Weighed(value.mean, value, words, unit, value.interval)


def _optimum(entry: dict[str, Any], results: Results, labels: Labels) -> Weighed:
    groups, gaps = grouped(entry, results)
    lines = [own for group in groups.values() for own in group]
    measures = {own.x: own.y for own in lines}
    stated = stated_in(results, *((own.run, entry['y']) for own in lines))
    found = optimum(measures, lower=stated.get('better') != 'higher')
    gaps = f'{repeated(lines, entry["x"])} {gaps}'.strip()
    if found is None or gaps:
        return Weighed(None, None, f'Open: {gaps or "these runs have no seed in common."}', 'number')
    name = last_key(entry['x'])
    words = f'The best {name} is {optimum_in_words(found)}, by {path_in_words(entry["y"])}'
    if found.interval:
        words += f'; 95% interval over {number_format.seeds(found.seeds)}'
    return Weighed(found.best, None, f'{words}.', 'number', found.interval, doubt=found.doubt)


def _extrapolation(entry: dict[str, Any], results: Results, labels: Labels) -> Weighed:
    place = split_reference(entry['value'])
    found, unit = extrapolated(entry, results), stated_in(results, place)['unit']
    words = f'“{labels.get(place, place[0])}”: {found.words}.' if found.value is not None else f'Open: {found.words}.'
    return Weighed(found.value, None, words, unit)


def _paired(entry: dict[str, Any], results: Results, labels: Labels) -> Weighed:
    """A share, ratio or difference, on the seeds that all its parts have.

    Without such seeds it is that of the means over all seeds, which may differ because the seeds do: it is not judged.
    """
    keys = CLAIMS[entry['kind']][0]
    measured = {key: measure_over_seeds(results, *split_reference(entry[key])) for key in keys}
    if gaps := _gaps(entry, keys, list(measured.values()), results):
        return _open(entry, gaps, results)
    every = {key: part for key, part in measured.items() if part}
    common = on_common_seeds(list(every.values()))
    parts = dict(zip(keys, common, strict=True)) if common else every
    seeds = sorted(common[0].by_seed) if common else []
    unit = stated_in(results, split_reference(entry['value']))['unit']
    weigh = {'share': _share, 'ratio': _ratio, 'difference': _difference}[entry['kind']]
    found = weigh(entry, list(parts.values()), seeds, _named(entry, parts, unit, labels, results), unit)
    interval = found.seedwise.interval if found.seedwise else None
    return found._replace(interval=interval, unjudged='' if common else 'the runs have no seed in common')


def _share(
    entry: dict[str, Any], parts: list[Measure], seeds: list[int], names: list[str], unit: number_format.Unit
) -> Weighed:
    value, low, high = parts
    by_seed = {
        seed: (value.by_seed[seed] - low.by_seed[seed]) / (high.by_seed[seed] - low.by_seed[seed])
        for seed in seeds
        if high.by_seed[seed] != low.by_seed[seed]
    }
    if high.mean == low.mean:
        of_means = None
        words = f'{names[1]} and {names[2]} are equal, so the gain is zero and a share of it is undefined.'
    else:
        of_means = (value.mean - low.mean) / (high.mean - low.mean)
        words = f'{names[0]} is {_percent(of_means)} of the way from {names[1]} to {names[2]}'
        words += _seedwise(by_seed, len(seeds)) + '.'
    return Weighed(of_means, Measure(by_seed) if by_seed else None, words, 'fraction')


def _ratio(
    entry: dict[str, Any], parts: list[Measure], seeds: list[int], names: list[str], unit: number_format.Unit
) -> Weighed:
    value, high = parts
    by_seed = {seed: value.by_seed[seed] / high.by_seed[seed] for seed in seeds if high.by_seed[seed]}
    if not high.mean:
        of_means = None
        words = f'{names[1]} is zero, so the ratio to it is undefined.'
    else:
        of_means = value.mean / high.mean
        words = f'{names[0]} is {_percent(of_means)} of {names[1]}{_seedwise(by_seed, len(seeds))}.'
    return Weighed(of_means, Measure(by_seed) if by_seed else None, words, 'fraction')


def _difference(
    entry: dict[str, Any], parts: list[Measure], seeds: list[int], names: list[str], unit: number_format.Unit
) -> Weighed:
    value, low = parts
    seedwise, of_means = value.over(low), value.mean - low.mean
    digits = number_format.decimals(of_means, unit, max(value.n, low.n))
    words = number_format.signed(of_means, unit, digits)
    if seedwise and seedwise.sd is not None:
        words += f' ± {number_format.plain(seedwise.sd, unit, digits)}'
    words += f' {_what(entry, unit)} from {names[1]} to {names[0]}'
    if not seedwise:
        words += ', the difference of the means (the two runs have no seed in common)'
    elif seedwise.n == 1:
        words += ', on one seed'
    elif seedwise.sd:
        size = abs(seedwise.mean) / seedwise.sd
        words += f', seed by seed over {number_format.seeds(seedwise.n)}: {size:.1f} standard deviations'
    return Weighed(of_means, seedwise, f'{words}.', unit)


def _quoted(paper: float, unit: number_format.Unit, kind: str) -> str:
    """The paper's number; a difference of fractions is in percentage points and has its sign."""
    text = number_format.quoted(paper, unit)
    if kind == 'difference':
        return f'+{text}' if paper > 0 else text
    return number_format.with_unit(text, unit)


def _what(entry: dict[str, Any], unit: number_format.Unit) -> str:
    name = metric_in_words(split_reference(entry['value'])[1])
    return f'points of {name}' if unit == 'fraction' else name


def _open(entry: dict[str, Any], gaps: list[str], results: Results) -> Weighed:
    run, path = split_reference(entry['value']) if 'value' in entry else ('', '')
    stated = stated_in(results, *((one, path) for one in (run, *entry.get('candidates', ()))))
    unit = 'fraction' if entry['kind'] in ('share', 'ratio') else stated['unit']
    return Weighed(None, None, f'Open: {" ".join(gaps)}', unit)


def _gaps(entry: dict[str, Any], keys: tuple[str, ...], parts: list[Measure | None], results: Results) -> list[str]:
    gaps = [entry[key] for key, part in zip(keys, parts, strict=True) if part is None]
    return list(dict.fromkeys(why_missing(results, *split_reference(gap)) for gap in gaps))


def _named(
    entry: dict[str, Any], parts: dict[str, Measure], unit: number_format.Unit, labels: Labels, results: Results
) -> list[str]:
    """Returns the name of each part with its number, and on how many seeds it has one if some that ran have none.

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
    few = [some_seeds(results, *place) for place in places]
    return [f'“{name}” ({text}{said and f", {said}"})' for name, text, said in zip(names, numbers, few, strict=True)]


def _percent(share: float) -> str:
    return f'{100 * share:.1f}%'.replace('-', '−')


def _seedwise(by_seed: dict[int, float], common: int) -> str:
    if not common:
        return ', computed from the means (the runs have no seed in common)'
    if not by_seed or common == 1:
        return ', on one seed' if common == 1 else ''
    share = Measure(by_seed)
    spread = f' ± {100 * share.sd:.1f}%' if share.sd is not None else ''
    if share.interval and share.n > 2:
        spread += f', 95% interval {_percent(share.interval[0])} to {_percent(share.interval[1])}'
    left_out = f'; {number_format.seeds(common - share.n)} without any gain left out' if share.n < common else ''
    return f'; seed by seed {_percent(share.mean)}{spread} ({number_format.seeds(share.n)}{left_out})'
