"""The progress display of a study that trains."""

import math
import time
from collections.abc import Callable

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from experiments.terminal import console


def progress_display(runs: int, clock: Callable[[], float] = time.monotonic) -> tuple[Progress, TaskID]:
    """A progress display whose first line counts finished runs.

    The runs of a group finish together, so the speed shown is the average since the start, not a recent one.
    """
    name, losses = (
        TextColumn(text, markup=False, table_column=Column(overflow='fold'))
        for text in ('{task.description:<28}', '{task.fields[losses]}')
    )
    rate = TextColumn('{task.fields[rate]:>12}')
    columns = name, BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn(), losses
    display = Progress(
        *columns, console=console, refresh_per_second=2, disable=not console.is_terminal,
        speed_estimate_period=math.inf, get_time=clock,
    )  # fmt: skip
    whole = display.add_task('study', total=runs, rate='', losses='')
    display.advance(whole, 0)  # rich measures the speed from its first sample
    return display, whole
