"""What a study found, in one sentence: how much the best row gains over the baseline, and how certain that is."""

import dataclasses
from collections.abc import Sequence

from kd_jax.report import number_format
from kd_jax.report.comparison import Gain, best_of
from kd_jax.report.result_files import Measure, Results, counted_on, measure_over_seeds, on_common_seeds
from kd_jax.report.tables import Cell, Column, Row, Table

NOTHING_RAN = 'No run has finished yet, so nothing is found yet.'
NOTHING_MEASURED = 'No run measured anything by which runs can be compared.'


@dataclasses.dataclass(frozen=True)
class Finding:
    """What leads a report.

    Attributes:
      sentence: what was found.
      note: how the row was chosen, if there were several.
      table: the table that the sentence speaks of, if any.
      row: the row that the sentence speaks of, if it is compared with a baseline.
      on_validation: whether the row was chosen among several on validation examples.
    """

    sentence: str
    note: str = ''
    table: Table | None = None
    row: Row | None = None
    on_validation: bool = False


def find(tables: Sequence[Table], results: Results) -> Finding:
    """States what the first table with a measured baseline shows, seed by seed.

    The row is the best of the rows that are neither the baseline nor a teacher. It is chosen on validation examples if
    all of these rows have the number there, on a seed that all have, and counts are of equally many examples. Otherwise
    it is chosen by the number that is shown, and the note says so. Either way the rows are compared on the seeds that
    all of them have. A gain counts as found if its 95% interval over seeds leaves zero out; equal gains of all seeds
    have none.
    """
    for table in tables:
        rows = [row for row in table.rows if row.role == '' and (cell := _compared(table, row)) and cell.gain]
        if rows:
            return _compare(table, rows, results)
    return _without_baseline(tables, results)


def _compared(table: Table, row: Row) -> Cell | None:
    return None if table.compared is None else row.cells[table.compared]


def _compare(table: Table, rows: list[Row], results: Results) -> Finding:
    assert table.compared is not None
    assert table.baseline is not None
    place, column, baseline = table.compared, table.columns[table.compared], table.baseline
    places = [(row.run, _on_validation(row.cells[place].path)) for row in rows]
    measured = [measure for where in places if (measure := measure_over_seeds(results, *where))]
    sizes = {counted_on(results, *where) for where in places} if column.unit == 'count' else set()
    best = best_of(measured, column.better) if len(measured) == len(rows) and len(sizes) < 2 else []
    chosen_on_validation = bool(best)
    judged = measured if chosen_on_validation else _measures(rows, place)
    row = rows[best[0]] if best else _best_row(rows, place, column.better)
    note = '' if len(rows) == 1 else _chosen(judged, row.cells[place].path, chosen_on_validation)
    own, base, gain = row.cells[place].measure, baseline.cells[place].measure, row.cells[place].gain
    assert own
    assert base
    assert gain
    on_validation = chosen_on_validation and len(rows) > 1
    return Finding(_sentence(row.label, baseline.label, column, own, base, gain), note, table, row, on_validation)


def _on_validation(path: str) -> str:
    return path.replace('.test.', '.valid.', 1)


def _chosen(judged: list[Measure], path: str, on_validation: bool) -> str:
    """How the row was chosen, and on which seeds if some rows have more of them."""
    common, count = on_common_seeds(judged), len(judged)
    uneven = any(not common or measure.n > common[0].n for measure in judged)
    on = f', on the {number_format.seeds(common[0].n)} that all of them have' if common and uneven else ''
    if on_validation and '.test.' in path:
        return f'Of {count} rows, it is the one that is best on validation examples{on}.'
    apart = '' if common else ' They have no seed in common, so other seeds may have made it the best.'
    return f'It is the best of {count} rows by this very number{on}, which therefore flatters it.{apart}'


def _sentence(row: str, baseline: str, column: Column, own: Measure, base: Measure, gain: Gain) -> str:
    """What the gain says, with the numbers of the seeds that both have: they differ by the gain."""
    unit, uneven = column.unit, own.by_seed.keys() != base.by_seed.keys()
    own, base = on_common_seeds([own, base]) or (own, base)
    ours, theirs = (number_format.with_unit(number_format.measured(m, unit), unit) for m in (own, base))
    if gain.by_seed is None:
        what = f'“{row}” has {column.heading} {ours}, and “{baseline}” {theirs}'
        return f'{what}; they have no seed in common, so the difference is not certain.'
    seeds = number_format.seeds(gain.by_seed.n)
    shared = f'the {seeds} that both have' if uneven else seeds
    if gain.interval is None:
        words = 'is better than' if gain.mean > 0 else 'is as good as' if gain.mean == 0 else 'is worse than'
        numbers = f'{column.heading} {ours} instead of {theirs}'
        on = f'each of {shared}' if gain.by_seed.n > 1 else 'the one seed that both have' if uneven else 'one seed'
        reason = 'equal gains do not show how much seeds differ' if gain.by_seed.n > 1 else 'seeds differ'
        return f'On {on}, “{row}” {words} “{baseline}” ({numbers}); this may be chance, because {reason}.'
    if not gain.is_certain:
        low, high = (number_format.signed(end, unit) for end in gain.interval)
        numbers = f'{column.heading} {ours} instead of {theirs} over {shared}'
        spread = f'the 95% interval of its gain, {low} to {high}{_points(unit)}, includes zero'
        return f'No certain gain over “{baseline}”: the best row, “{row}”, has {numbers}, but {spread}.'
    if gain.mean < 0:
        numbers = f'{column.heading} {ours} instead of {theirs} over {shared}'
        return f'Nothing is better than “{baseline}”: even the best other row, “{row}”, is worse ({numbers}).'
    if unit == 'count' and column.better == 'lower' and base.mean > 0:
        share = f'{_whole(base.mean - own.mean)} of the {_whole(base.mean)} {column.heading}'
        return f'“{row}” removes {share} that “{baseline}” makes ({ours} instead of {theirs} over {shared}).'
    by = number_format.plain(gain.mean, unit) + (_points(unit) or f' {unit}' * (unit not in number_format.PLAIN))
    return f'“{row}” improves the {column.heading} of “{baseline}” by {by} ({ours} instead of {theirs} over {shared}).'


def _points(unit: number_format.Unit) -> str:
    return ' percentage points' if unit == 'fraction' else ''


def _whole(count: float) -> str:
    return number_format.plain(count, 'count', 0 if count >= 10 else None)


def _without_baseline(tables: Sequence[Table], results: Results) -> Finding:
    if not results:
        return Finding(NOTHING_RAN)
    for table in tables:
        if table.baseline and not table.baseline.seeds:
            return Finding(f'“{table.baseline.label}”, the baseline, has not been run yet, so nothing is compared yet.')
    for table in tables:
        for place, column in enumerate(table.columns):
            rows = [row for row in table.rows if row.cells[place].compared]
            if column.better and rows:
                return Finding(_best_alone(column, rows, place), table=table)
    return Finding(NOTHING_MEASURED)


def _best_alone(column: Column, rows: Sequence[Row], place: int) -> str:
    """What can be said without a baseline: the best number, beside that of a teacher if there is one."""
    teachers, others = ([row for row in rows if (row.role == 'teacher') == teaches] for teaches in (True, False))
    row = _best_row(others or rows, place, column.better)
    number = f'{column.heading} {_text(row, place, column)}'
    if teachers and others:
        teacher = _best_row(teachers, place, column.better)
        what = f'“{row.label}” has {number}, and the teacher, “{teacher.label}”, {_text(teacher, place, column)}'
        return f'{what}; without a baseline, the same network trained alone, the gain from the teacher is unknown.'
    if len(rows) == 1:
        return f'“{row.label}” has {number}; nothing was measured that it can be compared with.'
    return f'“{row.label}” is the best of {len(rows)} rows ({number}); none is known as the baseline to compare with.'


def _best_row(rows: Sequence[Row], place: int, better: str | None) -> Row:
    """The best row on the seeds that all have; without such a seed, the one with the best mean over its own."""
    measures = _measures(rows, place)
    means = [measure.mean for measure in measures]
    best = best_of(measures, better) or [means.index((min if better == 'lower' else max)(means))]
    return rows[best[0]]


def _measures(rows: Sequence[Row], place: int) -> list[Measure]:
    """The number of each row; all have one."""
    return [measure for row in rows if (measure := row.cells[place].measure)]


def _text(row: Row, place: int, column: Column) -> str:
    return number_format.with_unit(number_format.measured(row.cells[place].measure, column.unit), column.unit)
