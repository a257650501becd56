"""Decoders in the format of Hugging Face. transformers_reference/make.py wrote the files and what they give."""

import importlib.util
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.interop.huggingface_weights import decoder_options, load_huggingface_weights, save_huggingface
from kd_jax.language.decoder import Decoder
from tests.language.small_decoder import TOKENS, applied, decoder, weights

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


@pytest.mark.parametrize('options', [{}, dict(qkv_bias=False, tied=True), dict(qkv_bias=False, head_dim=6)])
def test_a_decoder_that_is_written_is_read_again(tmp_path, assert_bitwise, options):
    module = decoder(**options, rotary_scaling=(4.0, 1.0, 4.0, 32.0))
    variables = weights(module)
    save_huggingface(tmp_path, module, variables)
    assert_bitwise(loaded(tmp_path, module), variables)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['config.json', 'model.safetensors']


def test_a_written_config_has_the_options_of_the_reference(tmp_path):
    for name, module in MODULES.items():
        save_huggingface(tmp_path, module, weights(module))
        ours, theirs = (json.loads((path / 'config.json').read_text()) for path in (tmp_path, REFERENCE / name))
        assert decoder_options(ours, 'here') == decoder_options(theirs, 'there')
        same = ('architectures', 'model_type', 'hidden_act', 'max_position_embeddings', 'tie_word_embeddings')
        assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}


@pytest.mark.skipif(
    importlib.util.find_spec('transformers') is None, reason='the packages torch and transformers are not installed'
)
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', MODULES)
def test_transformers_loads_what_is_written_and_gives_the_same_logits(tmp_path, name):
    import torch
    import transformers

    variables = weights(MODULES[name], sd=0.3)
    save_huggingface(tmp_path, MODULES[name], variables)
    model, told = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values())
    with torch.no_grad():
        theirs = model(torch.tensor(TOKENS)).logits.numpy()
    np.testing.assert_allclose(applied(MODULES[name], variables, TOKENS)['logits'], theirs, rtol=1e-4, atol=1e-4)


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
    with pytest.raises(UserError, match=r"'../b' cannot be the name of a file in"):
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


def test_an_option_that_is_no_number_is_another_option(copied):
    file = copied('smollm2') / 'config.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), 'hidden_size': None}))
    with pytest.raises(UserError, match='has width=None, but this model has width=16'):
        loaded(file.parent, MODULES['smollm2'])
