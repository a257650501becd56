"""Reports of whole studies."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.build import build_report


def test_the_same_results_give_the_same_bytes(report_dir, tmp_path):
    build_report(report_dir, tmp_path)
    written = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert len(written) == 8  # report.md, report.html, six figures
    assert all(path.read_bytes() == (report_dir / path.relative_to(tmp_path)).read_bytes() for path in written)


def test_a_study_without_a_report_section_has_a_table_and_learning_curves(study_dir, edit_study, tmp_path):
    edit_study(lambda study: study.pop('report'))
    report = build_report(study_dir, tmp_path / 'out')
    assert [row.label for row in report.tables[0].rows] == ['baseline', 'student', 'teacher']
    assert [picture.name for picture in report.curves] == ['curves-test-student-errors']
    assert report.figures == []


def test_a_study_in_which_nothing_ran_still_has_a_report(study_dir, tmp_path):
    for path in (study_dir / 'results').iterdir():
        path.unlink()
    report = build_report(study_dir, tmp_path / 'out')
    text = (tmp_path / 'out' / 'report.md').read_text()
    assert text.count('not run yet') == 4  # three rows and the number of runs
    assert 'No run has finished yet.' in text
    assert all(picture.path is None for picture in report.figures)


def test_a_mistake_in_the_report_section_is_refused(study_dir, edit_study, tmp_path):
    edit_study(lambda study: study['report']['figures']['bars'].update(kind='bar'))
    with pytest.raises(UserError, match="Did you mean 'bars'"):
        build_report(study_dir, tmp_path / 'out')
