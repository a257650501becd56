"""Trains one run, for tests."""

from kd_jax.config.errors import UserError
from kd_jax.training.active_run import RunToTrain
from kd_jax.training.loop import train_group


def train_run(prepared, directory, sources, progress, caches=None):
    """Trains one run to its end, in `directory`; returns its result, or raises the error that stopped it."""
    (result,) = train_group([RunToTrain(prepared, directory, sources)], progress, caches=caches or directory / 'caches')
    if isinstance(result, UserError):
        raise result
    return result
