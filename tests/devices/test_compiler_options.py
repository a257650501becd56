"""Which options of the compiler a program gets, and that every program of a run is compiled with them."""

import contextlib
import dataclasses

import jax
import numpy as np

from kd_jax.core.paths import Path
from kd_jax.devices import compiler_options as rule
from kd_jax.devices.compiler_options import (
    CONVOLUTIONS_ON_CPU,
    LAYERS_IN_BFLOAT16_ON_CPU,
    LAYERS_ON_CPU,
    compiler_options,
    is_known,
)
from kd_jax.evaluation.evaluator import Evaluator
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.training.chunk_program import make_chunk_program, make_initial_state

CNN, MLP = {'model': 'cnn', 'channels': (3,)}, {'model': 'mlp', 'hidden': (4,)}
UNKNOWN = {'xla_cpu_no_such_option': '1'}


def prepare(student, teacher=MLP, **options):
    config = {
        'data': {'source': 'mnist', 'examples': 48, 'views': 1},
        'batch_size': 12,
        'epochs': 1,
        'networks': {'student': student, 'teacher': {**teacher, 'update': 'frozen', 'init': 'run:teacher'}},
        'terms': {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits'}},
        'optimizer': {'learning_rate': 0.1},
        **options,
    }
    return prepare_run(config, 0, 'the run')


def test_convolutions_on_cpus_get_the_option_and_nothing_else_does():
    assert compiler_options('cpu', convolves=True) == dict([CONVOLUTIONS_ON_CPU])
    assert compiler_options('cpu', convolves=False) == {}
    assert compiler_options('gpu', convolves=True) == compiler_options('tpu', convolves=True) == {}


def test_loops_over_layers_on_cpus_get_an_option_of_their_own_unless_something_convolves():
    assert compiler_options('cpu', convolves=False, loops_over_layers=True) == dict([LAYERS_ON_CPU])
    assert compiler_options('cpu', convolves=True, loops_over_layers=True) == dict([CONVOLUTIONS_ON_CPU])
    assert compiler_options('tpu', convolves=False, loops_over_layers=True) == {}
    assert compiler_options('cpu', False, True, 'bfloat16') == dict([LAYERS_IN_BFLOAT16_ON_CPU])
    assert compiler_options('cpu', True, True, 'bfloat16') == dict([CONVOLUTIONS_ON_CPU])
    assert compiler_options('cpu', False, False, 'bfloat16') == {}
    assert is_known(*LAYERS_IN_BFLOAT16_ON_CPU)
    assert is_known(*LAYERS_ON_CPU)


def test_an_option_or_a_value_that_this_jax_does_not_know_is_left_out(monkeypatch):
    name, value = CONVOLUTIONS_ON_CPU
    assert is_known(name, value)
    for unknown in (('xla_cpu_no_such_option', value), (name, 'LIBRARY_FUSION_TYPE_NO_SUCH_TYPE')):
        assert not is_known(*unknown)
        monkeypatch.setattr(rule, 'CONVOLUTIONS_ON_CPU', unknown)
        assert compiler_options('cpu', convolves=True) == {}


def test_a_run_has_the_options_of_convolutions_if_any_of_its_networks_has_one():
    given = [prepare(*networks).compiler_options for networks in ((CNN, MLP), (MLP, CNN), (MLP, MLP))]
    assert given == [dict([CONVOLUTIONS_ON_CPU]), dict([CONVOLUTIONS_ON_CPU]), {}]


def test_training_evaluation_and_recording_are_compiled_with_the_options_of_the_run():
    prepared = prepare(MLP, MLP, cache=True)
    state, frozen = make_initial_state(prepared, {})
    train, run = prepared.splits.arrays['train'], dataclasses.replace(prepared, compiler_options=UNKNOWN)
    evaluator = Evaluator(prepared.recipe, {}, compiler_options=UNKNOWN)
    variables = {'student': {'params': state.params['student']}, **frozen}
    stacked = jax.tree.map(lambda a: a[None], variables['student'])
    assert prepared.cache is not None
    recording = dataclasses.replace(prepared.cache.what, compiler_options=UNKNOWN)
    programs = {
        'chunk': lambda: make_chunk_program(run)(
            state, prepared.recipe.hparams, frozen, train, *prepared.order.steps(0, 1)
        ),
        'measure': lambda: evaluator.measure(variables, train),
        'measure_runs': lambda: evaluator.measure_runs(
            {'student': stacked, 'teacher': frozen['teacher']}, train, 1, frozenset(['teacher'])
        ),
        'predict': lambda: evaluator.predict(variables, train, (Path('student', 'logits'),)),
        'record': lambda: next(recording.run(frozen, state.key, 0, [np.arange(12)])),
    }
    refused = {}
    for name, program in programs.items():
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            refused[name] = 'yes'
            program()
            refused[name] = 'no'
    assert refused == dict.fromkeys(programs, 'yes')


def test_a_step_with_convolutions_gives_the_same_bits_on_every_try():
    prepared = prepare({'model': 'cnn', 'channels': (16, 32)}, CNN)
    run_chunk, ends = make_chunk_program(prepared), []
    for _ in range(5):
        state, frozen = make_initial_state(prepared, {})
        xs = prepared.order.steps(0, 1)
        ends.append(run_chunk(state, prepared.recipe.hparams, frozen, prepared.splits.arrays['train'], *xs)[0].params)
    for end in ends[1:]:
        jax.tree.map(np.testing.assert_array_equal, end, ends[0])
