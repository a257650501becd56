"""Writes a report as one self-contained HTML page."""

import base64
from pathlib import Path

import jinja2

from kd_jax.config.visible_text import visible
from kd_jax.report import number_format
from kd_jax.report.contents import LEFT_ASIDE, Report, checksum_state, tree_state
from kd_jax.report.prose import html_prose
from kd_jax.report.table_texts import DIFFERENCE, GAIN, LEVEL, gain_text, table_legend
from kd_jax.report.tables import NOT_RUN

HERE = Path(__file__).parent


def html_page(report: Report) -> str:
    """Returns the HTML page: one file that includes its styles and images and has no scripts."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['prose'] = lambda text: jinja2.filters.Markup(html_prose(text))
    environment.filters['png'] = _data_url
    environment.filters['duration'] = number_format.duration
    environment.filters['tree'] = tree_state
    environment.filters['checksum'] = checksum_state
    environment.filters['heading'] = lambda column: number_format.heading(column.heading, column.unit)
    css = jinja2.filters.Markup((HERE / 'page.css').read_text('utf-8'))
    return environment.get_template('page.html.j2').render(
        report=report,
        css=css,
        DASH=number_format.DASH,
        NOT_RUN=NOT_RUN,
        LEFT_ASIDE=LEFT_ASIDE,
        GAIN=GAIN,
        DIFFERENCE=DIFFERENCE,
        LEVEL=LEVEL,
        gain_text=gain_text,
        legend=table_legend(report.tables),
    )


def _data_url(path: Path) -> str:
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()
