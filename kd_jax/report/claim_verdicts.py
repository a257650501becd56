"""Whether a claim of the paper is reproduced, what its runs cost, and the command that runs them again."""

import itertools
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kd_jax.config.name_globs import matching
from kd_jax.config.references import runs_referred_to
from kd_jax.report import number_format
from kd_jax.report.asked_runs import said_unfinished
from kd_jax.report.result_files import Measure, Results, matching_runs, measure_over_seeds, run_globs, split_reference
from kd_jax.report.stated_units import is_set

OPEN = 'open'
NOT_CERTAIN = ', not certain'  # the 95% interval lies on both sides of the rule, or there is none to trust
VERDICTS = {False: ('reproduced', 'not reproduced'), True: ('holds', 'does not hold')}  # by the option `own`
REFUTED = tuple(refuted for _, refuted in VERDICTS.values())
BOUNDS = ('above', 'at_least', 'at_most', 'below')
REFERENCES = ('value', 'low', 'high')  # the keys of a claim that name a run and a path
CONDITION = ('value', 'above')  # those of its condition

Interval = tuple[float, float] | None


class Verdict(NamedTuple):
    """What a rule says of a number, such as 'reproduced', and the rule in words; both '' without a rule."""

    verdict: str
    rule: str


def unfinished(entry: Mapping[str, Any], study: Mapping[str, Any], results: Results) -> str:
    """Why a claim about all runs of a grid has no number yet, though some of them have run; '' if all have run.

    Args:
      entry: the claim's options, with `not_chosen` from `with_chosen_runs`.
      study: content of study.json.
      results: the results of the study.
    """
    if reasons := entry.get('not_chosen'):
        return ' '.join(f'“{name}” is not chosen: {reason}.' for name, reason in reasons.items())
    missing = said_unfinished(study, results, matching_runs(study.get('runs') or {}, entry.get('runs', ())))
    return f'{missing}.' if missing else ''


def unmet(entry: Mapping[str, Any], results: Results) -> str:
    """Why a claim cannot be judged: its condition `provided` is not met, or cannot be checked; '' if it can be judged.

    It is met if its value is above the other number: on average, and with several seeds by a 95% interval of the
    difference that does not include 0. Equal differences have no interval, so they are not known to be above it.
    """
    if not (condition := entry.get('provided')):
        return ''
    value, low = (measure_over_seeds(results, *split_reference(condition[key])) for key in CONDITION)
    difference = value.over(low) if value and low else None
    if difference is None:
        runs = ' and '.join(split_reference(condition[key])[0] for key in CONDITION)
        return f'there is no seed for which both {runs} have run'
    least = difference.interval[0] if difference.interval else difference.mean
    return '' if least > 0 and not difference.is_constant else condition['otherwise']


def judged(
    entry: Mapping[str, Any],
    value: float | None,
    interval: Interval,
    unit: number_format.Unit,
    otherwise: str = '',
    doubt: str = '',
) -> Verdict:
    """Holds the number of a claim against its rule.

    The number decides. If a 95% interval is known and the number's side of the rule is not that of the whole interval,
    or if there is no interval to trust, the verdict is not certain, and says so.

    Args:
      entry: the claim's options: `rule` is a dictionary of `BOUNDS`; `regime` says in which other regime than the
        paper's it is tested; `own` says that the claim is not the paper's.
      value: the number; None if a run is missing.
      interval: its 95% interval, if known.
      unit: the unit of the number.
      otherwise: why the claim cannot be judged, from `unmet`; '' if it can.
      doubt: why there is no interval to trust, such as from `doubt_about`; '' if there is one, or if none is needed.
    """
    rule = entry.get('rule')
    if not rule:
        return Verdict('', '')
    words = _rule_in_words(rule, unit)
    if value is None:
        return Verdict(OPEN, words)
    if otherwise:
        return Verdict(f'{OPEN}: {otherwise}', words)
    met = _meets(rule, value)
    certain = not doubt and (
        not interval
        or (
            all(_meets(rule, end) == met for end in interval)
            and not any(interval[0] < bound < interval[1] for bound in rule.values())
        )
    )
    if doubt:
        words += f'; {doubt}'
    elif interval and not certain:
        low, high = (number_format.plain(end, unit) for end in interval)
        words += f'; the 95% interval, {low} to {number_format.with_unit(high, unit)}, leaves it open'
    confirmed, refuted = VERDICTS[bool(entry.get('own'))]
    regime = f' in another regime ({entry["regime"]})' if entry.get('regime') else ''
    return Verdict((confirmed + regime if met else refuted) + ('' if certain else NOT_CERTAIN), words)


def doubt_about(entry: Mapping[str, Any], seedwise: Measure | None, interval: Interval) -> str:
    """Why it is unknown how much a claim's number differs between seeds.

    Args:
      entry: the claim's options.
      seedwise: the number of each seed, if known.
      interval: its 95% interval, if known.
    Returns:
      '' if the number has an interval, or if the config sets it, so that no seed changes it.
    """
    if interval or all(is_set(split_reference(entry[key])[1]) for key in REFERENCES if key in entry):
        return ''
    if seedwise is None:
        return 'there is no 95% interval'
    return (
        f'{"every seed gives the same number" if seedwise.n > 1 else "one seed gives it"}, so there is no 95% interval'
    )


def _meets(rule: Mapping[str, float], value: float) -> bool:
    inside = rule.get('at_least', value) <= value <= rule.get('at_most', value)
    return inside and rule.get('above', -math.inf) < value < rule.get('below', math.inf)


def _rule_in_words(rule: Mapping[str, float], unit: number_format.Unit) -> str:
    bounds = {key: number_format.with_unit(number_format.quoted(bound, unit), unit) for key, bound in rule.items()}
    if set(bounds) == {'at_least', 'at_most'}:
        return f'from {bounds["at_least"]} to {bounds["at_most"]}'
    return ' and '.join(f'{key.replace("_", " ")} {bounds[key]}' for key in BOUNDS if key in bounds)


def runs_of_claim(entry: Mapping[str, Any], results: Iterable[str]) -> list[str]:
    """The runs that a claim needs: those of its references, those that its globs match, and those it was chosen from.

    Args:
      entry: the claim's options; `with_chosen_runs` adds `candidates` and `not_chosen`.
      results: the names of the runs.
    """
    named = [split_reference(entry[key])[0] for key in REFERENCES if key in entry]
    named += [split_reference(entry['provided'][key])[0] for key in CONDITION if 'provided' in entry]
    known = list(results)
    matched = [run for pattern in run_globs(entry.get('runs', ())) for run in matching(pattern, known)]
    found = dict.fromkeys([*named, *entry.get('candidates', ()), *matched])
    return [run for run in found if run not in entry.get('not_chosen', {})]


def seconds_of(runs: Sequence[str], results: Results, asked: Mapping[str, Any] | None = None) -> float:
    """The time of runs and of all runs that they need, over all seeds; each run counts once.

    Args:
      runs: the names of the runs.
      results: the results, which state the time of each run, and its complete config.
      asked: the config of each run in the study, if it is known: a complete config holds the values that were read from
        other results, and not from which.
    """
    configs = asked or {}
    waiting, counted = list(runs), dict[str, float]()
    while waiting:
        run = waiting.pop()
        if run in counted or run not in results:
            continue
        every = results[run].values()
        counted[run] = sum(result.get('seconds') or 0.0 for result in every)
        waiting += runs_referred_to([configs.get(run), *(result.get('config') for result in every)])
    return sum(counted.values())


def command_for(runs: Sequence[str], study: Mapping[str, Any]) -> str:
    """The command that runs these runs and what they need; '' if the study does not say how it was started.

    It has the config file and the overrides of its leaves. Both `--config=FILE` and `--config FILE` name the file.
    """
    try:
        words = shlex.split(study.get('command') or '')
    except ValueError:  # a quotation mark that is not closed
        return ''
    files = [word for word in words if word.startswith('--config=')]
    files += [f'--config={file}' for word, file in itertools.pairwise(words) if word == '--config']
    config = shlex.join([*files, *(word for word in words if word.startswith('--config.'))])
    only = shlex.quote(','.join(runs)) if len(runs) == 1 else f"'{','.join(runs)}'"
    return f'python -m experiments.run {config} --only={only}' if files and runs else ''
