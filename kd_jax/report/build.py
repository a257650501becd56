"""Builds the report of a study from its result files."""

from pathlib import Path

from kd_jax.config.ordinary_files import refuse_links, write_text
from kd_jax.report.asked_runs import said_missing
from kd_jax.report.check_report import check_report
from kd_jax.report.chosen_runs import with_chosen_runs
from kd_jax.report.contents import Report, facts, origins
from kd_jax.report.finding import find
from kd_jax.report.html_page import html_page
from kd_jax.report.markdown_page import markdown_page
from kd_jax.report.paper_claims import study_claims
from kd_jax.report.result_files import load_results
from kd_jax.report.samples import study_samples
from kd_jax.report.tables import study_tables


def build_report(results_dir: str | Path, out_dir: str | Path) -> Report:
    """Writes `report.md`, `report.html` and `figures/*.png`; the same results give the same bytes.

    Args:
      results_dir: directory with `study.json` and `results/*.json`; runs may be missing.
      out_dir: directory of the report, made if it does not exist; may be `results_dir` itself.
    Raises:
      UserError: a file is missing, damaged or of another study, or the report section has a mistake.
    """
    from kd_jax.report.figures import draw  # matplotlib is slow to import, and --help and --plan do without it

    study, results, left_aside = load_results(results_dir)
    check_report(study)
    study = with_chosen_runs(study, results)
    out_dir = Path(out_dir)
    refuse_links(out_dir / 'figures')
    tables = study_tables(study, results)
    finding = find(tables, results)
    claims = study_claims(study, results)
    pictures = draw(study, results, out_dir / 'figures', tables, finding, claims)
    others = [picture for picture in pictures if not picture.leads]
    report = Report(
        name=study['name'],
        title=study.get('title') or study['name'],
        text=study.get('text') or '',
        finding=finding,
        lead=next((picture for picture in pictures if picture.leads), None),
        missing=said_missing(study, results),
        facts=facts(study, results, left_aside),
        tables=tables,
        claims=claims,
        samples=study_samples(results, tables),
        figures=[picture for picture in others if picture.kind != 'curves'],
        curves=[picture for picture in others if picture.kind == 'curves'],
        origins=origins(results),
        left_aside=left_aside,
    )
    write_text(out_dir / 'report.md', markdown_page(report))
    write_text(out_dir / 'report.html', html_page(report))
    return report
