"""A study whose runs are trained in groups, and whether its runs end alike."""

import functools
import json

import jax
import numpy as np

from kd_jax.config.config_file import load_config
from kd_jax.studies import executors
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir
from kd_jax.training.run_log import read_history
from tests.finished_runs import final_state, raw, without_seconds
from tests.train_one import CONFIG


def planned(grouping):
    """A study with two seeds of a teacher and of two students; the students differ in all their hyperparameters."""
    config, _ = load_config(CONFIG, ['seeds=2'])
    for run in config['runs'].values():
        run['data'] |= {'examples': 100, 'valid': 50}
        run |= {'batch_size': 20, 'eval_every': 1.0}
    cold = config['runs'].pop('student')
    hot = json.loads(json.dumps(cold))
    hot['terms']['soft']['t'], hot['terms']['hard']['weight'] = 9.0, 0.5
    hot['optimizer']['learning_rate'] = 0.005
    return parse_study({**config, 'runs': {**config['runs'], 'cold': cold, 'hot': hot}, 'group_runs': grouping}, 'tiny')


def of(plan, *names):
    return [run for run in plan.runs if run.name in names]


def execute(plan, path, progress=lambda *_: None, runs=None):
    workdir = Workdir(path)
    with workdir.locked():
        waiting = [run for run in runs or plan.runs if workdir.result(run.id) is None]
        groups = plan_groups(waiting, plan.about['group_runs'])
        executors.in_process()(plan, groups, workdir, progress, lambda *_: None)
    return workdir


def assert_same_runs(got, wanted, runs, rtol=0.0, atol=0.0):
    """Compares final states, histories and results: bit for bit, unless a tolerance is given."""
    for run in runs:
        states = [jax.tree.map(raw, final_state(workdir.directory(run.id))) for workdir in (got, wanted)]
        histories = [without_seconds(workdir.result(run.id)['history']) for workdir in (got, wanted)]
        lasts = [workdir.result(run.id)['last'] for workdir in (got, wanted)]
        assert without_seconds(read_history(got.directory(run.id) / 'metrics.jsonl')) == histories[0]
        bests = [final_state(workdir.directory(run.id), 'best') for workdir in (got, wanted)]
        for one, other in (states, histories, lasts, bests):
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), one, other)
