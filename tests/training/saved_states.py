"""Small states of training, their checkpoints, and damage to them."""

import jax
import jax.numpy as jnp
import optax

from kd_jax import models
from kd_jax.core.state import State


def variables(seed, width=4):
    return models.mlp(hidden=(width,), num_classes=3).init(jax.random.key(seed), jnp.zeros((1, 5)))


def state(step, **networks):
    """A state at `step` with random parameters, momenta and batch statistics."""
    params = {name: tree['params'] for name, tree in (networks or {'net': variables(step)}).items()}
    momenta = {name: optax.sgd(0.1, momentum=0.9).init(tree) for name, tree in params.items()}
    statistics = {name: {'batch_stats': {'mean': jnp.full(3, step / 7)}} if name == 'net' else {} for name in params}
    return State(jnp.int32(step), params, statistics, momenta, jax.random.key(step))


def position(step):
    return {'step': step, 'seconds': step / 3, 'sums': {'hard': (0.1 * step, 3.0)}}


def truncate_everything(newest):
    for path in newest.rglob('*'):
        if path.is_file():
            path.write_bytes(b'')
