import pytest

from kd_jax.report.stated_units import is_set, stated_at, stated_in, with_stated_units

MSE, R2 = {'unit': 'number', 'better': 'lower'}, {'unit': 'number', 'better': 'higher'}
RESULT = {
    'metrics': {'depth': {'mse': MSE, 'rate of errors': R2}},
    'analysis_units': {'bias': {'accuracy': 'count', 'offset': 'nats'}},
}


@pytest.mark.parametrize(
    ('path', 'stated'),
    [
        ('last.test.depth.mse', MSE),
        ('best.valid.depth.mse', MSE),
        ('best.train.depth.mse', None),  # the best evaluation keeps no training numbers
        ('valid.depth.mse', MSE),  # in a row of the history
        ('history.3.valid.depth.mse', MSE),
        ('history.3.valid.depth.mae', None),
        ('last.test.depth.rate of errors', R2),  # the words of a name say nothing
        ('last.test.depth.accuracy', None),
        ('last.test.student.mse', None),
        ('last.step', {'unit': 'count'}),
        ('analyses.bias.before.accuracy', {'unit': 'count'}),
        ('analyses.bias.offset.0', {'unit': 'nats'}),
        ('analyses.bias.before.slope', {'unit': 'number'}),
        ('analyses.other.accuracy', None),
        ('seconds', {'unit': 'seconds'}),
        ('parameters.student', {'unit': 'count'}),
        ('config.data.error_rate', {'unit': 'number'}),
    ],
)
def test_the_unit_is_what_the_result_states(path, stated):
    assert stated_at(RESULT, path) == stated


def test_the_first_run_that_states_a_unit_is_asked():
    results = {'a': {0: RESULT}, 'b': {}}
    assert stated_in(results, ('b', 'last.test.depth.mse'), ('a', 'last.test.depth.mse')) == MSE
    assert stated_in(results, ('b', 'last.test.depth.mse')) == {'unit': 'number'}


def test_a_result_that_states_nothing_is_one_of_a_classifier():
    metrics = {'student': {'count': 9, 'errors': 3, 'accuracy': 0.9}}
    read = with_stated_units({'last': {'step': 7, 'test': metrics}, 'analyses': {'bias': {}}})
    assert read['best_by'] == {'student': 'errors'}
    assert list(read['metrics']['student']) == ['count', 'errors', 'accuracy']
    assert stated_at(read, 'last.test.student.accuracy') == {'unit': 'fraction', 'better': 'higher'}
    assert stated_at(read, 'analyses.bias.tuned.offset') == {'unit': 'nats'}


def test_a_result_that_states_its_units_is_left_alone():
    assert with_stated_units(RESULT) is RESULT


def test_no_seed_changes_what_the_config_sets():
    assert all(map(is_set, ('config.terms.soft.t', 'parameters.student', 'examples.train', 'steps')))
    assert not any(map(is_set, ('last.test.student.errors', 'seconds', 'analyses.bias.errors', 'best.step')))
