"""Texts of several runs side by side."""

import json

from kd_jax.report.build import build_report
from kd_jax.report.samples import study_samples


def test_texts_stand_under_their_prompts_with_the_labels_of_the_runs(study_dir):
    for run, texts in (('student', ['in\nParis', 'b']), ('teacher', ['is <b>|Paris|</b>', ''])):
        path = study_dir / 'results' / f'{run}-s0.json'
        samples = {'prompts': ['The capital', 'a'], 'texts': texts}
        path.write_text(json.dumps(json.loads(path.read_text()) | {'samples': samples}))
    report = build_report(study_dir, study_dir)
    assert [texts.prompt for texts in report.samples] == ['The capital', 'a']
    assert dict(report.samples[0].lines) == {'distilled': 'in Paris', 'teacher': 'is <b>|Paris|</b>'}
    text, page = (study_dir / 'report.md').read_text(), (study_dir / 'report.html').read_text()
    assert '## Samples\n\n| “The capital” | continued by the most probable tokens |' in text
    assert '| distilled | in Paris |' in text
    assert '<dt>distilled</dt><dd>in Paris</dd>' in page
    assert 'is &lt;b&gt;|Paris|&lt;/b&gt;' in page


def test_a_study_without_samples_has_no_such_section(report_dir):
    assert 'Samples' not in (report_dir / 'report.md').read_text()
    assert study_samples({'a': {0: {}}}, []) == []
