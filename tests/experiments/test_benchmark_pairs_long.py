"""The stages of the long comparison of methods: what each trains, and that results, not people, choose."""

import pytest

from configs import benchmark_pairs as pairs
from configs import benchmark_pairs_long as stages
from configs.methods.choice import by_mean_rank, ranks, with_every_family
from kd_jax import report
from kd_jax.config.errors import UserError
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks({'a': 0.3, 'b': 0.9, 'c': 0.5, 'd': 0.5}) == {'a': 4.0, 'b': 1.0, 'c': 2.5, 'd': 2.5}


def test_methods_are_ordered_by_their_mean_rank_and_not_by_their_mean_value():
    few = {'a': 0.9, 'b': 0.5, 'c': 0.4, 'only_here': 1.0}
    many = {'a': 0.1, 'b': 0.3, 'c': 0.2}
    # Ranks of a: 1 and 3; of b: 2 and 1; of c: 3 and 2. Mean values of a and b: 0.5 and 0.4.
    assert by_mean_rank([few, many]) == ['b', 'a', 'c']


def test_each_family_that_is_left_over_gets_its_best_method_and_the_next_best_fill_up():
    ordered = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    families = {'a': 'x', 'b': 'x', 'c': 'x', 'd': 'x', 'e': 'y', 'f': 'y', 'g': 'z'}
    # The two best, then the best of y and of z, then the next best until there are seven.
    assert with_every_family(ordered, families, ['labels', 'b'], 2, 7) == ['labels', 'b', 'a', 'e', 'g', 'c', 'd']
    assert with_every_family(ordered, families, ['labels'], 2, 3) == ['labels', 'a', 'b', 'e', 'g']


def results_with(accuracies):
    return {run: {0: {'last': {'valid': {'student': {'accuracy': a}}}}} for run, a in accuracies.items()}


def accuracies():
    """Validation accuracies by which SimKD is best, then ReviewKD, and so on; all others are worse."""
    best = ['simkd', 'reviewkd', 'fsp', 'kd', 'deep_mutual_learning', 'dkd', 'mgd', 'crd_in_batch', 'ickd', 'rkd']
    others = [run for run in ('baseline', *map(pairs.key, pairs.measured_here())) if run not in best]
    return {run: 0.9 - 0.01 * rank for rank, run in enumerate([*best, *others])}


@pytest.fixture
def finished(monkeypatch):
    """The stages before: results of `every` and `tuned`, and of `trials`, in which the last trial is always best."""
    found = {'every': results_with(accuracies()), 'tuned': results_with(accuracies())}
    monkeypatch.setattr(stages, 'results_of', lambda stage, size: found[stage])
    found['trials'] = results_with(
        {
            stages.trial_name(run, *trial): 0.9 + 0.01 * number
            for run in stages.chosen_methods()
            for number, trial in enumerate(stages.trials_of(run)[1:])
        }
    )
    return found


def test_sixteen_methods_are_chosen_the_ten_best_among_them_and_one_of_each_family(finished):
    chosen = stages.chosen_methods()
    assert len(chosen) == len(set(chosen)) == 16
    assert chosen[:2] == ['baseline', 'kd']
    assert set(list(accuracies())[:10]) <= set(chosen)
    families = {stages.family_of(run) for run in chosen}
    assert families == {'labels', 'response', 'feature', 'relation', 'online', 'self', 'offline'}


def test_a_method_is_trained_with_the_trial_that_was_best_on_validation(finished):
    assert stages.best_trial('mgd', 1000) == (0.007, 3.0)
    assert stages.best_trial('baseline', 1000) == (0.035, 1.0)
    run = stages.tuned(1000)['mgd']
    assert run['optimizer']['learning_rate']['peak'] == 0.007
    assert run['terms']['mgd']['weight'] == pytest.approx(3 * 0.3)  # the grid chose 0.3 for MGD
    finished['every'] |= results_with({'mgd': 0.99})
    assert stages.best_trial('mgd', 1000) == (0.02, 1.0)


def test_every_method_gets_six_trials_of_which_the_first_is_its_run_of_the_first_stage(finished):
    for run in stages.chosen_methods():
        trials = stages.trials_of(run)
        assert len(set(trials)) == 6
        assert stages.with_setting(run, 1000, *trials[0]) == stages.every(1000)[run]
    assert (
        set(stages.trials(1000))
        == {'teacher'}
        | {  # no chosen method has three teachers
            stages.trial_name(run, *trial) for run in stages.chosen_methods() for trial in stages.trials_of(run)[1:]
        }
    )


def test_three_teachers_are_trained_only_for_methods_that_have_them(finished):
    assert list(stages.every(1000))[:2] == ['teacher', 'teachers']
    assert 'teachers' not in stages.tuned(1000)
    finished['every'] |= results_with({'ensemble': 0.99})
    finished['trials'] |= results_with({stages.trial_name('ensemble', *trial): 0.5 for trial in stages.TRIALS[1:]})
    assert list(stages.tuned(1000))[:2] == ['teacher', 'teachers']


def test_a_stage_says_which_results_it_waits_for(tmp_path, finished):
    del finished['every']['mgd']
    with pytest.raises(UserError, match='results of every_1000, in which mgd has no validation accuracy'):
        stages.get_config('trials_1000')


def test_a_stage_says_which_results_are_missing(tmp_path):
    with pytest.raises(UserError, match='run the variant tuned_1000 first, and copy study'):
        stages.results_of('tuned', 1000, tmp_path)


def test_flat_doubles_the_steps_of_labels_alone_and_of_kd():
    config = stages.get_config('flat_1000').to_dict()
    steps = {name: round(run['epochs'] * (1000 // 64)) for name, run in config['runs'].items() if name != 'teacher'}
    assert steps == {f'{run}_{n}': n for n in (10_000, 20_000, 40_000) for run in ('baseline', 'kd')}
    assert {claim['value'] for claim in stages.get_report('flat_1000')['claims'].values()} == {
        f'{run}_{n}:{stages.VALIDATION}' for n in (20_000, 40_000) for run in ('baseline', 'kd')
    }


@pytest.mark.parametrize('stage', stages.STAGES)
def test_every_stage_has_the_steps_it_promises_and_a_report_of_its_runs(finished, stage):
    variant = f'{stage}_10000'
    config = stages.get_config(variant).to_dict()
    taught = {name: run for name, run in config['runs'].items() if name not in ('teacher', 'teachers')}
    steps = {'flat': {10_000, 20_000, 40_000}, 'tuned': {20_000}, 'wide': {20_000}}.get(stage, {10_000})
    assert {round(run['epochs'] * (10_000 // 64)) for run in taught.values()} == steps
    assert {round(run['eval_every'] * (10_000 // 64)) for run in taught.values()} == {2000}
    report.check_report({'report': stages.get_report(variant)}, set(config['runs']))


def test_methods_learn_from_a_wide_teacher_through_maps_of_the_sizes_of_the_small_teacher(finished):
    config = stages.get_config('wide_1000').to_dict()
    assert list(stages.best_with_teacher(1000))[:3] == ['baseline', 'kd', 'simkd']
    assert 'deep_mutual_learning' not in config['runs']  # it has no teacher
    assert len(config['runs']) == 12  # the teacher, labels alone, and ten methods with KD among them
    config |= {'runs': {name: config['runs'][name] for name in ('teacher', 'baseline', 'simkd', 'reviewkd', 'fsp')}}
    prepared = prepare_study(parse_study(config, 'configs/benchmark_pairs_long.py'))
    wide, small = (prepared['reviewkd'].context[name] for name in ('teacher', 'student'))
    for block in ('block1', 'block2', 'block3'):
        assert wide[block].shape[:3] == small[block].shape[:3]
        assert wide[block].shape[3] == 4 * small[block].shape[3]
    assert prepared['simkd'].cache
    assert prepared['baseline'].cache is None
