"""Runs that cannot fit the memory."""

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.devices.mesh import make_mesh
from kd_jax.prepare import check_memory as checked
from kd_jax.prepare.check_memory import check_bytes
from tests.abstract_mesh import mesh
from tests.small_recipes import SMALL, hard, recipe_of

MIB = 2**20


def check(networks, terms, limit, monkeypatch, batch_size=8, **optimizer):
    batch = {'image': np.zeros((batch_size, 5), np.float32), 'label': np.zeros(batch_size, np.int32)}
    recipe = recipe_of(networks, terms, **optimizer)
    monkeypatch.setattr(checked, 'device_bytes', lambda mesh: limit)
    check_bytes(recipe, check_recipe(recipe, batch), make_mesh({}, jax.devices()[:1], 'c'), 'c')


# hidden=(h,): 5 h + h + 3 h + 3 numbers of 4 bytes, so 2**18 units need 9 MiB and 12 bytes.
WIDE = {**SMALL, 'hidden': (2**18,)}
HARD = {'hard': hard('a')}


@pytest.mark.parametrize(('name', 'arrays'), [('sgd', 1), ('adam', 3)])
def test_parameters_and_the_state_of_the_optimizer_must_fit_and_both_sizes_are_said(name, arrays, monkeypatch):
    needed = arrays * (9 * MIB + 12)
    check({'a': WIDE}, HARD, needed, monkeypatch, batch_size=1, name=name)
    with pytest.raises(
        UserError, match=r"^c: the parameters .* need 0.0 GiB on each device, 'a' alone .* but a device"
    ):
        check({'a': WIDE}, HARD, needed - 1, monkeypatch, batch_size=1, name=name)


def test_copies_count(monkeypatch):
    check({'a': {**WIDE, 'copies': 3}}, HARD, 3 * (9 * MIB + 12), monkeypatch, batch_size=1)
    with pytest.raises(UserError, match='but a device has'):
        check({'a': {**WIDE, 'copies': 3}}, HARD, 3 * (9 * MIB + 12) - 1, monkeypatch, batch_size=1)


def test_each_activation_of_a_batch_must_fit(monkeypatch):
    monkeypatch.setattr(checked, 'ABSURD', 1)
    check({'a': WIDE}, HARD, 16 * MIB, monkeypatch, batch_size=16)
    with pytest.raises(UserError, match=r"^c: 'a.hidden1' of one batch has shape \[17, 262144\] and needs"):
        check({'a': WIDE}, HARD, 16 * MIB, monkeypatch, batch_size=17)


def test_absurd_sizes_are_refused_before_anything_is_allocated(monkeypatch):
    with pytest.raises(UserError, match=r"need 33.5 GiB on each device, 'a' alone 33.5 GiB, but a device has 8.0 GiB"):
        check({'a': {**SMALL, 'hidden': (10**9,)}}, HARD, 2**33, monkeypatch)


def test_nothing_is_checked_if_the_memory_is_not_known(monkeypatch):
    check({'a': {**SMALL, 'hidden': (10**9,)}}, HARD, None, monkeypatch)


def test_a_frozen_network_takes_half_the_memory_in_bfloat16(monkeypatch):
    networks = {'a': WIDE, 'b': {**WIDE, 'update': 'frozen', 'compute_dtype': 'bfloat16'}}
    needed = 9 * MIB + 12 + (9 * MIB + 12) // 2
    check(networks, HARD, needed, monkeypatch, batch_size=1)
    with pytest.raises(UserError, match='but a device has'):
        check(networks, HARD, needed - 1, monkeypatch, batch_size=1)


def test_a_device_holds_its_share_of_a_network_that_is_split(monkeypatch):
    text = dict(vocabulary=8, width=64, layers=2, heads=4, mlp_width=128, input='batch.tokens', sharding='fsdp')
    recipe = recipe_of({'a': {'model': 'decoder', **text}}, {'hard': {**hard('a'), 'labels': 'batch.next'}})
    words = np.zeros((4, 6), np.int32)
    context = check_recipe(recipe, {'tokens': words, 'next': words})
    split, whole = 2 * (4 * 64 * 64 + 3 * 64 * 128), 2 * 2 * 64 + 64  # matrices of a layer; norms
    needed = 4 * (split // 4 + 8 * 64 // 2 + whole)  # the embedding is split over tensor alone: it is small
    monkeypatch.setattr(checked, 'device_bytes', lambda mesh: needed)
    check_bytes(recipe, context, mesh(fsdp=2, tensor=2), 'c')
    monkeypatch.setattr(checked, 'device_bytes', lambda mesh: needed - 1)
    with pytest.raises(UserError, match='but a device has'):
        check_bytes(recipe, context, mesh(fsdp=2, tensor=2), 'c')
