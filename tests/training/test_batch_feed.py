"""What a compiled program reads chunk after chunk: where chunks end, and that streamed data trains like resident data.

Two different programs are compared bit for bit, so they are compiled as users compile.
"""

import dataclasses

import jax
import numpy as np
import pytest

from kd_jax.core.initial_state import init_state
from kd_jax.data import read_ahead
from kd_jax.data.batches import evaluation_view, example_bytes, fetch_batch
from kd_jax.training import batch_feed
from kd_jax.training.batch_feed import CHUNK, CONVOLUTION_WORK, most_steps, next_boundary
from kd_jax.training.chunk_program import make_chunk_program
from kd_jax.training.run_log import read_history
from tests.finished_runs import final_state, without_seconds
from tests.train_one import prepare_one, silent, train_run

# `final_state` does not say what it expects.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')


@pytest.mark.parametrize('eval_steps', [1, 3, 100, 129, 430, 10_000])
@pytest.mark.parametrize('total', [1, 7, 258, 1076])
def test_from_any_boundary_the_rest_are_those_of_the_full_run(total, eval_steps):
    def boundaries(done):
        while done < total:
            done = next_boundary(done, total, eval_steps)
            yield done

    full = list(boundaries(0))
    assert full == sorted(set(full))
    assert full[-1] == total
    assert max(np.diff([0, *full])) <= batch_feed.CHUNK
    assert set(range(eval_steps, total, eval_steps)) <= set(full)
    for number, done in enumerate(full):
        assert list(boundaries(done)) == full[number + 1 :]


@pytest.mark.parametrize(
    ('total', 'eval_steps', 'lengths'),
    [(10_000, 2000, {125}), (900, 900, {100}), (430, 430, {86}), (1000, 400, {100}), (1040, 400, {100, 40}),
     (131, 131, {66, 65}), (300, 10**6, {100}), (6, 2, {2})],
)  # fmt: skip
def test_chunks_are_of_equal_length_where_that_is_possible_whatever_the_length_of_an_epoch(total, eval_steps, lengths):
    ends = [0]
    while ends[-1] < total:
        ends.append(next_boundary(ends[-1], total, eval_steps))
    assert set(np.diff(ends)) == lengths


@pytest.mark.parametrize(('eval_every', 'most'), [(1.0, [12, 6, 1]), (0.75, [9, 9, 1]), (5 / 12, [1, 1, 1])])
def test_chunks_of_convolutions_on_cpus_have_one_length_that_divides_the_steps_between_evaluations(eval_every, most):
    # An epoch has 12 steps.
    works, options = (1, CONVOLUTION_WORK // 10, 2 * CONVOLUTION_WORK), (f'eval_every={eval_every}', 'epochs=3.0')
    for kernel, model in ((False, "{'model': 'mlp'}"), (True, "{'model': 'cnn', 'channels': (3,)}")):
        prepared = prepare_one('teacher', f'networks.teacher={model}', *options)
        got = [most_steps(dataclasses.replace(prepared, convolution_work=work), {}) for work in works]
        assert got == (most if kernel else [CHUNK] * 3)


def test_chunks_of_streamed_convolutions_on_cpus_have_one_length_too(monkeypatch):
    options = (
        "networks.teacher={'model': 'cnn', 'channels': (3,)}",
        'data.resident=False',
        'eval_every=1.0',
        'epochs=2.0',
    )
    prepared = prepare_one('teacher', *options)
    arrays = prepared.splits.arrays['train']
    monkeypatch.setattr(read_ahead, 'AT_ONCE', 5 * example_bytes(arrays) * prepared.order.batch_size)
    assert most_steps(prepared, arrays) == 4  # of 5 that may be sent at once, because an evaluation follows each 12


def test_streamed_data_trains_like_resident_data_bit_for_bit(assert_bitwise):
    prepared = prepare_one()
    batch = fetch_batch(prepared.splits.arrays['train'], np.zeros(25, int))
    positions, epochs = prepared.order.steps(9, 6)  # these steps cross the end of the first epoch
    ends = []
    for resident in (True, False):
        arrays = prepared.splits.arrays['train']
        state, frozen = init_state(prepared.recipe, jax.eval_shape(evaluation_view, batch), 0)
        xs = positions if resident else fetch_batch(arrays, positions)
        held = jax.device_put(arrays) if resident else None
        ends.append(make_chunk_program(prepared)(state, prepared.recipe.hparams, frozen, held, xs, epochs))
    assert_bitwise(ends[1], ends[0])


def test_a_run_on_streamed_data_ends_where_one_on_resident_data_ends(tmp_path, assert_bitwise):
    directories = [tmp_path / 'resident', tmp_path / 'streamed']
    results = [
        train_run(prepare_one('teacher', f'data.resident={resident}'), directory, {}, silent)
        for resident, directory in zip((True, False), directories, strict=True)
    ]
    assert_bitwise(*map(final_state, directories))
    for directory, result in zip(directories, results, strict=True):
        assert without_seconds(result['history']) == without_seconds(results[0]['history'])
        assert without_seconds(read_history(directory / 'metrics.jsonl')) == without_seconds(result['history'])
        assert result['last'] == results[0]['last']
