"""What changes with the random key is not recorded; what changes with the place in the batch is told."""

import logging
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.teacher_cache.trial_batches import try_batches
from tests.small_caches import replay, student


def taught(model, *, reads='batch.image', **networks):
    """The student of the tiny study with another frozen teacher, whose outputs are recorded."""
    config = dict(student('cache=True', 'data.views=2').config)
    teacher = {'model': model, 'update': 'frozen', 'init': 'run:teacher', 'input': reads}
    config['networks'] = {**networks, **config['networks'], 'teacher': teacher}
    return prepare_run(config, 0, 'taught')


class Seated(nn.Module):
    """A model whose logits depend on the place of an example in the batch."""

    @nn.compact
    def __call__(self, x, *, train=False):
        place = jnp.arange(x.shape[0], dtype=jnp.float32)[:, None]
        return {'logits': nn.Dense(10)(x.reshape(x.shape[0], -1)) * 0.0 + place / 64.0}


class Noisy(nn.Module):
    """A model that adds noise to its logits; with sd=0 it draws noise that changes nothing."""

    sd: float = 1e-3

    @nn.compact
    def __call__(self, x, *, train=False):
        logits = nn.Dense(10)(x.reshape(x.shape[0], -1))
        return {'logits': logits + self.sd * jax.random.normal(self.make_rng('dropout'), logits.shape)}


def test_outputs_that_depend_on_the_place_in_the_batch_are_told(tmp_path, caplog):
    caplog.set_level(logging.WARNING, 'kd_jax')  # an earlier test of the command line may have set a lower level
    replay(taught(Seated), tmp_path)
    assert f'by up to {24 / 64:.2g}; training from the cache equals' in caplog.text
    caplog.clear()
    replay(student('cache=True', 'data.views=1'), tmp_path)
    assert not caplog.text


def test_outputs_that_change_with_the_random_key_are_not_recorded(tmp_path, caplog):
    caplog.set_level(logging.WARNING, 'kd_jax')
    message = "taught, cache: 'teacher.logits' changes with the random key, which is another one in each step, because"
    with pytest.raises(UserError, match=re.escape(message)):
        replay(taught(Noisy), tmp_path)
    assert not caplog.text  # nothing is said of the place in the batch, which is not what changes them
    generated = {'model': 'generator', 'dim': 4, 'channels': 4, 'update': 'frozen', 'init': 'run:generator'}
    with pytest.raises(UserError, match=r"'teacher\.logits' changes with the random key"):
        replay(taught('mlp', reads='made.image', made=generated), tmp_path)


def test_a_key_that_changes_nothing_is_no_noise(tmp_path):
    class Silent(Noisy):
        sd: float = 0.0

    recorded = replay(taught(Silent), tmp_path)['recorded']['teacher']['logits']
    assert len(np.unique(np.asarray(recorded[0]), axis=0)) > 25  # more different ones than a batch has examples


def test_rounding_that_is_another_one_each_time_is_no_noise():
    rng = np.random.default_rng(0)

    def rounded(noise):
        return lambda positions, key: {
            'teacher.logits': positions + 1e-6 * rng.uniform(0.5, 1.0, positions.shape) + noise * key
        }

    assert try_batches(8, rounded(0.0), 'here') >= 0
    with pytest.raises(UserError, match='changes with the random key'):
        try_batches(8, rounded(1e-3), 'here')
