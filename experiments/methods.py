"""Writes the column 'measured' of docs/methods.md from the results of configs/benchmark_pairs.py.

  python -m experiments.methods experiments/results/benchmark_pairs_low [experiments/results/benchmark_pairs ...]

A cell is the accuracy on test pairs after the last epoch, mean and standard deviation over the seeds, of each study.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from configs import benchmark_pairs
from kd_jax.errors import UserError
from kd_jax.report import results

ACCURACY = 'last.test.student.accuracy'
NOT_MEASURED = 'not yet measured'


def cell(run: str, studies: Sequence[results.Results]) -> str:
    """What the studies measured of a run: '31.2 ± 0.9' of each, or that they did not."""
    found = [results.measure(study, run, ACCURACY) for study in studies]
    texts = [f'{100 * m.mean:.1f} ± {100 * m.sd:.1f}' if m and m.sd is not None else '–' for m in found]
    return NOT_MEASURED if set(texts) <= {'–'} else '; '.join(texts)


def filled(page: str, studies: Sequence[results.Results]) -> str:
    """The page with the last cell of every method's row as the studies have it; of other aims, as it is."""
    lines = []
    for line in page.splitlines():
        row = benchmark_pairs.cells(line)
        if row and row[0] not in benchmark_pairs.ELSEWHERE:
            line = f'| {" | ".join([*row[:-1], cell(benchmark_pairs.key(row[0]), studies)])} |'
        lines.append(line)
    return '\n'.join(lines) + '\n'


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', nargs='+', type=pathlib.Path, help='directories of the studies')
    args = parser.parse_args(argv)
    try:
        studies = [results.load(directory)[1] for directory in args.results]
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    page = benchmark_pairs.PAGE
    page.write_text(filled(page.read_text(), studies))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
