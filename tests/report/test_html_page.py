"""The report as one HTML page."""

import base64
import re
from html.parser import HTMLParser

from kd_jax.report.build import build_report


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


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script(report_dir):
    html = (report_dir / 'report.html').read_text()
    page = _Page(html)
    assert not {'script', 'link', 'iframe', 'object', 'base'} & {tag for tag, _ in page.tags}
    sources = [attributes.get('src', '') for _, attributes in page.tags if 'src' in attributes]
    assert sources
    assert all(source.startswith('data:image/png;base64,') for source in sources)
    assert not re.search(r'url\(|@import|srcset|\son\w+=', html)


def test_the_page_begins_with_what_was_found_and_marks_the_best_numbers_alone(report_dir):
    html = (report_dir / 'report.html').read_text()
    body = html.partition('<body>')[2]
    places = [body.index(text) for text in ('class="finding"', '<img', '<table', 'id="claims"', '<dl class="facts"')]
    assert places == sorted(places)
    assert re.findall(r'<td class="best">(.+?)</td>', html) == ['7.0 ± 1.0', '93.00 ± 1.00']
    assert '<td class="minor">+5.0 ± 1.0</td>' in html


def test_the_images_in_the_page_are_the_files_beside_it(report_dir):
    page = _Page((report_dir / 'report.html').read_text())
    embedded = [base64.b64decode(a['src'].partition(',')[2]) for tag, a in page.tags if tag == 'img']
    assert sorted(embedded) == sorted(path.read_bytes() for path in (report_dir / 'figures').iterdir())


def test_names_and_texts_are_escaped(study_dir, edit_study, tmp_path):
    attack = '<script>alert(1)</script>|"\'&'

    def change(study):
        study['title'] = study['text'] = study['command'] = attack
        study['report']['tables']['main'] |= {'title': attack, 'text': attack}
        study['report']['tables']['main']['rows']['student']['label'] = attack
        study['report']['claims']['gain']['title'] = attack
        study['report']['figures'] = {'bars': study['report']['figures']['bars'] | {'title': attack, 'caption': attack}}

    edit_study(change)
    build_report(study_dir, tmp_path / 'out')
    html, text = ((tmp_path / 'out' / name).read_text() for name in ('report.html', 'report.md'))
    page = _Page(html)
    assert 'script' not in {tag for tag, _ in page.tags}
    assert (
        page.text.count('<script>alert(1)</script>') == 13
    )  # twice: the title, and the label in a claim; thrice: the label elsewhere and the table's title
    row = next(line for line in text.splitlines() if '7.0 ± 1.0** |' in line)
    assert r'&lt;script&gt;alert(1)&lt;/script&gt;\|' in row
    assert len(re.findall(r'(?<!\\)\|', row)) == 8


def test_a_picture_in_a_text_is_not_fetched_from_elsewhere(study_dir, edit_study, tmp_path):
    text = '![x](https://example.org/x.png) [y](https://example.org)'
    edit_study(lambda study: study.update(text=text, report={}))
    build_report(study_dir, tmp_path / 'out')
    page = _Page((tmp_path / 'out' / 'report.html').read_text())
    assert ('a', {'href': 'https://example.org'}) in page.tags
    assert not any('example' in attributes.get('src', '') for _, attributes in page.tags)
