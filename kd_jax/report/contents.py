"""The contents of a report: what was run, on which hardware, when, and at which commit."""

import dataclasses
import datetime
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kd_jax.report import number_format
from kd_jax.report.asked_runs import LeftAside, Results, missing_runs, ranges
from kd_jax.report.chosen_runs import said_chosen
from kd_jax.report.finding import Finding
from kd_jax.report.paper_claims import Claim
from kd_jax.report.result_files import HAS_CHECKSUM
from kd_jax.report.samples import SampleTexts
from kd_jax.report.tables import NOT_RUN, Table
from kd_jax.report.validation_use import unused_validation

LEFT_ASIDE = 'These results lie in the directory of the study and count nowhere in this report.'


@dataclasses.dataclass(frozen=True)
class Picture:
    """A drawn figure. `note` says what is missing from it; `path` is None if nothing could be drawn; one may lead."""

    name: str
    kind: str
    title: str
    caption: str
    path: Path | None
    note: str = ''
    leads: bool = False


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where one result file comes from."""

    run: str
    seed: int
    commit: str
    dirty: bool | None
    finished: str
    seconds: float | None
    has_checksum: bool


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that a report shows, as data; `markdown_page` and `html_page` write it out.

    `missing` says which results the study asks for and does not have; '' if it is complete.
    """

    name: str
    title: str
    text: str
    finding: Finding
    lead: Picture | None
    missing: str
    facts: dict[str, str]
    tables: list[Table]
    claims: list[Claim]
    samples: list[SampleTexts]
    figures: list[Picture]
    curves: list[Picture]
    origins: list[Origin]
    left_aside: list[LeftAside]


def facts(study: dict[str, Any], results: Results, left_aside: Sequence[LeftAside] = ()) -> dict[str, str]:
    """Returns what was run, on which hardware and for how long: name -> text. Unknown facts are left out.

    `left_aside` are the results that count nowhere.
    """
    every = [result for seeds in results.values() for result in seeds.values()]
    seconds = [result['seconds'] for result in every if result.get('seconds') is not None]
    seeds = sorted({result['seed'] for result in every})
    entries = {
        'study': study['name'] + (f', variant {study["variant"]}' if study.get('variant') else ''),
        'runs': f'{len(results)}, trained {len(every)} times in total' if every else NOT_RUN,
        'seeds': ranges(seeds),
        'missing': ', '.join(missing_runs(study, results)) if every else '',
        'left aside': f'{number_format.with_plural(len(left_aside), "result")}, listed below' if left_aside else '',
        'chosen': said_chosen(study, results),
        'validation': unused_validation(study, results),
        'time': f'{number_format.duration(sum(seconds))} in total' if seconds else '',
        'time per run': _spread(seconds) if seconds else '',
        'commit': _commits(every),
        'hardware': _several(_hardware(result.get('hardware') or {}) for result in every),
        'versions': _versions(every),
        'command': study.get('command') or '',
    }
    return {name: text for name, text in entries.items() if text}


def _spread(seconds: list[float]) -> str:
    low, middle, high = map(number_format.duration, (min(seconds), statistics.median(seconds), max(seconds)))
    return f'{middle} (median), {low} to {high}' if low != high else middle


def _several(texts: Iterable[str]) -> str:
    return '; '.join(dict.fromkeys(text for text in texts if text))


def _commits(every: list[dict[str, Any]]) -> str:
    commits = _several(str(result.get('commit') or '')[:12] for result in every)
    dirty = sum(bool(result.get('dirty')) for result in every)
    return f'{commits}; {dirty} of {len(every)} with uncommitted changes' if dirty else commits


def _hardware(hardware: dict[str, Any]) -> str:
    """Describes hardware, for example 'AMD EPYC, 2 cores, 8 tpu devices (TPU v5e)'."""
    backend, kind, devices = (hardware.get(key) for key in ('backend', 'kind', 'devices'))
    words = [str(hardware.get('processor') or '')]
    words += [number_format.with_plural(hardware['cores'], 'core') if hardware.get('cores') else '']
    words += [number_format.with_plural(devices, f'{backend} device') if backend and devices else backend or '']
    named = f' ({kind})' if kind and kind != backend else ''
    return ', '.join(word for word in words if word) + named


def _versions(every: list[dict[str, Any]]) -> str:
    found: dict[str, dict[str, None]] = {}
    for result in every:
        for name, version in (result.get('versions') or {}).items():
            found.setdefault(name, {})[str(version)] = None
    return ', '.join(f'{name} {" and ".join(versions)}' for name, versions in found.items())


def origins(results: Results) -> list[Origin]:
    """Returns the origin of each result file."""
    return [
        Origin(
            run,
            seed,
            (result.get('commit') or '')[:12],
            result.get('dirty'),
            _when(result.get('finished')),
            result.get('seconds'),
            result.get(HAS_CHECKSUM, False),
        )
        for run, seeds in results.items()
        for seed, result in seeds.items()
    ]


def _when(finished: str | None) -> str:
    """Formats an ISO date as '2026-01-31 08:05 UTC'; returns other text unchanged."""
    try:
        moment = datetime.datetime.fromisoformat(finished or '')
    except ValueError:
        return finished or ''
    return moment.astimezone(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC')


def checksum_state(has_checksum: bool) -> str:
    """What is known of a result file: it has the checksum that it states, or it states none and may be damaged."""
    return 'right' if has_checksum else 'not checked'


def tree_state(dirty: bool | None) -> str:
    return number_format.DASH if dirty is None else 'changed' if dirty else 'clean'
