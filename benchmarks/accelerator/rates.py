"""What the measured seconds say: rates, shares of the card's peak, and kd_jax beside PyTorch."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.accelerator.peaks import Peak


def with_rates(rows: Sequence[Mapping[str, Any]], peak: Peak | None) -> list[dict[str, Any]]:
    """Adds rates to measured rows.

    PyTorch's row takes the operations of kd_jax's row of the same name: the same networks do the same work.

    Args:
      rows: each has 'of', 'what', 'library', 'dtype', 'steps', 'images' of a step (None if there are none), 'flops' of
        all steps (None for PyTorch) and 'seconds', a list of repeats.
      peak: of the card; None if it is unknown.
    Returns:
      the rows with 'ms a step', 'images/s', 'TFLOP/s', 'share of peak' and, in a row of kd_jax, 'times PyTorch': its
      images per second divided by PyTorch's; each is None where it cannot be known.
    """
    median = {_side(row): statistics.median(row['seconds']) for row in rows}
    flops = {_what(row): row['flops'] for row in rows if row['flops']}
    done = []
    for row in rows:
        seconds, work = median[_side(row)], flops.get(_what(row))
        theirs = median.get((*_what(row), 'PyTorch')) if row['library'] == 'kd_jax' else None
        done.append({
            **row,
            'ms a step': 1e3 * seconds / row['steps'],
            'images/s': row['images'] and row['images'] * row['steps'] / seconds,
            'TFLOP/s': work and work / seconds / 1e12,
            'share of peak': work / seconds / getattr(peak, row['dtype']) if work and peak else None,
            'times PyTorch': theirs and theirs / seconds,
        })  # fmt: skip
    return done


def _what(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row['of'], row['what'], row['dtype']


def _side(row: Mapping[str, Any]) -> tuple[str, ...]:
    return *_what(row), row['library']


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a plain table, for a terminal that may have nothing installed."""
    columns = ('of', 'what', 'dtype', 'library', 'ms a step', 'images/s', 'TFLOP/s', 'share of peak', 'times PyTorch')
    cells = [list(columns)] + [[_cell(row[name]) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return '\n'.join('  '.join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    return '–' if value is None else value if isinstance(value, str) else f'{value:,.4g}'
