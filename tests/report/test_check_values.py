import copy
import json

import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.check_values import check_values
from tests.report.conftest import PATH, REPORT, STATED

SPLITS = {'train': 100, 'valid': 20, 'test': 50}
CONFIG = {'t': 4.0, 'widths': (10,), 'share': 'result:teacher.seconds', 'decay': None}
RUN = {
    'config': CONFIG, 'metrics': {'student': STATED}, 'analysis_units': {'matrix': {}, 'dark': {}}, 'examples': SPLITS,
}  # fmt: skip
RUNS = dict.fromkeys(('student', 'baseline', 'teacher', 'absent'), RUN)


def changed(path, value):
    report = copy.deepcopy(REPORT)
    *way, last = path
    place = report
    for key in way:
        place = place[key]
    place[last] = value
    return {'name': 'small', 'report': report}


def test_a_report_of_what_is_measured_passes_and_so_does_none():
    check_values({'name': 'small', 'report': REPORT}, RUNS)
    check_values({'name': 'small'}, RUNS)


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        (
            ('claims', 'kept', 'low'),
            'baseline:last.test.student.error',
            "claim 'kept', 'low': run 'baseline' measures no 'last.test.student.error'. "
            "Did you mean 'last.test.student.errors'?",
        ),
        (
            ('claims', 'gain', 'evidence'),
            {'it': 'student:last.test.student.mse'},
            "claim 'gain', 'evidence', 'it': run",
        ),
        (
            ('claims', 'gain', 'provided'),
            {'value': 'student:seconds', 'above': 'student:last.test.student.mse', 'otherwise': ''},
            "claim 'gain', 'provided', 'above': run 'student' measures no",
        ),
        (
            ('claims', 'best'),
            {'kind': 'optimum', 'runs': '*', 'x': 'config.t', 'y': 'last.test.student.mse'},
            "claim 'best', 'y': run 'student' measures no 'last.test.student.mse'",
        ),
        (('claims', 'gain', 'value'), 'student:last.valid.studnt.nll', "Did you mean 'last.valid.student.nll'?"),
        (('figures', 'bars', 'values', 'ours'), 'student:analyses.matrx.a', "Did you mean 'analyses.matrix'?"),
        (('figures', 'sweep', 'y'), 'last.test.student.mse', "figure 'sweep', 'y': run 'student' measures no"),
        (
            ('figures', 'sweep', 'beside'),
            'last.valid.student.mse',
            "figure 'sweep', 'beside': run 'student' measures no",
        ),
        (
            ('figures', 'sweep', 'x'),
            'config.tt',
            "'sweep', 'x': run 'student' measures no 'config.tt'. Its config has no 'tt' there. Did you mean 't'?",
        ),
        (('figures', 'sweep', 'by'), 'config.widths.1', "Its config has no '1' there. Known: 0."),
        (
            ('claims', 'best'),
            {'kind': 'optimum', 'runs': '*', 'x': 'config.t.a', 'y': 'seconds'},
            "claim 'best', 'x': run 'student' measures no 'config.t.a'. Its config has no 'a' there.",
        ),
        (('tables', 'main', 'columns', 'errors'), 'last.test.student.mse', "table 'main', column 'errors': run"),
        (
            ('tables', 'main', 'rows', 'student', 'columns'),
            {'errors': 'best.valid.student.mse'},
            "row 'student', 'errors': run 'student' measures no 'best.valid.student.mse'",
        ),
        (
            ('tables', 'main', 'rows', 'student', 'paper'),
            {'accuracy': 58.9},
            "row 'student': the paper's accuracy must be a fraction: 0.589, not 58.9",
        ),
    ],
)
def test_a_number_that_no_run_measures_is_refused(path, value, message):
    with pytest.raises(UserError) as error:
        check_values(changed(path, value), RUNS)
    assert message in str(error.value)


def test_a_column_needs_only_one_run_that_measures_it():
    report = {'name': 'small', 'report': {'tables': {'t': {'columns': {'e': PATH}, 'rows': {'teacher': {}, 'a': {}}}}}}
    check_values(report, {'teacher': {**RUN, 'metrics': {}}, 'a': RUN})
    with pytest.raises(UserError, match="column 'e'"):
        check_values(report, {'teacher': {**RUN, 'metrics': {}}, 'a': {**RUN, 'metrics': {}}})


def test_rows_are_compared_in_a_column_that_has_a_better_way():
    columns = {'images': 'last.test.student.count', 'trained': 'last.train.student.errors', 'errors': PATH}
    table = {'columns': columns, 'rows': {'teacher': {}, 'student': {'columns': {'trained': None}}}}
    study = {'name': 'small', 'report': {'tables': {'t': table}}}
    check_values(study, RUNS)
    table['compare'] = 'errors'
    check_values(study, RUNS)
    for heading in (
        'images',
        'trained',
    ):  # neither a number of images nor one of training examples is better than another
        table['compare'] = heading
        with pytest.raises(UserError) as error:
            check_values(study, RUNS)
        assert str(error.value) == (
            f"report: table 't', 'compare' is {heading!r}, but no number of this column is better than another; "
            "compare in one of the columns that have a better way: 'errors'."
        )
        check_values(study, {'student': RUN})  # what 'teacher' measures is not known
    del columns['errors']
    with pytest.raises(UserError, match="is better than another; leave 'compare' out"):
        check_values(study, RUNS)


def test_a_run_whose_metrics_are_not_known_yet_is_not_checked():
    check_values(changed(('claims', 'kept', 'low'), 'baseline:last.test.other.mse'), {'student': RUN, 'teacher': RUN})


@pytest.mark.parametrize(
    ('splits', 'path', 'message'),
    [
        (('train', 'test'), 'last.valid.student.errors', 'Its data has no such split. Known: train, test.'),
        (('train', 'test'), 'history.0.valid.student.errors', 'Its data has no such split. Known: train, test.'),
        (('train', 'valid'), 'last.test.student.errors', 'Its data has no such split. Known: train, valid.'),
        (
            ('train', 'test'),
            'best.test.student.errors',
            'The best epoch is that on validation examples, and the run has none: set data.valid.',
        ),
        (('train', 'test'), 'last.tst.student.errors', "Did you mean 'test'? Known: test, train."),
        (('train', 'test'), 'lst.test.student.errors', "Did you mean 'last'? Known: analyses, analysis_units, "),
    ],
)
def test_a_number_of_a_split_that_a_run_does_not_have_is_refused(splits, path, message):
    without = {**RUN, 'examples': {split: SPLITS[split] for split in splits}}
    claim = {'kind': 'number', 'title': '', 'value': f'student:{path}'}
    study = {'name': 'small', 'report': {'claims': {'one': claim}}}
    with pytest.raises(UserError) as caught:
        check_values(study, {**RUNS, 'student': without})
    assert f"claim 'one', 'value': run 'student' measures no '{path}'. {message}" in str(caught.value)
    if 'tst' not in path and 'lst' not in path:
        check_values(study, RUNS)  # with all three splits


def test_runs_are_not_chosen_on_validation_examples_that_they_do_not_have():
    without = {**RUN, 'examples': {'train': 100, 'test': 50}}
    report = {'chosen': {'found': {'runs': '*', 'by': 'last.valid.student.errors'}}}
    with pytest.raises(UserError, match=r"run 'found' measures no 'last\.valid"):
        check_values({'name': 'small', 'report': report}, dict.fromkeys(RUNS, without))
    check_values({'name': 'small', 'report': report}, RUNS)


@pytest.mark.parametrize(
    ('section', 'entry', 'where'),
    [
        ('chosen', {'runs': '*', 'by': 'last.valid.student.count'}, "chosen 'it', 'by'"),
        ('claims', {'kind': 'optimum', 'runs': '*', 'x': 'config.t', 'y': 'analyses.dark.t'}, "claim 'it', 'y'"),
        ('figures', {'kind': 'optima', 'runs': '*', 'x': 'config.t', 'y': 'seconds'}, "figure 'it', 'y'"),
        ('figures', {'kind': 'scatter', 'values': {'a': 'student:steps'}, 'x': {'a': 1.0}}, "figure 'it', 'values'"),
    ],
)
def test_no_run_is_called_the_best_by_a_number_of_which_none_is_better(section, entry, where):
    with pytest.raises(UserError, match=f'report: {where}: no value of .* is better than another, so there is no best'):
        check_values({'name': 'small', 'report': {section: {'it': entry}}}, RUNS)
    better = json.loads(json.dumps(entry).replace('.count', '.errors').replace('analyses.dark.t', PATH))
    better = json.loads(json.dumps(better).replace('seconds', PATH).replace('student:steps', f'student:{PATH}'))
    check_values({'name': 'small', 'report': {section: {'it': better}}}, RUNS)


VALID = PATH.replace('test', 'valid')


@pytest.mark.parametrize(
    ('claim', 'message'),
    [
        (
            dict(kind='difference', value=f'student:{PATH}', low='baseline:last.test.student.accuracy'),
            f"claim 'it' compares 'student:{PATH}' with 'baseline:last.test.student.accuracy'; give one metric.",
        ),
        (
            dict(kind='share', value=f'student:{PATH}', low=f'baseline:{VALID}', high=f'teacher:{PATH}'),
            'give as many examples of one split.',
        ),
        (dict(kind='ratio', value=f'student:{PATH}', high=f'small:{PATH}'), f"with 'small:{PATH}'; give as many"),
        (
            dict(kind='number', value='student:last.test.student.accuracy', paper=88.5),
            "claim 'it', 'paper' must be a fraction: 0.885, not 88.5.",
        ),
        (
            dict(kind='number', value='student:last.test.student.accuracy', rule=dict(at_least=85)),
            "claim 'it', 'at_least' must be a fraction: 0.85, not 85",
        ),
        (
            dict(kind='share', value=f'student:{PATH}', low=f'baseline:{PATH}', high=f'teacher:{PATH}', paper=80),
            "claim 'it', 'paper' must be a fraction: 0.8, not 80.",
        ),
    ],
)
def test_a_claim_compares_one_metric_on_the_same_examples_and_fractions_with_fractions(claim, message):
    runs = RUNS | {'small': {**RUN, 'examples': {**SPLITS, 'test': 10}}}
    with pytest.raises(UserError) as caught:
        check_values({'name': 'small', 'report': {'claims': {'it': claim}}}, runs)
    assert message in str(caught.value)


def test_counts_and_ratios_may_be_larger_than_one():
    claims = {
        'fewer': dict(
            kind='difference', value=f'student:{PATH}', low=f'baseline:{PATH}', paper=-72, rule=dict(below=-5)
        ),
        'faster': dict(kind='ratio', value='student:seconds', high='baseline:seconds', paper=16.0),
        'kept': dict(kind='share', value=f'student:{PATH}', low=f'baseline:{PATH}', high=f'teacher:{PATH}', paper=1.05),
    }
    check_values({'name': 'small', 'report': {'claims': claims}}, RUNS)
