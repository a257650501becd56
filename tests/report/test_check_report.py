import copy

import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.check_report import check_report
from kd_jax.report.result_files import load_results

RUNS = ['student', 'baseline', 'teacher', 'absent']


def _changed(report, path, value):
    report = copy.deepcopy(report)
    *way, last = path
    place = report
    for key in way:
        place = place[key]
    place[last] = value
    return {'name': 'small', 'report': report}


def test_a_sound_report_section_passes_and_so_does_none(study_dir):
    check_report(load_results(study_dir)[0], RUNS)
    check_report({'name': 'small'}, RUNS)


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        (('figures', 'bars', 'kind'), 'bar', "unknown kind 'bar'. Did you mean 'bars'?"),
        (('figures',), [{'kind': 'bars'}], 'figures of the report are'),
        (('figures', 'bars', 'values', 'ours'), 'studnet:seconds', "Did you mean 'student'?"),
        (('figures', 'bars', 'values', 'ours'), 'seconds', "must have the form 'run:path'"),
        (('figures', 'sweep', 'runs'), 'width*', "no run matches 'width*'"),
        (('figures', 'sweep', 'logx'), True, "unknown key 'logx'. Did you mean 'log_x'?"),
        (('figures', '../up'), {'kind': 'bars', 'values': {}}, 'becomes a file name'),
        (
            ('figures', 'dots'),
            {'kind': 'scatter', 'values': {'kd': 'student:seconds'}, 'x': {'dk': 1.0}},
            "figure 'dots', 'x' has an unknown key 'dk'. Did you mean 'kd'?",
        ),
        (
            ('figures', 'dots'),
            {'kind': 'scatter', 'values': {'kd': 'student:seconds', 'hard': 'baseline:seconds'}, 'x': {'kd': 1.0}},
            "figure 'dots': 'hard' has no number in 'x', so it has no place; add one.",
        ),
        (
            ('figures', 'c'),
            {'kind': 'curves', 'runs': {'soft': 'student', 'again': 'stud*', 'all': '*'}, 'y': 'test.student.errors'},
            "figure 'c': run 'student' has the labels 'soft' and 'again'; leave one out.",
        ),
        (('figures', 'c'), {'kind': 'curves', 'runs': '*', 'y': 'test.student.errors', 'per_epoch': 0}, 'per_epoch'),
        (('claims', 'kept', 'kind'), 'shares', "Did you mean 'share'?"),
        (('claims', 'kept', 'high'), 'techer:seconds', "Did you mean 'teacher'?"),
        (('claims', 'kept', 'rule'), {'atleast': 1.0}, "'rule' is {'atleast': 1.0}, but it must be a dictionary with"),
        (('claims', 'kept', 'rule'), {'at_least': 2.0, 'at_most': 1.0}, 'which no number meets; exchange the two'),
        (('claims', 'kept', 'rule'), {'above': 2.0, 'at_most': 1.0}, 'which no number meets; exchange the two'),
        (('claims', 'kept', 'rule'), {'at_least': float('nan')}, 'rule.at_least: expected float, got null'),
        (('claims', 'kept', 'rule'), {'above': float('inf')}, 'rule.above: expected float, got null'),
        (('claims', 'kept', 'why'), 'too short', "claim 'kept' has a 'why' but no 'rule'"),
        (('claims', 'kept', 'evidence'), {'it': 'techer:seconds'}, "'evidence', 'it' names the unknown run 'techer'"),
        (
            ('claims', 'kept', 'provided'),
            {'value': 'techer:seconds', 'above': 'student:seconds', 'otherwise': 'no'},
            "'provided', 'value' names the unknown run 'techer'. Did you mean 'teacher'?",
        ),
        (('claims', 'kept', 'provided'), {'value': 'teacher:seconds', 'otherwise': 'no'}, 'above'),
        (
            ('claims', 'best'),
            {'kind': 'optimum', 'runs': 'width*', 'x': 'config.t', 'y': 'seconds'},
            "claim 'best': no run matches 'width*'",
        ),
        (('tables', 'main', 'rows', 'studnet'), {}, "Did you mean 'student'?"),
        (('tables', 'main', 'rows', 'student', 'paper'), {'error': 5}, "Did you mean 'errors'?"),
        (('table',), {}, "Did you mean 'tables'?"),
        (('tables', 'main', 'rows', 'student', 'label'), 7, 'tables.main.rows.student.label: expected str, got int'),
        (
            ('tables', 'main', 'baseline'),
            'studnet',
            "table 'main', 'baseline' is 'studnet', but it must be one of the rows. Did you",
        ),
        (('tables', 'main', 'teachers'), ['techer'], "'teachers' is 'techer', but it must be one of the rows."),
        (('tables', 'main', 'compare'), 'eror', "Did you mean 'errors'?"),
        (('lead',), 'bar', "Did you mean 'bars'?"),
        (('lead',), ['bars'], "'lead' of the report is ['bars'], but it must be one of the figures."),
    ],
)
def test_a_mistake_is_named_with_the_nearest_right_name(study_dir, path, value, message):
    with pytest.raises(UserError) as error:
        check_report(_changed(load_results(study_dir)[0]['report'], path, value), RUNS)
    assert message in str(error.value)


@pytest.mark.parametrize(('claim', 'key'), [('kept', 'high'), ('gain', 'low')])
def test_a_claim_needs_all_its_parts(study_dir, claim, key):
    study = load_results(study_dir)[0]
    del study['report']['claims'][claim][key]
    with pytest.raises(UserError, match=f"claim '{claim}' needs a '{key}'"):
        check_report(study)


def test_shares_are_drawn_of_claims_of_that_kind_alone():
    claims = {
        'kept': dict(kind='share', value='a:x', low='b:x', high='c:x'),
        'less': dict(kind='difference', value='a:x', low='b:x'),
    }
    figure = {'kind': 'shares', 'claims': {'kept': 'kept'}}
    check_report({'report': {'claims': claims, 'figures': {'one': figure}}})
    with pytest.raises(UserError, match=r"the claim is 'less', but it must be one of the claims of kind share"):
        check_report({'report': {'claims': claims, 'figures': {'one': {**figure, 'claims': {'a': 'less'}}}}})
