"""Reads the result files of a study: value paths, means and standard deviations over seeds."""

import dataclasses
import difflib
import fnmatch
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kd_jax.config.errors import UserError

Results = dict[str, dict[int, dict[str, Any]]]  # run -> seed -> what the run wrote


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of a run, measured once a seed."""

    by_seed: Mapping[int, float]

    @property
    def n(self) -> int:
        return len(self.by_seed)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.by_seed.values())

    @property
    def sd(self) -> float | None:
        """Sample standard deviation (ddof=1); None for a single seed."""
        return statistics.stdev(self.by_seed.values()) if self.n > 1 else None

    def over(self, other: 'Measure') -> 'Measure | None':
        """This number minus the other, seed by seed; None without a seed that both have."""
        seeds = sorted(self.by_seed.keys() & other.by_seed.keys())
        return Measure({seed: self.by_seed[seed] - other.by_seed[seed] for seed in seeds}) if seeds else None


def load_results(results_dir: str | Path) -> tuple[dict[str, Any], Results]:
    """Reads `study.json` and `results/*.json`.

    Raises:
      UserError: no study there, or a file that is damaged, foreign or doubled.
    """
    results_dir = Path(results_dir)
    if not (results_dir / 'study.json').is_file():
        raise UserError(
            f'{results_dir}: there is no study.json here; give the directory a study was run in (--workdir).'
        )
    study = _read(results_dir / 'study.json', {'name': str})
    results: Results = {}
    for path in sorted((results_dir / 'results').glob('*.json')):
        result = _read(path, {'study': str, 'run': str, 'seed': int})
        if result['study'] != study['name']:
            raise UserError(
                f'{path} belongs to study {result["study"]!r}, not to {study["name"]!r}; move it out of here.'
            )
        seeds = results.setdefault(result['run'], {})
        if result['seed'] in seeds:
            raise UserError(
                f'{path} repeats run {result["run"]!r}, seed {result["seed"]}; remove one of the two files.'
            )
        seeds[result['seed']] = result
    return study, {run: dict(sorted(seeds.items())) for run, seeds in results.items()}


def _read(path: Path, required: dict[str, type]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text('utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path} cannot be read as JSON ({error}); remove it and run again.') from error
    for key, kind in required.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), kind):
            raise UserError(f'{path} is not a file of a study: it has no {key!r}; move it out of here.')
    return content


def value_at_path(tree: Any, path: str) -> Any:
    """The value at `path` (keys joined by dots, a number for a list's index); None where a null is met.

    Raises:
      KeyError: there is no such path.
    """
    for key in path.split('.'):
        if tree is None:
            return None
        if isinstance(tree, list) and key.isdecimal() and int(key) < len(tree):
            tree = tree[int(key)]
        elif isinstance(tree, dict) and key in tree:
            tree = tree[key]
        else:
            raise KeyError(path)
    return tree


def number(tree: Any, path: str) -> float | None:
    """The finite number at `path`, or None when there is none."""
    try:
        value = value_at_path(tree, path)
    except KeyError:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def measure_over_seeds(results: Results, run: str, path: str) -> Measure | None:
    """What `run` measured at `path`, over all its seeds; None when no seed has a number there."""
    found = {seed: number(result, path) for seed, result in results.get(run, {}).items()}
    numbers = {seed: value for seed, value in found.items() if value is not None}
    return Measure(numbers) if numbers else None


def split_reference(text: str) -> tuple[str, str]:
    """'run:path' -> (run, path)."""
    run, colon, path = text.partition(':')
    if not (run and colon and path):
        raise UserError(f"report: {text!r} is not of the form 'run:path', as in 'student:last.test.student.errors'.")
    return run, path


def matching_runs(results: Results, patterns: str | Iterable[str]) -> list[str]:
    """The runs whose names match a glob, or any of several, in the order of the globs."""
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return list(dict.fromkeys(run for p in patterns for run in fnmatch.filter(sorted(results), p)))


def why_missing(results: Results, run: str, path: str) -> str:
    """Why there is nothing to show of `run` at `path`: a sentence, with the nearest path there is."""
    if run not in results:
        return f'{run} has not been run yet.'
    result = next(iter(results[run].values()))
    try:
        value_at_path(result, path)
    except KeyError:
        near = difflib.get_close_matches(path, list(_paths(result)), n=1, cutoff=0.5)
        return f'{run} recorded no {path}' + (f'; the nearest is {near[0]}.' if near else '.')
    return f'{run} has nothing to show at {path}.'


def _paths(tree: Any, prefix: str = '') -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _paths(value, f'{prefix}{key}.')
    elif not isinstance(tree, list):
        yield prefix[:-1]


def judged_split(result: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The split a result is judged by, 'test' or else 'valid', and its metrics there by network."""
    last = result.get('last') or {}
    split = 'test' if last.get('test') else 'valid'
    return split, last.get(split) or {}
