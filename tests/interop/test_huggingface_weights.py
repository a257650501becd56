"""Decoders in the format of Hugging Face. transformers_reference/make.py wrote the files and what they give."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.interop.huggingface_weights import decoder_options, load_huggingface_weights
from kd_jax.language.decoder import Decoder
from tests.language.small_decoder import TOKENS, applied

REFERENCE = pathlib.Path(__file__).parents[1] / 'transformers_reference'
SIZES = dict(vocabulary=40, width=16, layers=2, heads=4, kv_heads=2, mlp_width=24, window=256)
MODULES = {
    'llama3': Decoder(**SIZES, head_dim=8, rotary_base=500.0, rotary_scaling=(8.0, 1.0, 4.0, 64.0), tied=False),
    'smollm2': Decoder(**SIZES),
    'qwen2': Decoder(**SIZES, norm_epsilon=1e-6, qkv_bias=True),
}


def loaded(path, module, **options):
    network = Network('teacher', module, (), init=f'huggingface:{path}', **options)
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    return load_huggingface_weights(network, str(path), shapes, "c, network 'teacher'")


@pytest.fixture
def copied(tmp_path):
    """A function that copies a reference and returns its directory."""

    def copy(name):
        return pathlib.Path(shutil.copytree(REFERENCE / name, tmp_path / name))

    return copy


@pytest.mark.parametrize('name', MODULES)
def test_logits_are_those_of_transformers(name):
    expected = np.load(REFERENCE / 'expected.npz')
    out = applied(MODULES[name], loaded(REFERENCE / name, MODULES[name]), expected['tokens'], expected['mask'])
    real = expected['mask'] == 1
    for key in ('logits', 'hidden1'):
        np.testing.assert_allclose(out[key][real], expected[f'{name}/{key}'][real], rtol=1e-4, atol=1e-4)
    assert np.std(expected[f'{name}/logits']) > 0.5


def test_one_layer_of_two_may_be_taken(assert_bitwise):
    whole = loaded(REFERENCE / 'qwen2', MODULES['qwen2'])['params']
    half = MODULES['qwen2'].clone(layers=1)
    taken = loaded(REFERENCE / 'qwen2', half, init_layers=(2,))['params']
    assert_bitwise(taken['blocks'], jax.tree.map(lambda a: a[1:], whole['blocks']))


def test_a_head_that_a_tied_model_saved_is_the_embedding(copied, assert_bitwise):
    directory = copied('qwen2')
    tensors = safetensors.numpy.load_file(directory / 'model.safetensors')
    tensors['lm_head.weight'] = tensors['model.embed_tokens.weight']
    tensors['model.layers.0.self_attn.rotary_emb.inv_freq'] = np.ones(2, np.float32)
    safetensors.numpy.save_file(tensors, directory / 'model.safetensors')
    assert_bitwise(loaded(directory, MODULES['qwen2']), loaded(REFERENCE / 'qwen2', MODULES['qwen2']))


def test_missing_and_damaged_files_are_one_sentence(copied, tmp_path):
    directory = copied('llama3')
    shard = directory / 'model-00003-of-00005.safetensors'
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"c, network 'teacher': .*00003-of-00005\.safetensors cannot be read"):
        loaded(directory, MODULES['llama3'])
    shutil.copy(directory / 'model-00001-of-00005.safetensors', shard)
    with pytest.raises(UserError, match=r'00003-of-00005\.safetensors has no model\.layers\.0\.\S+, although model'):
        loaded(directory, MODULES['llama3'])
    shard.unlink()
    with pytest.raises(UserError, match=r'00003-of-00005\.safetensors is missing; load the directory down again'):
        loaded(directory, MODULES['llama3'])
    (directory / 'model.safetensors.index.json').write_text('{"weight_map": {"a": "../b"}}')
    with pytest.raises(UserError, match=r"c, network 'teacher': '../b' cannot be the name of a file in"):
        loaded(directory, MODULES['llama3'])
    (directory / 'model.safetensors.index.json').unlink()
    with pytest.raises(UserError, match=r'llama3/model\.safetensors is missing'):
        loaded(directory, MODULES['llama3'])
    (directory / 'config.json').write_text('{')
    with pytest.raises(UserError, match=r'config\.json is not JSON'):
        loaded(directory, MODULES['llama3'])
    with pytest.raises(UserError, match=r'config\.json cannot be read \(No such file or directory\)'):
        loaded(tmp_path / 'nowhere', MODULES['llama3'])


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (dict(model_type='gemma2'), r"has the model_type 'gemma2', which is no decoder that is known\. Known: llama"),
        (dict(hidden_act='gelu'), 'has another activation than silu'),
        (dict(use_sliding_window=True), 'or a sliding window'),
        (dict(rope_parameters={'rope_type': 'yarn'}), "scales its rotary positions by 'yarn', which is not known"),
        (dict(rope_scaling={'type': 'linear', 'factor': 2.0}, rope_parameters=None), "rotary positions by 'linear'"),
        (dict(rope_scaling={'factor': 2.0}, rope_parameters=None), 'says a factor but no rope_type of its rotary'),
        (dict(rms_norm_eps=None), 'says no rms_norm_eps; take a complete file'),
        (dict(num_attention_heads=8, head_dim=4), 'qwen2 has heads=8, but this model has heads=4: give it these'),
    ],
)
def test_a_decoder_that_is_not_known_or_not_this_one_is_one_sentence(copied, change, sentence):
    directory = copied('qwen2')
    config = json.loads((directory / 'config.json').read_text())
    config = {key: value for key, value in {**config, **change}.items() if not (key in change and value is None)}
    (directory / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match=sentence):
        loaded(directory, MODULES['qwen2'])


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (dict(rope_scaling=3), r'has rope_scaling=3, but expected object . null, got int; take a file that is not'),
        (dict(rope_parameters=[]), r'rope_parameters=\[\], but expected object . null, got array'),
        (dict(rope_scaling={'rope_type': 3}), 'but rope_type: expected str, got int'),
        (dict(rope_parameters={'rope_type': 'llama3', 'factor': 8.0}), 'says no low_freq_factor, high_freq_factor, or'),
        (dict(rope_parameters={'factor': '8'}), 'but factor: expected float, got str'),
        (dict(num_hidden_layers=2.0), 'num_hidden_layers=2.0, but expected int, got float'),
        (dict(num_hidden_layers=None), 'num_hidden_layers=None, but expected int, got null'),
        (dict(hidden_size='16'), "hidden_size='16', but expected int, got str"),
        (dict(num_attention_heads=0), 'num_attention_heads=0, but expected int >= 1'),
        (dict(num_attention_heads=True), 'num_attention_heads=True, but expected int, got bool'),
        (dict(num_key_value_heads=-2), 'num_key_value_heads=-2, but expected int >= 1'),
        (dict(head_dim=[8]), 'expected int . null, got array'),
        (dict(vocab_size=10**15), 'vocab_size=10{15}, but expected int <= 2147483647'),
        (dict(rms_norm_eps=-1e-5), 'expected float > 0'),
        (dict(rms_norm_eps=10**40), 'expected float < 1e'),
        (dict(rope_theta='500'), "rope_theta='500', but expected float, got str"),
        (dict(tie_word_embeddings='no'), 'expected bool, got str'),
        (dict(use_sliding_window=1), 'expected bool, got int'),
        (dict(hidden_act=['silu']), 'expected str, got array'),
        (dict(model_type=['llama']), r"has the model_type \['llama'\], which is no decoder"),
    ],
)
def test_an_option_of_another_type_is_one_sentence(change, sentence):
    config = json.loads((REFERENCE / 'llama3' / 'config.json').read_text())
    assert decoder_options(config, 'here')['layers'] == 2
    with pytest.raises(UserError, match=f'^here .*{sentence}'):
        decoder_options({**config, **change}, 'here')


def test_options_that_null_leaves_out_are_those_of_transformers():
    config = json.loads((REFERENCE / 'smollm2' / 'config.json').read_text())
    nulls = dict(rope_scaling=None, rope_parameters=None, num_key_value_heads=None, head_dim=None)
    found = decoder_options({**config, **nulls}, 'here')
    assert (found['kv_heads'], found['head_dim'], found['rotary_scaling']) == (4, 4, ())
