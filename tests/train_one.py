"""Prepares and trains one run, for tests."""

import pathlib

from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.training.active_run import RunToTrain
from kd_jax.training.loop import train_group

CONFIG = str(pathlib.Path(__file__).with_name('tiny_config.py'))


def prepare_one(run='teacher', *overrides, seed=0):
    """A run of the tiny study, with changes such as 'data.resident=False'."""
    config, _ = load_config(CONFIG, [f'runs.{run}.{text}' for text in overrides])
    return prepare_run(config['runs'][run], seed, f"run '{run}'")


def silent(*_):
    pass


def train_run(prepared, directory, sources, progress, caches=None):
    """Trains one run to its end, in `directory`; returns its result, or raises the error that stopped it."""
    (result,) = train_group([RunToTrain(prepared, directory, sources)], progress, caches=caches or directory / 'caches')
    if isinstance(result, UserError):
        raise result
    return result
