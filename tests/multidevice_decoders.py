"""Decoders and encoders on one device and on eight: `test_multidevice.py` runs this file on eight fake ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.core.initial_state import init_state
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.chunk_program import make_chunk_program, make_initial_state
from tests.multidevice_cases import MESHES, prepared_of, soft, steps_on

DECODER = {
    'model': 'decoder', 'vocabulary': 12, 'width': 32, 'layers': 4, 'heads': 4, 'kv_heads': 2, 'mlp_width': 64,
    'input': 'batch.tokens', 'sharding': 'fsdp', 'remat': True,
}  # fmt: skip
ENCODER = {name: o for name, o in DECODER.items() if name != 'kv_heads'} | {'model': 'encoder', 'vocabulary': 11}
# The last mesh has more devices on 'tensor' than the decoder has heads of keys.
SPLIT = ({'data': 2, 'fsdp': 4}, {'fsdp': 2, 'tensor': 2}, {'fsdp': 2, 'tensor': 4})
TERMS = {
    'hard': {'loss': losses.cross_entropy, 'logits': 'a.logits', 'labels': 'batch.next'},
    'soft': soft('a', 'teacher.logits'),
}
WORDS = {'evaluate': {'a': {'logits': 'a.logits', 'labels': 'batch.next', 'metrics': 'positions'}}}


def compiled(run):
    state, frozen = jax.eval_shape(lambda: init_state(run.recipe, run.context['batch'], 0))
    arguments = run.splits.arrays['train'], *run.order.steps(0, 1)
    return make_chunk_program(run).lower(state, run.recipe.hparams, frozen, *arguments).compile()


def prepared(model, mesh):
    """A student and a teacher of one model, whose weights are split."""
    networks = {'a': model, 'teacher': {**model, 'update': 'frozen', 'init': 'run:teacher'}}
    return prepared_of(networks, TERMS, mesh, **WORDS)


@pytest.mark.parametrize(('model', 'meshes'), [(DECODER, SPLIT), (ENCODER, SPLIT[1:2])], ids=['decoder', 'encoder'])
def test_a_language_model_learns_alike_on_1_4_and_8_devices(model, meshes):
    alone, *others = (steps_on(prepared(model, mesh)) for mesh in (MESHES[1], *meshes))
    for other in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6), other, alone)


@pytest.mark.parametrize(('model', 'more'), [(DECODER, 0.1), (ENCODER, 0.15)], ids=['decoder', 'encoder'])
def test_over_tensor_and_fsdp_a_device_has_a_quarter_of_the_weights_and_of_the_work(model, more):
    alone, split = (prepared(model | {'vocabulary': 12}, mesh) for mesh in (MESHES[1], {'fsdp': 2, 'tensor': 2}))
    flops = [compiled(run).cost_analysis()['flops'] for run in (alone, split)]
    # Norms are computed by every device of 'tensor'; an encoder has more of them.
    assert flops[1] == pytest.approx(flops[0] / 4, rel=more)
    params = make_initial_state(split, {})[0].params['a']
    blocks = params['blocks']
    # Of four layers, width 32 and 64 hidden units.
    assert {shard.data.shape for shard in blocks['up']['kernel'].addressable_shards} == {(4, 16, 32)}
    assert {shard.data.shape for shard in blocks['down']['kernel'].addressable_shards} == {(4, 32, 16)}
    assert {shard.data.shape for shard in blocks['output']['kernel'].addressable_shards} == {(4, 16, 16)}
    assert {shard.data.shape for shard in params['embedding']['embedding'].addressable_shards} == {(6, 32)}  # small
    for head in [params['transform']] if 'transform' in params else []:  # small, too
        assert {shard.data.shape for shard in head['kernel'].addressable_shards} == {(32, 16)}


def test_a_checkpoint_of_one_mesh_is_restored_on_another(tmp_path):
    meshes = ({'fsdp': 2, 'tensor': 2}, {'fsdp': 4, 'data': 2}, {'fsdp': 1, 'tensor': 4}, MESHES[1])
    first, *others = (make_initial_state(prepared(DECODER, mesh), {})[0] for mesh in meshes)
    saved = Checkpoints(tmp_path)
    saved.save(first, {'step': 0})
    saved.close()
    for other in others:
        restored = Checkpoints(tmp_path).restore(jax.tree.map(jnp.zeros_like, other._replace(key=first.key)))[0]
        jax.tree.map(np.testing.assert_array_equal, restored.params, first.params)
        kernels = (state.params['a']['blocks']['up']['kernel'] for state in (restored, other))
        assert len({kernel.sharding for kernel in kernels}) == 1


@pytest.mark.parametrize('model', [DECODER, ENCODER], ids=['decoder', 'encoder'])
def test_under_fsdp_one_layer_at_a_time_is_whole(model):
    text = compiled(prepared(model, {'fsdp': 8})).as_text()
    # The MLP's weights of one layer, and of all four layers.
    assert 'f32[32,64]' in text
    assert 'f32[4,32,64]' not in text
    # Of the 16 examples of 6 tokens, a device has the activations of two.
    assert 'f32[2,6,64]' in text
    assert 'f32[16,6,' not in text
