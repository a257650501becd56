"""Writes docs/replication.md and the README's table of results: the claims of Hinton et al. (2015), and ours.

  python -m experiments.replication    # from the results that are committed

A claim and its rule stand in the `get_report` of a study's config. The numbers are computed from the study's result
files, as in its own report. The README shows the claims for which the paper says what it found; the page shows all.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from configs import benchmark_pairs
from experiments.methods import RESULTS
from experiments.terminal import keep_going
from kd_jax.report import number_format
from kd_jax.report.asked_runs import said_missing
from kd_jax.report.chosen_runs import with_chosen_runs
from kd_jax.report.paper_claims import Claim, study_claims
from kd_jax.report.prose import code_span, escape_markdown
from kd_jax.report.result_files import load_results

README, PAGE = benchmark_pairs.ROOT / 'README.md', benchmark_pairs.ROOT / 'docs' / 'replication.md'
START, END = '<!-- results -->', '<!-- /results -->'
RUN = 'python -m experiments.run '
STUDIES = {  # directory of the committed results -> what the study repeats, and its config
    'hinton_mnist': ('Section 3: a large net into a small one', 'configs/hinton_mnist.py:paper'),
    'hinton_temperature': ('Section 3: temperature and width', 'configs/hinton/temperature.py'),
    'hinton_ensemble': ('Section 4: an ensemble into one net', 'configs/hinton/ensemble.py'),
    'hinton_specialists': ('Section 5: specialists', 'configs/hinton/specialists.py'),
    'hinton_specialists_many': (
        'Section 5: specialists with smaller nets and four times as many images',
        'configs/hinton/specialists.py:many',
    ),
    'hinton_regularisers': ('Section 6: soft targets as regularisers', 'configs/hinton/regularisers.py'),
}
INTRODUCTION = """# Hinton, Vinyals & Dean (2015), claim by claim

This page is written by `python -m experiments.replication` from the committed result files. Numbers are means ±
standard deviations over seeds, or a 95% interval in brackets. Each claim is judged by its mean and by a rule, which
stands in its config. A verdict is "not certain" if the 95% interval of the number lies on both sides of the rule, or
if there is none to trust: from one seed, from equal seeds, or without width.
Cost is the time of all runs that a claim needs, over all seeds, on the hardware that the study's report names. Each
command runs a claim again, from nothing. Sections 4 to 6 of the paper use speech and JFT, which are not public; ours
use MNIST, so the claim is compared and not the number.
"""


class Shown(NamedTuple):
    """A study's claims.

    Attributes:
      section: what the study repeats.
      config: its config.
      folder: directory of its committed results.
      claims: its claims; none if it has not run.
      missing: what has not run yet, in words; '' if nothing is missing.
    """

    section: str
    config: str
    folder: str
    claims: list[Claim]
    missing: str


def studies() -> list[Shown]:
    shown = []
    for folder, (section, config) in STUDIES.items():
        if not (RESULTS / folder).is_dir():
            shown.append(Shown(section, config, folder, [], 'This study has not run yet.'))
            continue
        study, results, _ = load_results(RESULTS / folder)
        claims = study_claims(with_chosen_runs(study, results), results)
        shown.append(Shown(section, config, folder, claims, said_missing(study, results)))
    return shown


def head(*last: str) -> str:
    columns = ('claim', 'paper', 'ours', 'verdict', 'cost', *last)
    sides = (':--', '--:', '--:', ':--', '--:', *(':--' for _ in last))
    return f'| {" | ".join(columns)} |\n| {" | ".join(sides)} |'


def row(claim: Claim, *last: str) -> str:
    cells = (
        escape_markdown(claim.title), escape_markdown(claim.papers or number_format.DASH),
        escape_markdown(claim.ours or number_format.DASH), escape_markdown(claim.verdict or number_format.DASH),
        number_format.duration(claim.seconds or None), *last,
    )  # fmt: skip
    return f'| {" | ".join(cells)} |'


def full_row(claim: Claim) -> str:
    """A row of the page, with the rule that judges the claim."""
    return row(claim, escape_markdown(claim.rule or number_format.DASH), code_span(claim.command))


def page(found: Sequence[Shown]) -> str:
    """All claims, and why those that are not reproduced are not."""
    blocks = [INTRODUCTION]
    for study in found:
        blocks.append(f'## {study.section}\n')
        report = f', [report](../experiments/results/{study.folder}/report.md)' if study.claims else ''
        blocks.append(f'Config `{study.config}`{report}. {study.missing}'.strip() + '\n')
        if study.claims:
            blocks.append('\n'.join([head('rule', 'command'), *map(full_row, study.claims)]) + '\n')
            why = [f'- **{escape_markdown(c.title)}**: {escape_markdown(c.why)}' for c in study.claims if c.why]
            blocks += ['Why not:\n', '\n'.join(why) + '\n'] if why else []
    return '\n'.join(blocks)


def table(found: Sequence[Shown]) -> str:
    """The claims for which the paper says what it found."""
    rows = []
    for study in found:
        rows += [row(claim, code_span(claim.command.removeprefix(RUN))) for claim in study.claims if claim.papers]
        if not study.claims:
            rows.append(f'| {study.section} | | not run yet | | | `--config={study.config}` |')
    return '\n'.join([head(f'`{RUN}…`'), *rows])


def with_table(readme: str, shown: str) -> str:
    before, _, rest = readme.partition(START)
    return f'{before}{START}\n{shown}\n{END}{rest.partition(END)[2]}'


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: rewrite(argv))


def rewrite(argv: Sequence[str] | None) -> int:
    argparse.ArgumentParser('python -m experiments.replication', description=__doc__.splitlines()[0]).parse_args(argv)
    found = studies()
    PAGE.write_text(page(found))
    README.write_text(with_table(README.read_text(), table(found)))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
