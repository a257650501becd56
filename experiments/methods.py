"""Writes the measured results of all methods into the table rows of docs/methods.md and docs/which_method.md.

  python -m experiments.methods experiments/results/{benchmark_pairs_low,benchmark_pairs,other_aims}

Accuracies are means and standard deviations over the seeds, on test images after the last epoch. They come from the
studies of configs/benchmark_pairs.py, in the order in which they are given, and from configs/other_aims.py. Times and
memory come from benchmarks/results/methods.json.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from configs import benchmark_pairs
from kd_jax.config.errors import UserError
from kd_jax.report import number_format, result_files
from kd_jax.report.result_files import load_results, measure_over_seeds

ACCURACY, AGREEMENT = 'last.test.student.accuracy', 'last.test.student.agreement'
UNDER_ATTACK = 'last.test.under_pgd20.accuracy'
NOT_MEASURED = 'not yet measured'
KD = 'kd'
TABLE = benchmark_pairs.ROOT / 'docs' / 'which_method.md'
START, END = '<!-- the table, written by experiments/methods.py -->', '<!-- end of the table -->'


def percent(run: str, study: result_files.Results, path: str = ACCURACY) -> str:
    """Mean and standard deviation in percent, for example '31.2 ± 0.9'; a dash if nothing was measured."""
    return number_format.measured(measure_over_seeds(study, run, path), 'fraction', 1)


def over_kd(run: str, study: result_files.Results) -> str:
    """The gain in accuracy over KD, in points, paired by seed; an arrow if the gain has the same sign for all seeds."""
    own, kd = (measure_over_seeds(study, name, ACCURACY) for name in (run, KD))
    gain = own.over(kd) if own and kd and run != KD else None
    if gain is None or gain.n < 2:
        return number_format.DASH
    gains = gain.by_seed.values()
    arrow = ' ▲' if min(gains) > 0 else ' ▼' if max(gains) < 0 else ''
    return f'{number_format.signed(gain.mean, "fraction", 1)} ± {number_format.plain(gain.sd, "fraction", 1)}{arrow}'


def cell(method: str, studies: Sequence[result_files.Results], aims: result_files.Results) -> str:
    """The method's results in all studies, or 'not yet measured'."""
    run = benchmark_pairs.ELSEWHERE.get(method)
    if run:
        attacked = percent(run, aims, UNDER_ATTACK)
        texts = [percent(run, aims), *([] if attacked == number_format.DASH else [f'under PGD-20 {attacked}'])]
    else:
        texts = [percent(benchmark_pairs.key(method), study) for study in studies]
    return NOT_MEASURED if set(texts) <= {number_format.DASH} else '; '.join(texts)


def filled(page: str, studies: Sequence[result_files.Results], aims: result_files.Results) -> str:
    """Returns the page with the last cell of every method's row filled from the studies."""
    lines = []
    for line in page.splitlines():
        row = benchmark_pairs.cells(line)
        lines.append(f'| {" | ".join([*row[:-1], cell(row[0], studies, aims)])} |' if row else line)
    return '\n'.join(lines) + '\n'


def table(studies: Sequence[result_files.Results]) -> str:
    """A table of all methods, sorted by accuracy in the first study, with costs relative to KD."""
    labels, costs = benchmark_pairs.labels(), benchmark_pairs.costs()
    means = {run: measure_over_seeds(studies[0], run, ACCURACY) for run in labels}
    ordered = sorted(labels, key=lambda run: -found.mean if (found := means[run]) else 0.0)
    heads = [f'{training_images(study)} images | over KD' for study in studies]
    lines = [
        f'| method | {" | ".join(heads)} | agreement | time | memory |',
        f'|---|{"---|---|" * len(studies)}---|---|---|',
    ]
    for run in ordered:
        numbers = [text for study in studies for text in (percent(run, study), over_kd(run, study))]
        cost = costs.get(run)
        spent = (
            [f'{cost["time, KD = 1"]:.2f}', f'{cost["memory, KD = 1"]:.2f}']
            if cost
            else [number_format.DASH, number_format.DASH]
        )
        lines.append(f'| {" | ".join([labels[run], *numbers, percent(run, studies[-1], AGREEMENT), *spent])} |')
    return '\n'.join(lines)


def training_images(study: result_files.Results) -> str:
    """The number of training images of a study's students, for example '1,000'."""
    return f'{next(iter(study[KD].values()))["config"]["data"]["examples"]:,}'


def with_table(page: str, studies: Sequence[result_files.Results]) -> str:
    """Returns the page with a new table between its two markers."""
    before, rest = page.split(START)
    return f'{before}{START}\n\n{table(studies)}\n\n{END}{rest.split(END)[1]}'


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', nargs='+', type=pathlib.Path, help='result directories of the studies')
    args = parser.parse_args(argv)
    page = benchmark_pairs.PAGE
    try:
        found = {study['name']: own for study, own in map(load_results, args.results)}
        aims = found.pop('other_aims', {})
        studies = list(found.values())
        if not studies or any(KD not in study for study in studies):
            raise UserError(f"in each study of configs/benchmark_pairs.py that you give, run '{KD}' must be finished.")
        column, compared = filled(page.read_text(), studies, aims), with_table(TABLE.read_text(), studies)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    page.write_text(column)
    TABLE.write_text(compared)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
