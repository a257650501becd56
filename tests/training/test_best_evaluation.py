"""Tests of the best checkpoint: it is that of the best evaluation on validation, and survives stops and kills."""

import os
import signal
from types import SimpleNamespace

import pytest
from orbax.checkpoint import v1 as ocp

from kd_jax.config.errors import UserError
from kd_jax.evaluation.evaluations import parse_evaluation
from kd_jax.training.best_evaluation import best_row, patience_ended
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.stop_signals import Preempted
from tests.train_one import silent, train_run
from tests.training.forgetful_run import prepare_forgetful

pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')


def saved_best(directory):
    with ocp.training.Checkpointer((directory / 'best').absolute()) as checkpointer:
        newest = max(checkpoint.step for checkpoint in checkpointer.checkpoints)
        return newest, checkpointer.load_checkpointables(newest)['state']


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp('whole')
    return directory, train_run(prepare_forgetful(), directory, {}, silent)


@pytest.fixture
def assert_same_best(whole, assert_bitwise):
    def compare(directory, result):
        assert result['best'] == whole[1]['best']
        (step, got), (wanted_step, wanted) = saved_best(directory), saved_best(whole[0])
        assert step == wanted_step == result['best']['step']
        assert_bitwise(got, wanted)

    return compare


def test_a_network_that_starts_from_the_best_checkpoint_evaluates_as_the_best_row_says(whole, tmp_path):
    directory, result = whole
    assert 0 < result['best']['step'] < result['last']['step'] == 24
    for at, wanted in (('@best', result['best']), ('', result['last'])):
        for init in (f'run:teacher{at}', f'{directory}{at}'):
            frozen = {'model': 'mlp', 'hidden': (16,), 'update': 'frozen', 'init': init}
            again = prepare_forgetful(
                epochs=0, networks={'teacher': frozen}, terms={}, evaluate={'teacher': {'logits': 'teacher.logits'}}
            )
            measured = train_run(again, tmp_path / at, {'teacher': directory}, silent)['last']
            assert measured['valid'] == wanted['valid']
            assert measured['test'] == wanted['test']


def test_variables_alone_are_kept(whole):
    _, saved = saved_best(whole[0])
    assert set(saved) == {'params', 'collections'}
    assert len(list((whole[0] / 'best').iterdir())) <= 2


def test_a_stop_saves_a_best_evaluation_that_was_not_saved_yet(assert_same_best, tmp_path, whole):
    def ask_to_stop(done, *_):
        if done == 18:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted, match='stopped at step 18'):
        train_run(prepare_forgetful(checkpoint_seconds=1e9), tmp_path, {}, ask_to_stop)
    assert whole[1]['best']['step'] < 18
    assert saved_best(tmp_path)[0] == whole[1]['best']['step']
    assert_same_best(tmp_path, train_run(prepare_forgetful(), tmp_path, {}, silent))


def test_a_kill_between_the_best_and_the_last_checkpoint_changes_nothing(
    assert_same_best, tmp_path, whole, monkeypatch
):
    save, killed_at = Checkpoints.save, whole[1]['best']['step']

    def killed(checkpoints, state, position):
        if int(state.step) == killed_at:
            raise MemoryError
        save(checkpoints, state, position)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, 'save', killed)
        with pytest.raises(MemoryError):
            train_run(prepare_forgetful(), tmp_path, {}, silent)
    assert saved_best(tmp_path)[0] == killed_at
    seen = []

    def look(done, *_):
        seen.append([int(path.name) for path in (tmp_path / 'best').iterdir() if path.is_dir()])

    result = train_run(prepare_forgetful(), tmp_path, {}, look)
    assert killed_at not in seen[0]  # the state is older, so this best is dropped until it is reached again
    assert_same_best(tmp_path, result)


def test_without_a_validation_split_there_is_no_best_checkpoint(tmp_path):
    data = {'source': 'mnist', 'examples': 50, 'valid': 0}
    prepared = prepare_forgetful(data=data, epochs=0.5)
    assert not prepared.validates
    assert train_run(prepared, tmp_path, {}, silent)['best'] is None
    assert not (tmp_path / 'best').exists()
    frozen = {'model': 'mlp', 'hidden': (16,), 'update': 'frozen', 'init': f'{tmp_path}@best'}
    reader = prepare_forgetful(networks={'teacher': frozen}, terms={}, epochs=0)
    with pytest.raises(UserError, match='holds no best checkpoint, because the run was not evaluated on validation'):
        train_run(reader, tmp_path / 'reader', {}, silent)


def prepared_with(**evaluate):
    measured = {name: parse_evaluation(name, config, 'here') for name, config in evaluate.items()}
    return SimpleNamespace(evaluator=SimpleNamespace(measured=measured))


def history_of(metric, *values):
    rows = [{'step': step, 'epoch': float(step), 'valid': {'main': {metric: v}}} for step, v in enumerate(values, 1)]
    return [{**row, 'test': {'main': {metric: 0}}, 'seconds': 1.0} for row in rows]


NUMBERS = {'metrics': 'regression', 'prediction': 'student.logits', 'target': 'batch.target'}


@pytest.mark.parametrize(
    ('config', 'metric', 'values', 'best'),
    [
        ({'logits': 'student.logits'}, 'errors', (3, 1, 2, 1), 2),  # the earlier of two equals
        ({'logits': 'student.logits', 'best': 'accuracy'}, 'accuracy', (0.5, 0.9, 0.9), 2),
        (NUMBERS, 'mse', (0.5, 0.9, 0.4), 3),
        ({**NUMBERS, 'best': 'r2'}, 'r2', (0.5, 0.9, 0.4), 2),
        (NUMBERS, 'mse', (None, float('nan'), 7.0), 3),
    ],
)
def test_the_best_evaluation_is_chosen_by_the_named_metric_in_its_direction(config, metric, values, best):
    row = best_row(prepared_with(main=config, other={'logits': 'other.logits'}), history_of(metric, *values))
    assert row['step'] == best
    assert row.keys() == {'step', 'epoch', 'valid', 'test'}


def test_without_a_validation_split_or_an_evaluation_there_is_no_best():
    history = history_of('errors', 1, 2)
    assert best_row(prepared_with(), history) is None
    assert best_row(prepared_with(main={'logits': 'student.logits'}), []) is None
    without = [{key: row[key] for key in ('step', 'epoch', 'test')} for row in history]
    assert best_row(prepared_with(main={'logits': 'student.logits'}), without) is None


def test_without_a_test_split_there_is_still_a_best():
    history = [{'step': 1, 'epoch': 1.0, 'valid': {'main': {'errors': 2}}}]
    assert best_row(prepared_with(main={'logits': 'student.logits'}), history) == history[0]


def test_patience_counts_the_evaluations_after_the_best():
    prepared = prepared_with(main={'logits': 'student.logits'})
    prepared.config = {'patience': 2}
    reasons = [patience_ended(prepared, history_of('errors', *(5, 3, 4, 3, 2)[:count])) for count in range(1, 6)]
    assert reasons == ['', '', '', "no better errors of 'main' on validation in 2 evaluations since step 2", '']
    prepared.config = {}
    assert patience_ended(prepared, history_of('errors', 1, *[2] * 50)) == ''
