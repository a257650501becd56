"""Reports of a study, made from the files it leaves on disk: tables, claims, figures, one page.

A *value path* addresses a number in a result, keys joined by dots: `last.test.student.errors`,
`config.terms.soft.t`, `config.networks.student.hidden.0`. `run:path` is a path in the results of a run.
The report section of a study, all of it optional:

  tables.NAME     title, text, columns {heading: path}, rows {run: {label, run, columns, paper}}; a row's own
                  columns replace the paths, its paper {heading: number} stands beside ours
  claims.NAME     title, paper, and a kind:
    share         (value - low) / (high - low), each a run:path
    difference    value - low
  figures.NAME    title, caption, xlabel, ylabel, and a kind:
    lines         runs (globs), x and y (paths), by (a path: one line a value), by_label ('{} units'),
                  log_x, log_y, reference {label: run:path} (horizontal lines)
    curves        runs, y: a path in an entry of the history, such as valid.student.errors
    bars          values {label: run:path}
    scatter       values {label: run:path} over x {label: number}; groups {label: colour's name}, named [labels],
                  log_x; the points that no other beats in both are joined and named
    matrices      values {label: run:path}, each [C, C]; label (of the colours)
    soft_targets  run, analysis

The paper's numbers are in the unit of the value path: an accuracy of 58.9% is 0.589.
"""

from kd_jax.report.build import build_report
from kd_jax.report.check_report import check_report
from kd_jax.report.paper_claims import study_claims
from kd_jax.report.result_files import load_results
from kd_jax.report.tables import study_tables
from kd_jax.report.terminal_tables import print_tables

__all__ = ['build_report', 'check_report', 'load_results', 'print_tables', 'study_claims', 'study_tables']
