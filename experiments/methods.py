"""Writes the tables of docs/methods.md and docs/which_method.md from configs/methods/ and from measured results.

  python -m experiments.methods    # reads the results in experiments/results

A row of docs/methods.md is a method of configs/methods/, with the results of its runs. Accuracies are means and
standard deviations over the seeds, on test images after the last epoch. They come from the studies of
configs/benchmark_pairs.py and of configs/other_aims.py. docs/which_method.md also has the stages of
configs/benchmark_pairs_long.py (see `experiments.long_tables`). Times and memory come from
benchmarks/results/methods.json.
"""

import argparse
import sys
from collections.abc import Sequence

from configs import benchmark_pairs, benchmark_pairs_long
from configs.methods import LANGUAGE, SCHEMES, WITH_FROZEN_TEACHER, Method
from experiments.differences_figure import draw_differences
from experiments.lengths_figure import draw_lengths
from experiments.long_tables import long_tables
from experiments.terminal import keep_going
from kd_jax.config.errors import UserError
from kd_jax.report import number_format, result_files
from kd_jax.report.result_files import load_results, measure_over_seeds

ACCURACY, AGREEMENT = 'last.test.student.accuracy', 'last.test.student.agreement'
UNDER_ATTACK = 'last.test.under_pgd20.accuracy'
NOT_MEASURED = 'not yet measured'
KD = 'kd'
DOCS, RESULTS = benchmark_pairs.ROOT / 'docs', benchmark_pairs.ROOT / 'experiments' / 'results'
PAGE, COMPARISON = DOCS / 'methods.md', DOCS / 'which_method.md'
DIFFERENCES, LENGTHS = DOCS / 'tuned_methods.png', DOCS / 'methods_by_length.png'
SHORT = ('benchmark_pairs_low', 'benchmark_pairs')
START, END = '<!-- the table, written by experiments/methods.py -->', '<!-- end of the table -->'


def percent(run: str, study: result_files.Results, path: str = ACCURACY) -> str:
    """Mean and standard deviation in percent, for example '31.2 ± 0.9'; a dash if nothing was measured."""
    return number_format.measured(measure_over_seeds(study, run, path), 'fraction', 1)


def over_kd(run: str, study: result_files.Results) -> str:
    """The gain in accuracy over KD, in points, paired by seed; an arrow if its 95% interval does not include 0."""
    own, kd = (measure_over_seeds(study, name, ACCURACY) for name in (run, KD))
    gain = own.over(kd) if own and kd and run != KD else None
    if gain is None or gain.n < 2:
        return number_format.DASH
    low, high = gain.interval or (0.0, 0.0)
    arrow = ' ▲' if low > 0 else ' ▼' if high < 0 else ''
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


def methods_tables(studies: Sequence[result_files.Results], aims: result_files.Results) -> list[str]:
    """The tables of docs/methods.md: methods with a frozen teacher, schemes, and language models."""

    def table_of(methods: Sequence[Method], *heads: str) -> str:
        columns = ('method', *heads, 'config', 'source', 'definition chosen', 'measured')
        lines = [f'| {" | ".join(columns)} |', '|' + '---|' * len(columns)]
        return '\n'.join([*lines, *(row(method, cell(method.name, studies, aims)) for method in methods)])

    return [
        table_of(WITH_FROZEN_TEACHER, 'knowledge', 'loss'),
        table_of(SCHEMES, 'scheme', 'what is learned'),
        table_of(LANGUAGE, 'knowledge', 'loss'),
    ]


def row(method: Method, measured: str) -> str:
    """A method's row in a table of docs/methods.md; a bar in a cell is escaped, because it would end the cell."""
    config = f'`{"; ".join(method.statements())}`'
    cells = (method.name, method.kind, method.objective, config, method.source, method.definition, measured)
    escaped = [cell.replace('|', r'\|') for cell in cells]
    return f'| {" | ".join(escaped)} |'


def comparison(studies: Sequence[result_files.Results]) -> str:
    """A table of all methods, sorted by accuracy in the first study, with costs relative to KD."""
    labels, costs = benchmark_pairs.labels(), benchmark_pairs.costs()
    means = {run: measure_over_seeds(studies[0], run, ACCURACY) for run in labels}
    ordered = sorted(labels, key=lambda run: -found.mean if (found := means[run]) else 0.0)
    heads = [f'{training_images(study):,} images | over KD' for study in studies]
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


def training_images(study: result_files.Results) -> int:
    """The number of training images of a study's students."""
    return next(iter(study[KD].values()))['config']['data']['examples']


def by_size(studies: Sequence[result_files.Results]) -> dict[int, result_files.Results]:
    """The studies by their numbers of training images."""
    return {training_images(study): study for study in studies}


def committed_results() -> tuple[list[result_files.Results], result_files.Results, dict[str, result_files.Results]]:
    """The results of configs/benchmark_pairs.py, of configs/other_aims.py, and of the long stages that have run.

    Raises:
      UserError: results are missing, or KD is not among them, with which all methods are compared.
    """
    studies = [load_results(RESULTS / name).results for name in SHORT]
    without = [name for name, study in zip(SHORT, studies, strict=True) if KD not in study]
    if without:
        raise UserError(f"{RESULTS / without[0]} has no result of run '{KD}': finish it and copy the results again.")
    places = {stage: RESULTS / f'benchmark_pairs_{stage}' for stage in benchmark_pairs_long.VARIANTS}
    long = {stage: load_results(place).results for stage, place in places.items() if place.is_dir()}
    return studies, load_results(RESULTS / 'other_aims').results, long


def with_tables(page: str, tables: Sequence[str]) -> str:
    """Returns the page with new tables, each between two markers."""
    before, *rest = page.split(START)
    after = [text.split(END)[1] for text in rest]
    return before + ''.join(f'{START}\n\n{t}\n\n{END}{text}' for t, text in zip(tables, after, strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: rewrite_tables(argv))


def rewrite_tables(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser('python -m experiments.methods', description=__doc__.splitlines()[0])
    parser.parse_args(argv)
    try:
        studies, aims, long = committed_results()
        page = with_tables(PAGE.read_text(), methods_tables(studies, aims))
        short = by_size(studies)
        compared = with_tables(COMPARISON.read_text(), [*long_tables(long, short), comparison(studies)])
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    PAGE.write_text(page)
    COMPARISON.write_text(compared)
    draw_differences(long, DIFFERENCES)
    once = {size: long[f'every_{size}'] for size in benchmark_pairs_long.SIZES if f'every_{size}' in long}
    draw_lengths(short, once, LENGTHS)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
