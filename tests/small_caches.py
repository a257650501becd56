"""Students of the tiny study whose teacher is recorded."""

import pathlib

import numpy as np

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.config_file import load_config
from kd_jax.core.initial_state import init_state
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.teacher_cache.replay import replay_outputs

CONFIG = str(pathlib.Path(__file__).with_name('tiny_config.py'))
BATCH, SIZE = 25, 300


def cached(**options):
    return f'cache={options}'


def student(*overrides, seed=0, **networks):
    """A student's prepared run: 12 steps per epoch on 300 images; its teacher starts from a run."""
    config, _ = load_config(CONFIG, [f'runs.student.{text}' for text in overrides])
    run = config['runs']['student']
    for name, options in networks.items():
        run['networks'][name] = {**run['networks'][name], **options}
    return prepare_run(run, seed, "run 'student'")


def started(prepared, seed=0):
    """The frozen networks of a prepared run, with random values, and the key of its views."""
    state, frozen = init_state(prepared.recipe, prepared.context['batch'], seed)
    return frozen, fold_in_name(state.key, 'augment')


def replay(prepared, directory, seed=0, between=lambda: None):
    return replay_outputs(prepared.cache, *started(prepared, seed), directory, between)


def logits(arrays):
    return np.asarray(arrays[RECORDED]['teacher']['logits'][:])


def cut(k, t, *overrides):
    """A student that learns from its teacher's k largest probabilities: batches of 25 examples, one view of each."""
    config = dict(student('data.views=1', 'cache=True', *overrides).config)
    top = {'model': 'top_k', 'input': 'teacher.logits', 'update': 'frozen', 'k': k, 't': t}
    reads = {'student': 'student.logits', 'log_probs': 'top.log_probs', 'classes': 'top.classes', 't': 'top.t'}
    config['networks'] = {**config['networks'], 'top': top}
    config['terms'] = {'soft': {'loss': 'kd_top_k', **reads}}
    return prepare_run(config, 0, "run 'student'")
