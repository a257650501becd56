"""Tests of the training loop: a run that was stopped and resumed ends bit for bit like an uninterrupted run."""

import os
import signal

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.initial_state import init_state
from kd_jax.data import read_ahead
from kd_jax.data.batches import evaluation_view, fetch_batch
from kd_jax.prepare.prepared_run import count_parameters, prepare_run
from kd_jax.training import run_result
from kd_jax.training.chunk_program import make_chunk_program
from kd_jax.training.initial_weights import load_initial_weights
from kd_jax.training.run_log import read_history
from kd_jax.training.stop_signals import Preempted
from tests.finished_runs import final_state, without_seconds
from tests.train_one import prepare_one, silent, train_run

pytestmark = [
    # Orbax does not await some coroutines when a part of a checkpoint cannot be read.
    pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning'),
    # `final_state` does not say what it expects.
    pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning'),
]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The directory and the result of an uninterrupted teacher with dropout, random crops and momentum."""
    directory = tmp_path_factory.mktemp('whole')
    return directory, train_run(prepare_one(), directory, {}, silent)


@pytest.fixture
def assert_ends_like_it(whole, assert_bitwise):
    def compare(directory, result):
        assert_bitwise(final_state(directory), final_state(whole[0]))
        assert without_seconds(result['history']) == without_seconds(whole[1]['history'])
        assert without_seconds(read_history(directory / 'metrics.jsonl')) == without_seconds(result['history'])
        assert result['last'] == whole[1]['last']

    return compare


@pytest.mark.parametrize(('number', 'at'), [(signal.SIGTERM, 6), (signal.SIGINT, 18), (signal.SIGTERM, 24)])
def test_a_run_asked_to_stop_saves_and_then_ends_where_an_uninterrupted_one_ends(
    number, at, assert_ends_like_it, tmp_path
):
    def ask_to_stop(done, *_):
        if done == at:
            os.kill(os.getpid(), number)

    with pytest.raises(Preempted, match=f"run 'teacher' stopped at step {at} of 24; run the same command") as stop:
        train_run(prepare_one('teacher', 'checkpoint_seconds=1e9'), tmp_path, {}, ask_to_stop)
    assert stop.value.number == number
    assert signal.getsignal(number) is not None
    assert int(final_state(tmp_path)['step']) == at
    assert_ends_like_it(tmp_path, train_run(prepare_one(), tmp_path, {}, silent))


def test_a_signal_in_the_last_evaluation_is_not_lost(assert_ends_like_it, tmp_path, monkeypatch):
    measure = run_result.measure_run

    def interrupted(prepared, state, *rest):
        if int(state.step) == 24:
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(prepared, state, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(run_result, 'measure_run', interrupted)
        with pytest.raises(Preempted, match='stopped by a signal after the last step; run the same command'):
            train_run(prepare_one(), tmp_path, {}, silent)
    assert int(final_state(tmp_path)['step']) == 24
    assert_ends_like_it(tmp_path, train_run(prepare_one(), tmp_path, {}, silent))


def test_a_run_that_died_after_damage_to_its_newest_checkpoint_still_ends_the_same(
    assert_ends_like_it, tmp_path, caplog
):
    def die(done, *_):
        if done == 24:
            raise MemoryError

    with pytest.raises(MemoryError):
        train_run(prepare_one(), tmp_path, {}, die)
    assert int(final_state(tmp_path)['step']) == 18
    for path in (tmp_path / 'checkpoints' / '18').rglob('*'):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])
    seen = []
    result = train_run(prepare_one(), tmp_path, {}, lambda done, *_: seen.append(done))
    assert seen == [12, 18, 24]  # it continued from step 12
    assert 'goes back to the previous checkpoint' in caplog.text
    assert_ends_like_it(tmp_path, result)


def test_a_run_at_its_end_is_only_measured(whole):
    seen = []
    result = train_run(prepare_one(), whole[0], {}, lambda done, *_: seen.append(done))
    assert seen == [24]
    assert result['last'] == whole[1]['last']
    assert without_seconds(result['history']) == without_seconds(whole[1]['history'])


def test_history_has_a_row_for_every_evaluation_and_the_best_is_chosen_on_validation(whole):
    rows = whole[1]['history']
    assert [(row['step'], row['epoch']) for row in rows] == [(6, 0.5), (12, 1.0), (18, 1.5), (24, 2.0)]
    accuracies = [row['valid']['teacher']['accuracy'] for row in rows]
    assert whole[1]['best']['step'] == rows[int(np.argmax(accuracies))]['step']
    assert whole[1]['last']['test'] == rows[-1]['test']


def of_image_files(directory):
    network = {'model': 'mlp', 'hidden': (4,), 'num_classes': 3}
    config = {
        'data': {
            'source': 'tfds_images', 'name': 'squares', 'data_dir': directory, 'test': 'validation', 'size': 8,
            'resize': 10, 'augment': {'resized_crop': 0.2, 'flip': True, 'mixup': 0.5},
        },
        'batch_size': 5,
        'epochs': 3.0,
        'networks': {'student': network},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.target'}},
        'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
    }  # fmt: skip
    return prepare_run(config, 0, 'run')


def test_a_run_on_image_files_that_was_stopped_ends_where_an_uninterrupted_one_ends(
    image_files, tmp_path, monkeypatch, assert_bitwise
):
    monkeypatch.setattr(read_ahead, 'AT_ONCE', 5 * (8 * 8 * 3 + 8) * 3)  # three steps
    seen = []
    whole = train_run(of_image_files(image_files), tmp_path / 'whole', {}, lambda done, *_: seen.append(done))
    assert seen == [0, 2, 4, 6, 8, 10, 12]  # four steps per epoch, in chunks of equal size
    assert whole['last']['test']['student']['count'] == 7

    def ask_to_stop(done, *_):
        if done == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted):
        train_run(of_image_files(image_files), tmp_path / 'stopped', {}, ask_to_stop)
    result = train_run(of_image_files(image_files), tmp_path / 'stopped', {}, silent)
    assert_bitwise(final_state(tmp_path / 'stopped'), final_state(tmp_path / 'whole'))
    assert without_seconds(result['history']) == without_seconds(whole['history'])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    rate = {'schedule': 'steps', 'start': 0.01, 'at': (0.3,), 'factor': 1e38}
    blow_up = f'optimizer={ {"name": "sgd", "learning_rate": rate} }'
    with pytest.raises(UserError) as error:
        train_run(prepare_one('teacher', blow_up), tmp_path, {}, silent)
    sentence = str(error.value)
    # The learning rate jumps after 30% of 24 steps: the ninth step makes weights so large that the tenth overflows.
    assert sentence.startswith("run 'teacher': term 'hard' became non-finite at step ")
    assert 9 <= int(sentence.split('at step ')[1].split()[0]) <= 11
    assert 'lower the learning rate' in sentence
    assert sentence.endswith('The last good checkpoint, step 6, is kept.')
    assert int(final_state(tmp_path)['step']) == 6
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(final_state(tmp_path)['params']))


@pytest.fixture(scope='module')
def student(whole, tmp_path_factory):
    """A student of `whole`: the prepared run, and the loaded weights of its frozen networks."""
    prepared = prepare_one('student')
    return prepared, load_initial_weights(prepared, {'teacher': whole[0]})


def test_a_teacher_is_what_was_saved_bit_for_bit_and_training_leaves_it_alone(whole, student, tmp_path, assert_bitwise):
    prepared, loaded = student
    saved = final_state(whole[0])['params']['teacher']
    assert_bitwise(loaded['teacher'], {'params': saved})
    batch = fetch_batch(prepared.splits.arrays['train'], np.zeros(25, int))
    state, frozen = init_state(prepared.recipe, jax.eval_shape(evaluation_view, batch), 0, loaded)
    before = jax.device_get(state.params)
    positions, epochs = prepared.order.steps(0, 6)
    resident = jax.device_put(prepared.splits.arrays['train'])
    state, _ = make_chunk_program(prepared)(state, prepared.recipe.hparams, frozen, resident, positions, epochs)
    assert set(state.params) == {'student'}
    assert not np.array_equal(before['student']['head']['kernel'], state.params['student']['head']['kernel'])
    assert_bitwise(frozen['teacher'], {'params': saved})


def test_fresh_modules_start_at_random_and_the_rest_from_the_checkpoint(whole):
    options = ("networks.teacher.fresh=('head',)", 'networks.teacher.update=sgd', 'epochs=0')
    prepared = prepare_one('student', *options)
    loaded = load_initial_weights(prepared, {'teacher': whole[0]})
    assert set(loaded['teacher']['params']) == {'dense1'}


def test_no_epochs_and_only_frozen_networks_make_an_analysis(whole, tmp_path):
    config = {
        'data': {'source': 'mnist', 'examples': 300, 'valid': 100},
        'networks': {'teacher': {'model': 'mlp', 'hidden': (16,), 'update': 'frozen', 'init': 'run:teacher'}},
        'epochs': 0,
        'analyses': {'bias': {
            'analysis': 'class_bias', 'logits': 'teacher.logits', 'labels': 'batch.label', 'classes': (3,),
        }},
    }  # fmt: skip
    evaluate = {'evaluate': {'teacher': {'logits': 'teacher.logits'}}}
    for options in (config, config | evaluate):
        prepared = prepare_run(options, 0, "run 'combined'")
        result = train_run(prepared, tmp_path, {'teacher': whole[0]}, silent)
        assert result['steps'] == result['seconds'] == 0
        assert result['best'] is None
        assert result['analyses']['bias']
    assert result['last']['test'] == whole[1]['last']['test']


def test_parameters_counts_weights_and_biases_of_every_copy():
    prepared = prepare_one('teacher', 'networks.teacher.copies=3')
    assert count_parameters(prepared, prepared.recipe.network('teacher')) == 3 * (784 * 16 + 16 + 16 * 10 + 10)
