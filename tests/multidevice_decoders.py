"""Decoders and encoders on one device and on eight: `test_multidevice.py` runs this file on eight fake ones."""

import jax
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.core.initial_state import init_state
from kd_jax.training.chunk_program import make_chunk_program
from tests.multidevice_cases import MESHES, prepared_of, soft, steps_on

DECODER = {
    'model': 'decoder', 'vocabulary': 11, 'width': 32, 'layers': 4, 'heads': 4, 'kv_heads': 2, 'mlp_width': 64,
    'input': 'batch.tokens', 'sharding': 'fsdp', 'remat': True,
}  # fmt: skip
ENCODER = {name: option for name, option in DECODER.items() if name != 'kv_heads'} | {'model': 'encoder'}
TERMS = {
    'hard': {'loss': losses.cross_entropy, 'logits': 'a.logits', 'labels': 'batch.next'},
    'soft': soft('a', 'teacher.logits'),
}
WORDS = {'evaluate': {'a': {'logits': 'a.logits', 'labels': 'batch.next', 'metrics': 'positions'}}}


def prepared(model, mesh):
    """A student and a teacher of one model, whose weights are split."""
    networks = {'a': model, 'teacher': {**model, 'update': 'frozen', 'init': 'run:teacher'}}
    return prepared_of(networks, TERMS, mesh, **WORDS)


def test_a_decoder_learns_alike_on_1_and_8_devices():
    alone, split = (steps_on(prepared(DECODER, mesh)) for mesh in (MESHES[1], {'data': 2, 'fsdp': 4}))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6), split, alone)


@pytest.mark.parametrize('model', [DECODER, ENCODER], ids=['decoder', 'encoder'])
def test_under_fsdp_one_layer_at_a_time_is_whole(model):
    run = prepared(model, {'fsdp': 8})
    state, frozen = jax.eval_shape(lambda: init_state(run.recipe, run.context['batch'], 0))
    arguments = run.splits.arrays['train'], *run.order.steps(0, 1)
    compiled = make_chunk_program(run).lower(state, run.recipe.hparams, frozen, *arguments).compile().as_text()
    # The MLP's weights of one layer, and of all four layers.
    assert 'f32[32,64]' in compiled
    assert 'f32[4,32,64]' not in compiled
    # Of the 16 examples of 6 tokens, a device has the activations of two.
    assert 'f32[2,6,64]' in compiled
    assert 'f32[16,6,' not in compiled
