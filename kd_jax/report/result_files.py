"""Reads the result files of a study: value paths, means and standard deviations over seeds."""

import dataclasses
import difflib
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kd_jax.config.checked_json import Checked, read_checked
from kd_jax.config.errors import UserError
from kd_jax.config.file_schemas import ResultFile, StudyFile
from kd_jax.config.name_globs import matching
from kd_jax.config.references import children
from kd_jax.report.asked_runs import LeftAside, Results, asked_results
from kd_jax.report.stated_units import with_stated_units

ROUNDING = 1e-9  # relative; differences of equal fractions differ by their last bits
HAS_CHECKSUM = 'has_checksum'  # key that `load_results` adds to each result


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of a run, for each of its seeds."""

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

    @property
    def is_constant(self) -> bool:
        """Whether several seeds give the same number, up to rounding. Then they do not show how much seeds differ."""
        low, high = min(self.by_seed.values()), max(self.by_seed.values())
        return self.n > 1 and math.isclose(low, high, rel_tol=ROUNDING)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% confidence interval of the mean (Student's t with n - 1 degrees of freedom).

        None for one seed and for equal numbers: an interval without width would call certain what two seeds happen to
        have in common.
        """
        from scipy.special import stdtrit

        if self.sd is None or self.is_constant:
            return None
        half = float(stdtrit(self.n - 1, 0.975)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    def over(self, other: 'Measure') -> 'Measure | None':
        """Returns this number minus the other for each seed that both have; None if there is no such seed."""
        if not (common := on_common_seeds([self, other])):
            return None
        own, others = (measure.by_seed for measure in common)
        return Measure({seed: value - others[seed] for seed, value in own.items()})


def on_common_seeds(measures: Sequence[Measure]) -> list[Measure]:
    """The numbers on the seeds that all of them have, in ascending order; none if there is no such seed."""
    seeds = sorted(set.intersection(*(set(measure.by_seed) for measure in measures)))
    return [Measure({seed: measure.by_seed[seed] for seed in seeds}) for measure in measures] if seeds else []


class StudyResults(NamedTuple):
    """What a directory of results holds.

    Attributes:
      study: content of study.json.
      results: the results that the study asks for, in its order.
      left_aside: other results in the directory; they count nowhere.
    """

    study: dict[str, Any]
    results: Results
    left_aside: list[LeftAside]


def load_results(results_dir: str | Path) -> StudyResults:
    """Reads `study.json` and `results/*.json`.

    Raises:
      UserError: there is no study, or a file is damaged, belongs to another study or repeats a result.
    """
    results_dir = Path(results_dir)
    if not (results_dir / 'study.json').is_file():
        what = 'there is no study.json here' if results_dir.is_dir() else 'there is no such directory'
        raise UserError(f'{results_dir}: {what}; give the directory in which a study was run (--workdir).')
    study = _read_study(results_dir)
    return StudyResults(study, *asked_results(study, _read_results(results_dir, study['name'])))


def check_same_study(results_dir: str | Path, name: str) -> None:
    """Checks, before anything is written, that a directory is empty or holds the study of this name.

    Raises:
      UserError: the directory holds another study, or a result that no report could read.
    """
    results_dir = Path(results_dir)
    if (results_dir / 'study.json').is_file():
        there = _read_study(results_dir)['name']
        if there != name:
            raise UserError(
                f'{results_dir} holds the study {there!r}, and this is {name!r}. Nothing was changed there; choose '
                'another --workdir.'
            )
    _read_results(results_dir, name)


def _read_results(results_dir: Path, name: str) -> Results:
    results: Results = {}
    for path in sorted((results_dir / 'results').glob('*.json')):
        result, has_checksum = _read_result(path)
        if result['study'] != name:
            raise UserError(
                f'{path} belongs to study {result["study"]!r}, not to {name!r}; move it to another directory, '
                'or choose another --workdir.'
            )
        seeds = results.setdefault(result['run'], {})
        if result['seed'] in seeds:
            raise UserError(
                f'{path} repeats run {result["run"]!r}, seed {result["seed"]}; remove one of the two files.'
            )
        seeds[result['seed']] = {**with_stated_units(result), HAS_CHECKSUM: has_checksum}
    return {run: dict(sorted(results[run].items())) for run in sorted(results, key=in_order_of_numbers)}


def in_order_of_numbers(name: str) -> list[tuple[int, float, str]]:
    """A sort key of names in which numbers count as numbers: 't2' precedes 't10', and 't2_5' follows 't2'."""
    parts = re.split(r'(\d+(?:_\d+|e-\d+)?)', name)
    return [(0, float(part.replace('_', '.')), '') if i % 2 else (1, 0.0, part) for i, part in enumerate(parts)]


def _read_study(results_dir: Path) -> dict[str, Any]:
    return read_checked(results_dir / 'study.json', StudyFile, 'delete it and run the study again').content


def read_result(path: Path) -> dict[str, Any]:
    """Reads a result file.

    Raises:
      UserError: the file is damaged.
    """
    return _read_result(path)[0]


def _read_result(path: Path) -> Checked:
    mend = 'delete it and run the study again'
    found = read_checked(path, ResultFile, mend)
    result = with_stated_units(found.content)
    for name in [name for split in ('test', 'valid') for name in result['last'].get(split, ())]:
        if name not in result['metrics'] or name not in result.get('best_by', {}):
            raise UserError(f'{path} is damaged: it does not state the units of {name!r}; {mend}.')
    return found


def value_at_path(tree: Any, path: str) -> Any:
    """Returns the value at `path`: keys joined by dots, with numbers as indices of lists.

    The result is None if a value on the way is null.

    Raises:
      KeyError: the path does not exist.
    """
    for key in path.split('.'):
        if tree is None:
            return None
        below = children(tree)
        if key not in below:
            raise KeyError(path)
        tree = below[key]
    return tree


def number(tree: Any, path: str) -> float | None:
    """Returns the finite number at `path`, or None if there is none."""
    try:
        value = value_at_path(tree, path)
    except KeyError:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def measure_over_seeds(results: Results, run: str, path: str) -> Measure | None:
    """Returns the numbers of `run` at `path` for all its seeds; None if no seed has a number there."""
    found = {seed: number(result, path) for seed, result in results.get(run, {}).items()}
    numbers = {seed: value for seed, value in found.items() if value is not None}
    return Measure(numbers) if numbers else None


def some_seeds(results: Results, run: str, path: str) -> str:
    """'2 of 3 seeds' if only some of the seeds that ran have a finite number at `path`, else ''."""
    found, ran = measure_over_seeds(results, run, path), len(results.get(run, {}))
    return f'{found.n} of {ran} seeds' if found and found.n < ran else ''


def counted_on(results: Results, run: str, path: str) -> float | None:
    """The number of examples on which the count at `path` is counted; None if the result does not say."""
    found = measure_over_seeds(results, run, f'{path.rpartition(".")[0]}.count')
    return found.mean if found else None


class Curve(NamedTuple):
    """A number of a run after each evaluation, over its seeds: four arrays of [evaluations]."""

    epochs: np.ndarray
    mean: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def curve_over_seeds(results: Results, run: str, path: str) -> Curve | None:
    """Returns the curve of the number at `path` in the history; None if at no epoch every seed has one.

    It has the epochs at which every seed has a number.
    """
    by_seed = []
    for result in results[run].values():
        points = ((number(entry, 'epoch'), number(entry, path)) for entry in result.get('history') or [])
        by_seed.append({epoch: y for epoch, y in points if epoch is not None and y is not None})
    epochs = sorted(set.intersection(*(set(points) for points in by_seed)))
    if not epochs:
        return None
    values = np.array([[points[epoch] for epoch in epochs] for points in by_seed])
    return Curve(np.array(epochs), values.mean(0), values.min(0), values.max(0))


def split_reference(text: str) -> tuple[str, str]:
    """Splits 'run:path' into (run, path)."""
    run, colon, path = text.partition(':')
    if not (run and colon and path):
        raise UserError(f"report: {text!r} must have the form 'run:path', such as 'student:last.test.student.errors'.")
    return run, path


def measures_of(values: Mapping[str, str], results: Results) -> tuple[dict[str, Measure], str]:
    """Returns the number at each 'run:path', by label, and says which of them are missing, or missing on some seeds."""
    places = {label: split_reference(text) for label, text in values.items()}
    found = {label: measure_over_seeds(results, *place) for label, place in places.items()}
    gaps = [why_missing(results, *places[label]) for label, value in found.items() if value is None]
    few = {place[0]: said for place in places.values() if (said := some_seeds(results, *place))}
    gaps += [f'{run} has a finite number on {said}.' for run, said in few.items()]
    return {label: value for label, value in found.items() if value}, ' '.join(dict.fromkeys(gaps))


def run_globs(runs: str | Iterable[str] | Mapping[str, str | list[str]]) -> list[str]:
    """The globs of `runs` in a report section: one, several, or those of each label."""
    if isinstance(runs, Mapping):
        return [each for globs in runs.values() for each in run_globs(globs)]
    return [runs] if isinstance(runs, str) else list(runs)


def matching_runs(results: Results, patterns: str | Iterable[str]) -> list[str]:
    """Returns the runs whose names match one of the globs, in the order of the globs and then of the study."""
    return list(dict.fromkeys(run for p in run_globs(patterns) for run in matching(p, results)))


def why_missing(results: Results, run: str, path: str) -> str:
    """Says in a sentence why `run` has no value to show at `path`, and names the nearest path that exists."""
    if run not in results:
        return f'{run} has not been run yet.'
    result = next(iter(results[run].values()))
    try:
        value_at_path(result, path)
    except KeyError:
        near = difflib.get_close_matches(path, list(_paths(result)), n=1, cutoff=0.5)
        return f'{run} recorded no {path}' + (f'; the nearest path is {near[0]}.' if near else '.')
    return f'{run} has no value to show at {path}.'


def _paths(tree: Any, prefix: str = '') -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _paths(value, f'{prefix}{key}.')
    elif not isinstance(tree, list):
        yield prefix[:-1]


def judged_split(result: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the split that a result is judged by ('test', or 'valid' without it), and its metrics by network."""
    last = result.get('last') or {}
    split = 'test' if last.get('test') else 'valid'
    return split, last.get(split) or {}
