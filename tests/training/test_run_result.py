"""Evaluation of runs whose networks have numbers that are schedules, alone and in groups."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kd_jax.analyses.predictions import predicts_again
from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies.run_groups import partition_runs
from kd_jax.training.chunk_program import make_initial_state
from kd_jax.training.run_result import _analyse, measure_run, measure_runs, variables_now

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (12, 2, 2), np.uint8), np.arange(12, dtype=np.int32) % 2


class Scaled(nn.Module):
    """A linear network; its logits are multiplied by an option."""

    scale: float = 1.0

    @nn.compact
    def __call__(self, x, *, train=False):
        return self.scale * nn.Dense(2, name='head')(x.reshape(x.shape[0], -1))


@pytest.fixture(scope='module')
def prepared_runs(tmp_path_factory):
    """Two runs that differ in the schedule of a network's number alone."""
    path = tmp_path_factory.mktemp('data') / 'd.npz'
    np.savez(path, train_image=IMAGES, train_label=LABELS, test_image=IMAGES, test_label=LABELS)

    def prepared(end):
        scale = {'schedule': 'linear', 'start': end / 2, 'end': end}
        config = {
            'data': {'source': 'npz', 'path': str(path), 'num_classes': 2},
            'batch_size': 4,
            'epochs': 2,
            'optimizer': {'learning_rate': 0.1},
            'networks': {'student': {'model': Scaled, 'scale': scale}},
            'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}},
        }
        return prepare_run(config, 0, f'run {end}')

    return [prepared(2.0), prepared(6.0)]


def by_hand(params, scale):
    logits = scale * ((IMAGES.reshape(12, -1) / np.float32(255)) @ params['head']['kernel'] + params['head']['bias'])
    return np.mean(np.log(np.sum(np.exp(logits), axis=-1)) - logits[np.arange(12), LABELS])


def test_runs_that_differ_in_a_networks_number_may_be_one_group(prepared_runs):
    assert partition_runs(prepared_runs, True) == [[0, 1]]


def test_an_evaluation_has_the_number_of_its_step(prepared_runs):
    states = [make_initial_state(prepared, {})[0]._replace(step=np.int32(3)) for prepared in prepared_runs]
    nothing = [{} for _ in states]
    apart = [measure_run(*run, ('test',)) for run in zip(prepared_runs, states, nothing, strict=True)]
    together = measure_runs(prepared_runs, states, nothing, ('test',), 'vmap')
    for state, scale, *measured in zip(states, (1.5, 4.5), apart, together, strict=True):
        wanted = by_hand(jax.device_get(state.params['student']), scale)
        for own in measured:
            np.testing.assert_allclose(own['test']['student']['nll'], wanted, rtol=1e-4)


def test_an_analysis_that_predicts_again_gets_a_function_of_the_number_of_examples(prepared_runs):
    prepared = prepared_runs[0]
    state = make_initial_state(prepared, {})[0]
    # Each logit is one pixel, so that rounding cannot depend on the number of examples.
    pixels = {'head': {'kernel': np.eye(4, 2, dtype=np.float32), 'bias': np.zeros(2, np.float32)}}
    variables = variables_now(prepared, state._replace(params={**state.params, 'student': pixels}), {})
    options = {'logits': 'student.logits', 'splits': ['test']}
    once = _analyse('own', {**options, 'analysis': lambda logits: logits['test'].tolist()}, prepared, variables)
    again = predicts_again(lambda logits: [logits['test'](count).tolist() for count in (3, 99)])
    assert _analyse('own', {**options, 'analysis': again}, prepared, variables) == [once[:3], once]


def test_what_is_predicted_again_leads_with_the_examples_also_where_there_are_copies(prepared_runs):
    networks = {'student': {'model': Scaled, 'copies': 3}}
    prepared = prepare_run({**prepared_runs[0].config, 'networks': networks}, 0, 'copies')
    variables = variables_now(prepared, make_initial_state(prepared, {})[0], {})
    options = {'logits': 'student.logits', 'splits': ['test']}
    once = _analyse('own', {**options, 'analysis': lambda logits: logits['test'].tolist()}, prepared, variables)
    again = predicts_again(lambda logits: logits['test'](5).tolist())
    assert np.shape(once) == (3, 12, 2)
    found = _analyse('own', {**options, 'analysis': again}, prepared, variables)
    np.testing.assert_allclose(found, np.swapaxes(once, 0, 1)[:5], rtol=1e-5)


@pytest.mark.parametrize(
    ('own', 'said'),
    [
        (
            lambda logits: 1 / 0,
            r"run 2.0, analysis 'own' fails: ZeroDivisionError: division by zero \(tests.*line \d+\)",
        ),
        (lambda logits: 1j, r"run 2.0, analysis 'own' returns what a result file cannot hold \(Object of type complex"),
    ],
)
def test_an_analysis_of_the_user_that_fails_is_one_sentence_and_arrays_become_lists(own, said, prepared_runs):
    prepared = prepared_runs[0]
    variables = variables_now(prepared, make_initial_state(prepared, {})[0], {})

    def analysed(function):
        options = {'analysis': function, 'logits': 'student.logits', 'splits': ['test']}
        return _analyse('own', options, prepared, variables)

    assert np.shape(analysed(lambda logits: {'all': logits['test']})['all']) == (12, 2)
    with pytest.raises(UserError, match=said):
        analysed(own)
