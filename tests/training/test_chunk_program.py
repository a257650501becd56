"""Tests of the chunk program: what a run's options make of its steps."""

import re

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.training.chunk_program import make_chunk_program, make_initial_state

HARD = {'hard': {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}}


def prepare(**options):
    config = {
        'data': {'source': 'mnist', 'examples': 48, 'valid': 0, 'augment': {'crop': 1, 'mixup': 0.5}},
        'batch_size': 12,
        'epochs': 1,
        'networks': {'student': {'model': 'mlp', 'hidden': (4,)}},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.target'}},
        'optimizer': {'learning_rate': 0.1, 'momentum': 0.9},
        **options,
    }
    return prepare_run(config, 0, 'the run')


def test_accumulated_steps_are_those_of_whole_batches_and_images_are_mixed_before_the_batch_is_cut():
    ends = []
    for parts in (1, 3):
        prepared = prepare(accumulate=parts)
        state, frozen = make_initial_state(prepared, {})
        resident, order = prepared.splits.arrays['train'], prepared.order.steps(0, 4)
        ends.append(make_chunk_program(prepared)(state, prepared.recipe.hparams, frozen, resident, *order))
    (whole, metrics), (got, measured) = ends
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got.params, whole.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), measured, metrics)


@pytest.mark.parametrize(
    ('accumulate', 'said'),
    [
        (0, 'the run: accumulate is 0, but it must be a whole number, 1 or more.'),
        (2.0, 'the run: accumulate is 2.0, but it must be a whole number'),
        (5, 'the run: batch_size is 12; accumulate=5 cannot cut it into equal parts: use batch_size=15, or an'),
    ],
)
def test_a_number_of_parts_that_cannot_be_is_refused(accumulate, said):
    with pytest.raises(UserError) as error:
        prepare(accumulate=accumulate)
    assert said in str(error.value)


def test_a_run_that_cannot_accumulate_is_refused_when_it_is_prepared():
    relation = {'loss': 'similarity_preserving', 'student': 'student.hidden1', 'target': 'student.logits'}
    with pytest.raises(UserError, match="the run, term 'relation': accumulate=2 cuts each batch into 2 parts, but its"):
        prepare(accumulate=2, terms={'relation': relation})


def test_convolutions_on_cpus_train_in_a_loop_as_they_do_step_by_step():
    student = {'model': 'cnn', 'channels': (3, 4)}
    prepared = prepare(networks={'student': student}, data={'source': 'mnist', 'examples': 48}, terms=HARD)
    assert prepared.convolves_on_cpu
    run_chunk, ends = make_chunk_program(prepared), []
    for chunks in ([(0, 4)], [(step, 1) for step in range(4)]):
        state, frozen = make_initial_state(prepared, {})
        for chunk in chunks:
            xs, views = prepared.order.steps(*chunk)
            state, _ = run_chunk(state, prepared.recipe.hparams, frozen, prepared.splits.arrays['train'], xs, views)
        ends.append(state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *ends)
    lowered = run_chunk.lower(state, prepared.recipe.hparams, frozen, prepared.splits.arrays['train'], xs, views)
    assert set(re.findall(r'dim_numbers = (.*?), window', lowered.as_text())) == {
        '[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]'
    }
