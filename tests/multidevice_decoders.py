"""A decoder on one device and on eight: `test_multidevice.py` runs this file on eight fake ones."""

import jax
import numpy as np

from kd_jax import losses
from kd_jax.core.initial_state import init_state
from kd_jax.training.chunk_program import make_chunk_program
from tests.multidevice_cases import MESHES, prepared_of, soft, steps_on

DECODER = {
    'model': 'decoder', 'vocabulary': 11, 'width': 32, 'layers': 4, 'heads': 4, 'kv_heads': 2, 'mlp_width': 64,
    'input': 'batch.tokens', 'sharding': 'fsdp', 'remat': True,
}  # fmt: skip
DECODERS = (
    {'a': DECODER, 'teacher': {**DECODER, 'update': 'frozen', 'init': 'run:teacher'}},
    {
        'hard': {'loss': losses.cross_entropy, 'logits': 'a.logits', 'labels': 'batch.next'},
        'soft': soft('a', 'teacher.logits'),
    },
)
WORDS = {'evaluate': {'a': {'logits': 'a.logits', 'labels': 'batch.next', 'metrics': 'positions'}}}


def test_a_decoder_learns_alike_on_1_and_8_devices():
    alone, split = (steps_on(prepared_of(*DECODERS, mesh, **WORDS)) for mesh in (MESHES[1], {'data': 2, 'fsdp': 4}))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6), split, alone)


def test_under_fsdp_no_more_than_one_layer_of_a_decoder_is_whole():
    prepared = prepared_of(*DECODERS, {'fsdp': 8}, **WORDS)
    state, frozen = jax.eval_shape(lambda: init_state(prepared.recipe, prepared.context['batch'], 0))
    arguments = prepared.splits.arrays['train'], *prepared.order.steps(0, 1)
    compiled = (
        make_chunk_program(prepared).lower(state, prepared.recipe.hparams, frozen, *arguments).compile().as_text()
    )
    # The MLP's weights of one layer, and of all four layers.
    assert 'f32[32,64]' in compiled
    assert 'f32[4,32,64]' not in compiled
