import base64
import json
import re
from html.parser import HTMLParser

import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.build import build_report
from kd_jax.report.contents import facts
from kd_jax.report.result_files import load_results


class _Page(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ''
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def _edit(study_dir, change):
    path = study_dir / 'study.json'
    study = json.loads(path.read_text())
    change(study)
    path.write_text(json.dumps(study))


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script(report_dir):
    html = (report_dir / 'report.html').read_text()
    page = _Page(html)
    assert not {'script', 'link', 'iframe', 'object', 'base'} & {tag for tag, _ in page.tags}
    sources = [attributes.get('src', '') for _, attributes in page.tags if 'src' in attributes]
    assert sources
    assert all(source.startswith('data:image/png;base64,') for source in sources)
    assert not re.search(r'url\(|@import|srcset|\son\w+=', html)


def test_the_images_in_the_page_are_the_files_beside_it(report_dir):
    page = _Page((report_dir / 'report.html').read_text())
    embedded = [base64.b64decode(a['src'].partition(',')[2]) for tag, a in page.tags if tag == 'img']
    assert sorted(embedded) == sorted(path.read_bytes() for path in (report_dir / 'figures').iterdir())


def test_markdown_shows_every_figure_that_was_drawn_and_says_which_was_not(report_dir):
    text = (report_dir / 'report.md').read_text()
    shown = set(re.findall(r'\]\(figures/(.+?)\)', text))
    assert shown == {path.name for path in (report_dir / 'figures').iterdir()}
    assert '**nothing** Left out: absent has not been run yet.' in text
    assert '| distilled | 7.0 ± 1.0 | 5 | +2.0 | 93.00 ± 1.00 | 3 |' in text


def test_every_result_file_is_in_the_provenance(report_dir):
    text = (report_dir / 'report.md').read_text().partition('## Provenance')[2]
    assert text.count('| abcdef012345 | clean | 2026-01-01 00:00 UTC | 1 min 00 s |') == 9


def test_names_and_texts_are_escaped(study_dir, tmp_path):
    attack = '<script>alert(1)</script>|"\'&'

    def change(study):
        study['title'] = study['text'] = study['command'] = attack
        study['report']['tables']['main'] |= {'title': attack, 'text': attack}
        study['report']['tables']['main']['rows']['student']['label'] = attack
        study['report']['claims']['gain']['title'] = attack
        study['report']['figures'] = {'bars': study['report']['figures']['bars'] | {'title': attack, 'caption': attack}}

    _edit(study_dir, change)
    build_report(study_dir, tmp_path / 'out')
    html, text = ((tmp_path / 'out' / name).read_text() for name in ('report.html', 'report.md'))
    page = _Page(html)
    assert 'script' not in {tag for tag, _ in page.tags}
    assert page.text.count('<script>alert(1)</script>') == 10  # the title twice, all others once
    row = next(line for line in text.splitlines() if '7.0 ± 1.0 |' in line)
    assert r'&lt;script&gt;alert(1)&lt;/script&gt;\|' in row
    assert len(re.findall(r'(?<!\\)\|', row)) == 7


def test_a_picture_in_a_text_is_not_fetched_from_elsewhere(study_dir, tmp_path):
    text = '![x](https://example.org/x.png) [y](https://example.org)'
    _edit(study_dir, lambda study: study.update(text=text, report={}))
    build_report(study_dir, tmp_path / 'out')
    page = _Page((tmp_path / 'out' / 'report.html').read_text())
    assert ('a', {'href': 'https://example.org'}) in page.tags
    assert not any('example' in attributes.get('src', '') for _, attributes in page.tags)


def test_the_same_results_give_the_same_bytes(report_dir, tmp_path):
    build_report(report_dir, tmp_path)
    written = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert len(written) == 7  # report.md, report.html, five figures
    assert all(path.read_bytes() == (report_dir / path.relative_to(tmp_path)).read_bytes() for path in written)


def test_a_study_without_a_report_section_has_a_table_and_learning_curves(study_dir, tmp_path):
    _edit(study_dir, lambda study: study.pop('report'))
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


def test_what_was_run_tells_seeds_time_and_uncommitted_changes(study_dir):
    path = study_dir / 'results' / 'student-s1.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'dirty': True, 'seconds': 3000.0}))
    found = facts(*load_results(study_dir))
    assert found['seeds'] == '0 to 2'
    assert found['commit'] == 'abcdef012345; 1 of 9 with uncommitted changes'
    assert found['time'] == '58 min 00 s in total'  # 8 minutes and 3000 s
    assert found['time per run'] == '1 min 00 s (median), 1 min 00 s to 50 min 00 s'


def test_a_mistake_in_the_report_section_is_told(study_dir, tmp_path):
    _edit(study_dir, lambda study: study['report']['figures']['bars'].update(kind='bar'))
    with pytest.raises(UserError, match="Did you mean 'bars'"):
        build_report(study_dir, tmp_path / 'out')
