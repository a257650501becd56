import json

import pytest

from kd_jax.config.errors import UserError
from kd_jax.report import result_files
from kd_jax.report.result_files import (
    Measure,
    load_results,
    matching_runs,
    measure_over_seeds,
    value_at_path,
    why_missing,
)


def test_mean_and_sample_deviation_of_three_seeds():
    measure = Measure({0: 10.0, 1: 12.0, 2: 14.0})  # deviations -2, 0, 2: sqrt((4 + 0 + 4) / (3 - 1)) = 2
    assert (measure.n, measure.mean, measure.sd) == (3, 12.0, 2.0)


def test_a_single_seed_has_no_deviation():
    assert Measure({7: 3.0}).sd is None


def test_a_value_path_goes_through_keys_and_list_indices():
    tree = {'config': {'hidden': [800, 30]}}
    assert value_at_path(tree, 'config.hidden.1') == 30


def test_a_null_on_the_way_is_none_and_an_absent_key_is_an_error():
    assert value_at_path({'best': None}, 'best.test.student.errors') is None
    with pytest.raises(KeyError):
        value_at_path({'last': {}}, 'last.test')
    with pytest.raises(KeyError):
        value_at_path({'hidden': [1]}, 'hidden.1')


@pytest.mark.parametrize('value', [None, 'three', True, float('nan'), float('inf'), [1]])
def test_what_is_not_a_finite_number_counts_as_none(value):
    assert result_files.number({'x': value}, 'x') is None


def test_seeds_without_the_number_are_not_counted():
    results = {'a': {0: {'x': 1.0}, 1: {'x': None}, 2: {}}}
    assert measure_over_seeds(results, 'a', 'x') == Measure({0: 1.0})
    assert measure_over_seeds(results, 'a', 'y') is None
    assert measure_over_seeds(results, 'b', 'x') is None


def test_a_wrong_path_is_told_the_nearest_one():
    results = {'a': {0: {'last': {'test': {'student': {'errors': 3}}}}}}
    message = why_missing(results, 'a', 'last.test.studnet.errors')
    assert 'a recorded no last.test.studnet.errors' in message
    assert 'last.test.student.errors' in message


def test_runs_are_chosen_by_globs_once_each_in_the_order_of_the_globs():
    results = {name: {} for name in ('w2', 'w1', 'other')}
    assert matching_runs(results, ['o*', 'w*', 'w1']) == ['other', 'w2', 'w1']


def test_results_are_read_by_run_and_seed(study_dir):
    study, results, left_aside = load_results(study_dir)
    assert left_aside == []
    assert study['name'] == 'small'
    assert list(results) == ['baseline', 'student', 'teacher']
    assert all(list(seeds) == [0, 1, 2] for seeds in results.values())
    assert results['student'][2]['last']['test']['student']['errors'] == 8


def _break(study_dir, change):
    path = study_dir / 'results' / 'student-s0.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_directory_without_a_study_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'no study\.json'):
        load_results(tmp_path)


def test_a_damaged_file_is_named(study_dir):
    (study_dir / 'results' / 'student-s0.json').write_text('{"run": ')
    with pytest.raises(UserError, match=r'student-s0\.json is damaged'):
        load_results(study_dir)


def test_a_file_of_another_study_is_refused(study_dir):
    _break(study_dir, lambda content: content.update(study='other'))
    with pytest.raises(UserError, match="belongs to study 'other', not to 'small'"):
        load_results(study_dir)


def test_a_file_without_a_seed_is_refused(study_dir):
    _break(study_dir, lambda content: content.pop('seed'))
    with pytest.raises(UserError, match=r'student-s0\.json is damaged: object missing required field seed'):
        load_results(study_dir)


def test_two_files_for_one_run_and_seed_are_refused(study_dir):
    _break(study_dir, lambda content: content.update(seed=1))
    with pytest.raises(UserError, match="repeats run 'student', seed 1"):
        load_results(study_dir)


def test_the_interval_of_a_mean_is_students_t():
    # the 97.5% quantile of t is 12.7062 for 1 degree of freedom and 4.3027 for 2
    assert Measure({0: 1.0, 1: 3.0}).interval == pytest.approx((2 - 12.7062, 2 + 12.7062), rel=1e-4)
    assert Measure({0: 1.0, 1: 2.0, 2: 3.0}).interval == pytest.approx(
        (2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), rel=1e-4
    )
    assert Measure({0: 1.0}).interval is None


def test_equal_seeds_say_nothing_about_how_much_seeds_differ():
    same, one, near = Measure({0: 1.0, 1: 1.0}), Measure({0: 1.0}), Measure({0: 1.0, 1: 1.001})
    assert (same.interval, same.is_constant, same.sd) == (None, True, 0)
    assert (one.is_constant, near.is_constant) == (False, False)
    assert Measure({0: 0.0, 1: 0.0}).is_constant
    rounded = Measure({0: 0.3 - 0.2, 1: 0.2 - 0.1})  # one tenth each, which differ in the last bits
    assert rounded.by_seed[0] != rounded.by_seed[1]
    assert (rounded.interval, rounded.is_constant) == (None, True)
