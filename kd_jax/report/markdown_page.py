"""Writes a report as Markdown."""

from collections.abc import Iterable, Sequence

from kd_jax.report import number_format
from kd_jax.report.contents import LEFT_ASIDE, Picture, Report, checksum_state, tree_state
from kd_jax.report.paper_claims import Claim
from kd_jax.report.prose import code_span, escape_markdown, markdown_prose
from kd_jax.report.samples import SampleTexts
from kd_jax.report.table_texts import LEVEL, ShownCell, table_cells, table_legend
from kd_jax.report.tables import Table


def markdown_page(report: Report) -> str:
    """Returns the report as Markdown; its images are the files in `figures/`."""
    blocks = [f'# {escape_markdown(report.title)}', f'**{escape_markdown(report.finding.sentence)}**']
    blocks += [escape_markdown(report.finding.note)]
    blocks += [f'**{escape_markdown(report.missing)}**'] if report.missing else []
    blocks += [_picture(report.lead) if report.lead else '', markdown_prose(report.text)]
    blocks += [_section(table) for table in report.tables]
    blocks += [f'*{escape_markdown(legend)}*'] if (legend := table_legend(report.tables)) else []
    if report.claims:
        blocks += ['## Claims', _verdicts(report.claims), '\n'.join(map(_claim, report.claims))]
    blocks += ['## Figures'] if report.figures else []
    blocks += [_picture(picture) for picture in report.figures]
    blocks += ['## Learning curves'] if report.curves else []
    blocks += [_picture(picture) for picture in report.curves]
    blocks += ['## Samples'] if report.samples else []
    blocks += [_samples(texts) for texts in report.samples]
    facts = [f'- {name}: {_fact(name, fact)}' for name, fact in report.facts.items()]
    blocks += ['## What was run', '\n'.join(facts)]
    headings = ['run', 'seed', 'commit', 'working tree', 'finished', 'time', 'checksum']
    rows = [
        [
            o.run,
            str(o.seed),
            o.commit or number_format.DASH,
            tree_state(o.dirty),
            o.finished or number_format.DASH,
            number_format.duration(o.seconds),
            checksum_state(o.has_checksum),
        ]
        for o in report.origins
    ]
    blocks += ['## Provenance', _rows(headings, _shown(rows), {0, 2, 3, 4, 6}) if rows else 'No run has finished yet.']
    if report.left_aside:
        asides = [[aside.run, str(aside.seed), aside.reason] for aside in report.left_aside]
        blocks += ['## Left aside', LEFT_ASIDE, _rows(['run', 'seed', 'why'], _shown(asides), {0, 2})]
    return '\n\n'.join(block for block in blocks if block) + '\n'


def _samples(texts: SampleTexts) -> str:
    heading = [f'“{texts.prompt}”', 'continued by the most probable tokens']
    return _rows(heading, _shown(texts.lines), {0, 1})


def _verdicts(claims: Sequence[Claim]) -> str:
    """A table of the claims that have a rule."""
    rows = [
        f'| {escape_markdown(claim.title)} | {escape_markdown(claim.papers or number_format.DASH)} '
        f'| {escape_markdown(claim.ours or number_format.DASH)} | {escape_markdown(claim.verdict)} '
        f'| {number_format.duration(claim.seconds or None)} | {code_span(claim.command) if claim.command else ""} |'
        for claim in claims
        if claim.verdict
    ]
    head = ['| claim | paper | ours | verdict | cost | command |', '| :-- | --: | --: | :-- | --: | :-- |']
    return '\n'.join([*head, *rows]) if rows else ''


def _claim(claim: Claim) -> str:
    why = f' *Why not:* {escape_markdown(claim.why)}' if claim.why else ''
    return f'- **{escape_markdown(claim.title)}**: {escape_markdown(claim.sentence)}{why}'


def _section(table: Table) -> str:
    headings, rows = table_cells(table)
    blocks = [
        f'## {escape_markdown(table.title)}',
        markdown_prose(table.text),
        _rows(headings, rows, {0}) if table.columns else '',
    ]
    return '\n\n'.join([*filter(None, blocks), *(f'*{escape_markdown(note)}*' for note in table.notes)])


def _rows(headings: list[str], rows: Iterable[list[ShownCell]], left: set[int]) -> str:
    rule = [':--' if i in left else '--:' for i in range(len(headings))]
    return '\n'.join(
        f'| {" | ".join(line)} |' for line in [map(escape_markdown, headings), rule, *(map(_cell, row) for row in rows)]
    )


def _shown(rows: Iterable[Iterable[str]]) -> list[list[ShownCell]]:
    return [[ShownCell(text) for text in row] for row in rows]


def _cell(cell: ShownCell) -> str:
    text = escape_markdown(cell.text)
    return f'**{text}**' if cell.mark == 'best' else f'{text} {LEVEL}' if cell.mark == 'level' else text


def _picture(picture: Picture) -> str:
    if picture.path is None:
        return f'**{escape_markdown(picture.title)}** Left out: {escape_markdown(picture.note)}'
    note = f'Left out: {picture.note}' if picture.note else ''
    caption = ' '.join(
        filter(None, [f'**{escape_markdown(picture.title)}**', escape_markdown(picture.caption), escape_markdown(note)])
    )
    return f'![{escape_markdown(picture.title)}](figures/{picture.path.name})\n\n{caption}'


def _fact(name: str, fact: str) -> str:
    return code_span(fact) if name == 'command' else escape_markdown(fact)
