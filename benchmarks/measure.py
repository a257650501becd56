"""Shared by all benchmarks: measures the sides in turn, takes medians, prints a table and writes a JSON file."""

import argparse
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from kd_jax.config.json_files import write_json
from kd_jax.config.visible_text import visible
from kd_jax.report.plain_console import PlainConsole
from kd_jax.training import provenance


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--repeats', type=int, default=7, help='number of measurements per side')
    parser.add_argument('--out', type=pathlib.Path, help='JSON file for the numbers')
    return parser


def in_turn(sides: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Measures all sides in turn, `repeats` times, after one round that is not counted.

    Because the sides take turns, a slow minute of the machine affects all of them. A side must wait for its own result.

    Returns:
      for each side, `repeats` times in seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median(seconds: Sequence[float]) -> float:
    return statistics.median(seconds)


def show(title: str, rows: Sequence[Mapping[str, Any]], out: pathlib.Path | None, **raw: Any) -> None:
    """Prints the rows as a table; writes the rows, the raw measurements and their provenance to a JSON file."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify='left')
    for name in rows[0]:
        table.add_column(name, justify='left' if isinstance(rows[0][name], str) else 'right')
    for row in rows:
        table.add_row(*(cell if isinstance(cell, str) else f'{cell:,.4g}' for cell in row.values()))
    PlainConsole().print(table)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, {'title': title, 'rows': rows, **raw, **provenance.of_this_process()})
        print(visible(f'written: {out}'))
