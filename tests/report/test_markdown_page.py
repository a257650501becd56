"""The report as Markdown."""

import json
import re

from kd_jax.report.build import build_report


def test_markdown_shows_every_figure_that_was_drawn_and_says_which_was_not(report_dir):
    text = (report_dir / 'report.md').read_text()
    shown = set(re.findall(r'\]\(figures/(.+?)\)', text))
    assert shown == {path.name for path in (report_dir / 'figures').iterdir()}
    assert '**nothing** Left out: absent has not been run yet.' in text
    assert '| distilled | **7.0 ± 1.0** | +5.0 ± 1.0 | 5 | +2.0 | **93.00 ± 1.00** | 3 |' in text


def test_every_result_file_is_in_the_provenance(report_dir):
    text = (report_dir / 'report.md').read_text().partition('## Provenance')[2]
    assert text.count('| abcdef012345 | clean | 2026-01-01 00:00 UTC | 1 min 00 s | not checked |') == 9


def test_a_study_that_evaluates_nothing_says_so(study_dir):
    study = json.loads((study_dir / 'study.json').read_text())
    (study_dir / 'study.json').write_text(json.dumps({**study, 'report': {}}))
    for path in (study_dir / 'results').iterdir():
        nothing = {'last': {'step': 2, 'test': {}}, 'metrics': {}, 'best_by': {}, 'history': []}
        path.write_text(json.dumps({**json.loads(path.read_text()), **nothing}))
    build_report(study_dir, study_dir)
    text = (study_dir / 'report.md').read_text().partition('## What was run')[0]
    assert text.split('\n\n', 3)[3].strip() == (
        '## Every run\n\nNothing was evaluated. A run names what to evaluate in `evaluate`.'
    )
    assert 'Nothing was evaluated.' in (study_dir / 'report.html').read_text()


def test_the_page_begins_with_what_was_found_and_ends_with_what_was_run(report_dir):
    title, found, picture, caption, text, *_ = (report_dir / 'report.md').read_text().split('\n\n')
    assert title == '# A small study'
    assert found.startswith('**“distilled” removes 5 of the 12 errors that “baseline” makes (7.0 ± 1.0 instead of')
    assert picture == '![Errors](figures/compared-main.png)'
    assert caption.startswith('**Errors** Mean and standard deviation over seeds. The dashed line is the baseline.')
    assert text == 'What *was* run.'
    headings = re.findall(r'^## (.+)$', (report_dir / 'report.md').read_text(), re.MULTILINE)
    assert headings == ['Errors', 'Claims', 'Figures', 'Learning curves', 'What was run', 'Provenance']


def test_a_claim_with_a_rule_has_a_verdict_its_cost_and_its_command(study_dir):
    study = json.loads((study_dir / 'study.json').read_text())
    study['report']['claims']['kept'] |= {'rule': {'at_least': 0.8}, 'why': 'The student is small.'}
    command = 'python -m experiments.run --config=configs/small.py'
    (study_dir / 'study.json').write_text(json.dumps({**study, 'command': command}))
    build_report(study_dir, study_dir)
    text, page = (study_dir / 'report.md').read_text(), (study_dir / 'report.html').read_text()
    # Three runs of three seeds, a minute each.
    row = '| share kept | 80% | 62.50 ± 3.37% | not reproduced | 9 min 00 s | '
    assert f"{row}`{command} --only='student,baseline,teacher'` |" in text
    assert '*Why not:* The student is small.' in text
    assert '<td class="text">not reproduced</td><td>9 min 00 s</td>' in page
    assert '<em>Why not:</em> The student is small.' in page
    assert text.count('not reproduced') == 1  # the claim without a rule has no verdict
