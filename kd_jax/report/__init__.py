"""Reports of a study, made from its result files: tables, claims, figures and one page.

A *value path* gives the place of a number in a result, with keys joined by dots: `last.test.student.errors`,
`config.terms.soft.t`, `config.networks.student.hidden.0`. `run:path` is a value path in the results of a run.
The report section of a study may hold the following, and all of it is optional:

  tables.NAME     title, text, columns {heading: path}, rows {run: {label, run, columns, paper}}; the columns of a
                  row replace the paths of the table, and its paper {heading: number} is shown beside our numbers;
                  baseline (the key of a row; `comparison.find_baseline` finds one otherwise), teachers (keys of rows
                  that are shown for reference; `comparison.teachers` finds them otherwise), and compare (the heading of
                  the column in which rows are compared with the baseline; it must have a better way; the first that
                  has one otherwise)
  lead            name of the figure that stands first, under the sentence that says what was found (see `finding`);
                  otherwise the curve of the swept number that the finding is about, or the rows of its table
  chosen.NAME     runs (globs) and by (a value path on validation examples): NAME stands for the best of these runs,
                  by the mean over the seeds that all have, in tables, claims and figures; no glob but the whole NAME
                  matches it. None is chosen before all of them have run. A run without a finite number on a seed is
                  left out. Counts must be of equally many examples
  claims.NAME     title, paper (a number, or a text such as '2.5 to 4'), and a kind:
    number        value, a run:path
    share         (value - low) / (high - low), each a run:path
    difference    value - low
    ratio         value / high
    extrapolation where value, a number that the history has, would end with `times` as many examples, by a fitted power
                  law
    optimum       the x at which y is best among the runs (globs), with its 95% interval; x and y as for figures;
                  open before all of them have run
                  A rule {above, at_least, at_most, below} decides whether the claim is reproduced, or whether it holds
                  if it is our own (own=True); provided {value, above, otherwise} leaves it open, with the text of
                  `otherwise`, where one run:path is not known to be above the other; regime says in which other regime
                  than the paper's it is tested. If not, the report shows why (a text) and evidence {label: run:path}.
                  Every claim shows what its runs cost and the command that runs them again.
  figures.NAME    title, caption, xlabel, ylabel, and a kind:
    lines         runs (globs, or {label of a line: globs}), x and y (paths), by (a path; one line per value), by_label
                  (such as '{} units'), log_x, log_y, reference {label: run:path} (horizontal lines)
    optima        as lines, without reference: one panel per value of `by`, in which the best x and its 95% interval (a
                  bootstrap over seeds) are marked; beside (a second path, dashed)
    curves        runs (globs, or {label: run}), y (a path in an entry of the history, such as valid.student.errors);
                  per_epoch (what an epoch has of the quantity that xlabel names, such as tokens), log_x, times (a power
                  law fitted to each curve is drawn up to `times` as far), reference {label: run:path}
    bars          values {label: run:path}
    scatter       values {label: run:path} over x {label: number}; groups {label: name of its group, one colour each},
                  named [labels], log_x; points on the Pareto front (low x, high value) are joined and named
    matrices      values {label: run:path}, each [C, C]; label (of the colour bar)
    soft_targets  run, analysis
    shares        claims {label: name of a claim of kind share or ratio}

Numbers that a study sweeps get a figure each, and the histories get learning curves, if the report draws none.
The paper's numbers have the unit of the value path: an accuracy of 58.9% is 0.589.
"""

from kd_jax.report.build import build_report
from kd_jax.report.check_report import check_report
from kd_jax.report.check_values import check_values
from kd_jax.report.paper_claims import study_claims
from kd_jax.report.result_files import load_results
from kd_jax.report.tables import study_tables
from kd_jax.report.terminal_tables import print_tables

__all__ = [
    'build_report',
    'check_report',
    'check_values',
    'load_results',
    'print_tables',
    'study_claims',
    'study_tables',
]
