"""The tables of docs/which_method.md that come from the stages of configs/benchmark_pairs_long.py."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from configs import benchmark_pairs
from configs import benchmark_pairs_long as stages
from configs.methods.choice import ranks
from kd_jax.analyses.correct_examples import unpack_correct
from kd_jax.report import number_format
from kd_jax.report.paired_difference import PairedDifference, holm, paired_difference
from kd_jax.report.result_files import Measure, Results, measure_over_seeds

KD = 'kd'
LEVEL = 0.05  # a corrected p-value below it counts as found
SEEDS = 3  # with fewer, p-values below 0.05 / 15 come three times too often
NOT_RUN = 'Not run yet: variant `{}` of configs/benchmark_pairs_long.py.'
Found = Mapping[str, Results]  # by variant, such as 'every_1000'


def long_tables(found: Found, short: Mapping[int, Results]) -> list[str]:
    """Four tables: the tuned methods, those with a wide teacher, all methods once, whether 10,000 steps are enough.

    Args:
      found: the results of each variant that was run, or some of it.
      short: the results of configs/benchmark_pairs.py, by the number of training images, for the ranks at 900 steps.
    """
    return [tuned_table(found), wide_table(found), once_table(found, short), flat_table(found)]


def flat_table(found: Found) -> str:
    """Validation accuracy of labels alone and KD after some steps and after twice as many, and the difference."""
    rows = []
    for size in stages.SIZES:
        results = found.get(f'flat_{size}', {})
        for run in stages.FLAT_RUNS:
            for steps in itertools.pairwise(stages.LENGTHS):
                short, long = (measure_over_seeds(results, f'{run}_{n}', stages.VALIDATION) for n in steps)
                if short and long:
                    lengths = ' → '.join(f'{n:,}' for n in steps)
                    both = [number_format.measured(each, 'fraction', 1) for each in (short, long)]
                    own = [f'{size:,}', benchmark_pairs.labels()[run], lengths, *both, difference(long.over(short))]
                    rows.append(own)
    heads = ['images', 'method', 'steps', 'fewer steps', 'twice as many', 'difference (95% interval)']
    return table(heads, rows, 'flat_1000')


def difference(gain: Measure | None) -> str:
    return with_interval(gain.mean, gain.interval) if gain else number_format.DASH


def with_interval(mean: float, interval: tuple[float, float] | None) -> str:
    """A difference in points with its interval: '+1.2 (0.4 to 2.0)'."""
    text = number_format.signed(mean, 'fraction', 1)
    return f'{text} ({" to ".join(number_format.plain(end, "fraction", 1) for end in interval)})' if interval else text


def tuned_table(found: Found) -> str:
    """The chosen methods with the best trial of each, sorted by accuracy with 1,000 images."""
    rows = compared_rows(found, 'tuned', lambda run, size: [setting(run, size, found)])
    return table(['method', *compared_heads('rate, strength')], rows, 'tuned_1000')


def once_table(found: Found, short: Mapping[int, Results]) -> str:
    """All methods, each trained once, sorted by accuracy with 1,000 images."""
    studies = [found.get(f'every_{size}', {}) for size in stages.SIZES]
    changes = [rank_changes(short.get(size, {}), after) for size, after in zip(stages.SIZES, studies, strict=True)]
    heads = ['method']
    for size in stages.SIZES:
        heads += [f'{size:,} images', 'over KD', 'rank, 900 → 10,000 steps']
    rows = [
        [benchmark_pairs.labels()[run]]
        + [
            cell
            for results, change in zip(studies, changes, strict=True)
            for cell in (accuracy(run, results), over_kd_once(run, results), change.get(run, number_format.DASH))
        ]
        for run in by_accuracy(studies)
    ]
    return table(heads, rows, 'every_1000')


def accuracy(run: str, results: Results) -> str:
    """The test accuracy of a run in percent, mean and standard deviation over its seeds."""
    return number_format.measured(measure_over_seeds(results, run, stages.TEST), 'fraction', 1)


def by_accuracy(studies: Sequence[Results]) -> list[str]:
    """The students of the first study that has any, the best first."""
    labels = benchmark_pairs.labels()
    first = next((study for study in studies if study), {})
    means = {run: measure.mean for run in labels if (measure := measure_over_seeds(first, run, stages.TEST))}
    return sorted(means, key=lambda run: -means[run])


def setting(run: str, size: int, found: Found) -> str:
    """The learning rate and the factor of the strength that the trials chose; a dash if they are not given."""
    once, trials = (found.get(f'{stage}_{size}') for stage in ('every', 'trials'))
    if once is None or trials is None:
        return number_format.DASH
    return '{:g}, × {:g}'.format(*stages.best_of_trials(run, once, trials, size))


def over_kd_once(run: str, results: Results) -> str:
    """The difference from KD, without an interval."""
    own, kd = (measure_over_seeds(results, name, stages.TEST) for name in (run, KD))
    gain = own.over(kd) if own and kd and run != KD else None
    return number_format.signed(gain.mean, 'fraction', 1) if gain else number_format.DASH


def rank_changes(short: Results, long: Results) -> dict[str, str]:
    """The rank of each run that both studies have, by test accuracy: '12 → 3'."""
    means = [
        {run: m.mean for run in benchmark_pairs.labels() if (m := measure_over_seeds(study, run, stages.TEST))}
        for study in (short, long)
    ]
    before, after = (ranks({run: own[run] for run in own if run in other}) for own, other in (means, means[::-1]))
    return {run: f'{before[run]:g} → {after[run]:g}' for run in before}


def wide_table(found: Found) -> str:
    """The methods with a wide teacher, sorted by accuracy with 1,000 images."""
    rows = compared_rows(found, 'wide', lambda run, size: [])
    return table(['method', *compared_heads()], rows, 'wide_1000')


def compared_heads(*more: str) -> list[str]:
    return [head for size in stages.SIZES for head in (f'{size:,} images', 'over KD (95% interval)', *more)]


def compared_rows(found: Found, stage: str, more: Callable[[str, int], list[str]]) -> list[list[str]]:
    """For each run of a stage its label, and its accuracy and its difference from KD for each number of images.

    A difference has no interval where fewer than three seeds were trained. `more` gives the cells that follow the two,
    by the run and the number of images.
    """
    studies = [found.get(f'{stage}_{size}', {}) for size in stages.SIZES]
    over = [compared(results) for results in studies]
    return [
        [benchmark_pairs.labels()[run]]
        + [
            cell
            for size, results, own in zip(stages.SIZES, studies, over, strict=True)
            for cell in (accuracy(run, results), own.get(run) or over_kd_once(run, results), *more(run, size))
        ]
        for run in by_accuracy(studies)
    ]


def compared(results: Results) -> dict[str, str]:
    """The difference of each run from KD, with its interval, and an arrow if Holm's correction leaves it certain."""
    found = differences_from(KD, results)
    certain = certain_runs(found)
    return {
        run: with_interval(each.mean, each.interval) + (arrow(each) if run in certain else '')
        for run, each in found.items()
    }


def arrow(found: PairedDifference) -> str:
    return ' ▲' if found.mean > 0 else ' ▼'


def certain_runs(found: Mapping[str, PairedDifference]) -> set[str]:
    """The runs whose difference stays certain after Holm's correction for the number of runs."""
    corrected = holm([each.p_value for each in found.values()])
    return {run for run, p_value in zip(found, corrected, strict=True) if p_value < LEVEL}


def differences_from(reference: str, results: Results) -> dict[str, PairedDifference]:
    """The differences of all runs from another one that share at least three seeds with it."""
    found = {}
    for run in benchmark_pairs.labels():
        seeds = sorted(results.get(run, {}).keys() & results.get(reference, {}).keys())
        if run != reference and len(seeds) >= SEEDS:
            own, other = (
                np.stack([shares_correct(results[name][seed]) for seed in seeds]) for name in (run, reference)
            )
            found[run] = paired_difference(own, other)
    return found


def shares_correct(result: Mapping[str, Any]) -> np.ndarray:
    """Whether each test example is classified correctly; with copies the share of them that do, [examples]."""
    return unpack_correct(result['analyses']['right']['test']).mean(axis=0)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], variant: str) -> str:
    """A table of Markdown; without rows, the variant that would fill it."""
    lines = [f'| {" | ".join(row)} |' for row in rows]
    if not lines:
        return NOT_RUN.format(variant)
    return '\n'.join([f'| {" | ".join(heads)} |', '|' + '---|' * len(heads), *lines])
