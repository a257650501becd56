"""Tests of early stopping by patience: alone, in groups, and after a stop."""

import os
import signal

import jax
import pytest

from kd_jax.config.errors import UserError
from kd_jax.training.active_run import RunToTrain
from kd_jax.training.loop import train_group
from kd_jax.training.stop_signals import Preempted
from tests.finished_runs import final_state, without_seconds
from tests.training.forgetful_run import RATE, prepare_forgetful

pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
JUMP = {**RATE, 'at': (0.4,)}
STEADY = {**JUMP, 'factor': 1.0}


@pytest.fixture(autouse=True, scope='module')
def compiled_once(tmp_path_factory):
    cache = str(tmp_path_factory.getbasetemp() / '.cache' / 'kd_jax' / 'xla')
    settings = {'jax_compilation_cache_dir': cache, 'jax_persistent_cache_min_compile_time_secs': 0.0}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def train(directory, grouping='map', rates=(JUMP, STEADY), progress=lambda *_: None):
    """Trains two runs of 42 steps, evaluated every 6; the learning rate of the first jumps after step 16."""
    options = {'epochs': 3.5, 'patience': 2, 'evaluate': {'net': {'logits': 'teacher.logits', 'best': 'nll'}}}
    runs = [
        RunToTrain(prepare_forgetful(**options, optimizer={'name': 'sgd', 'learning_rate': rate}), path, {})
        for rate, path in zip(rates, (directory / 'jump', directory / 'steady'), strict=False)
    ]
    return train_group(runs, progress, grouping, caches=directory / 'caches')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Directories and results of the group by 'map' and by 'vmap'."""
    made = {grouping: tmp_path_factory.mktemp(grouping) for grouping in ('map', 'vmap')}
    return {grouping: (directory, train(directory, grouping)) for grouping, directory in made.items()}


def assert_same(got, wanted, assert_bitwise, names=('jump', 'steady')):
    (directory, results), (other, expected) = got, wanted
    for name, result, own in zip(names, results, expected, strict=False):
        assert_bitwise(final_state(directory / name), final_state(other / name))
        assert without_seconds(result['history']) == without_seconds(own['history'])
        for key in ('last', 'best', 'stopped', 'steps'):
            assert result[key] == own[key]


def test_each_evaluation_has_the_learning_rate_of_its_last_step(whole):
    for jump, steady in (results for _, results in whole.values()):
        # the rate of 'jump' rises 400-fold at progress 0.4 of 42 steps; step 12 begins at 11/42, and step 18 at 17/42
        for result, late in ((jump, 20.0), (steady, 0.05)):
            rates = {row['step']: row['numbers']['optimizers']['teacher']['learning_rate'] for row in result['history']}
            assert rates == {step: pytest.approx(0.05 if step < 18 else late) for step in rates}
            assert {6, 12, 18} <= rates.keys()


def test_a_run_without_a_better_evaluation_stops_and_says_where_and_why(whole):
    jump, steady = whole['map'][1]
    best, row = jump['best']['step'], jump['history'][-1]
    assert jump['stopped'] == {
        'step': best + 12,
        'epoch': (best + 12) / 12,
        'reason': f"no better nll of 'net' on validation in 2 evaluations since step {best}",
    }
    assert row['step'] == jump['steps'] == jump['last']['step'] == best + 12 < 42
    assert [jump['last'][split] for split in ('valid', 'test')] == [row['valid'], row['test']]
    assert jump['last']['train']['net']['count'] == 300
    assert int(final_state(whole['map'][0] / 'jump')['step']) == best + 12
    assert steady['stopped'] is None
    assert steady['steps'] == 42


def test_in_a_group_a_run_stops_where_it_stops_alone_and_the_others_go_on(whole, tmp_path, assert_bitwise):
    alone = train(tmp_path, rates=(JUMP,))
    assert_same((tmp_path, alone), whole['map'], assert_bitwise, ('jump',))
    assert [len(result['grouped']) for result in whole['map'][1]] == [1, 1]


@pytest.mark.parametrize('grouping', ['map', 'vmap'])
def test_a_group_that_was_stopped_after_a_run_of_it_had_ended_ends_the_same(grouping, whole, tmp_path, assert_bitwise):
    stopped_at = whole[grouping][1][0]['steps']
    assert stopped_at + 6 < 42

    def ask_to_stop(done, *_):
        if done == stopped_at + 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted, match=f"run 'teacher' stopped at step {stopped_at + 6} of 42"):
        train(tmp_path, grouping, progress=ask_to_stop)
    seen = []
    results = train(tmp_path, grouping, progress=lambda done, *_: seen.append(done))
    assert seen[0] == stopped_at + 6
    assert_same((tmp_path, results), whole[grouping], assert_bitwise)
    assert [result['grouped'] for result in results] == [result['grouped'] for result in whole[grouping][1]]


def test_a_run_that_was_killed_after_its_early_stop_is_only_measured(whole, assert_bitwise):
    directory = whole['map'][0]
    seen = []
    results = train(directory, rates=(JUMP,), progress=lambda done, *_: seen.append(done))
    assert seen == []
    assert_same((directory, results), whole['map'], assert_bitwise, ('jump',))


def test_patience_without_a_validation_split_is_refused():
    with pytest.raises(UserError) as error:
        prepare_forgetful(patience=3, data={'source': 'mnist', 'examples': 50, 'valid': 0})
    assert str(error.value) == (
        "run 'teacher': patience=3 stops a run that no longer gets better on validation, but the run is not evaluated "
        'on validation: set data.valid.'
    )
    with pytest.raises(UserError, match='patience is 0, but it must be a whole number, 1 or more'):
        prepare_forgetful(patience=0)
