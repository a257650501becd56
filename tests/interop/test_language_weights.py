"""Weights of language models that others saved: layers and options. The tensors here are made from our own weights."""

import flax.traverse_util
import jax
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.interop.gguf_weights import NAMES
from kd_jax.interop.language_weights import (
    SavedTensors,
    check_language_model,
    check_language_options,
    load_language_weights,
)
from kd_jax.language.decoder import Decoder
from kd_jax.language.encoder import Encoder
from tests.language.small_decoder import TOKENS, decoder, weights

WHERE = "c, network 'student'"


def saved_from(variables):
    """The tensors of a decoder, matrices [out, in], each layer by itself."""
    tensors = {}
    for path, array in flax.traverse_util.flatten_dict(variables['params'], sep='/').items():
        parts = array if path.startswith('blocks') else [array]
        for number, part in enumerate(parts):
            tensors[NAMES[path].format(number)] = part.T if path.endswith('kernel') else part
    return SavedTensors('file', {name: array.shape for name, array in tensors.items()}, tensors.__getitem__), tensors


def loaded(saved, layers=2, module=None, **options):
    network = Network('student', module or decoder(), (), init='gguf:file', **options)
    shapes = jax.eval_shape(network.module.init, jax.random.key(0), TOKENS)
    return load_language_weights(network, saved, NAMES, layers, shapes, WHERE)


def test_every_weight_comes_back(assert_bitwise):
    variables = weights(decoder())
    saved, _ = saved_from(variables)
    assert_bitwise(loaded(saved), variables)


def test_a_smaller_decoder_starts_from_the_layers_that_it_names(assert_bitwise):
    variables = weights(decoder(layers=5))
    saved, _ = saved_from(variables)
    taken = loaded(saved, 5, decoder(layers=3), init_layers=(1, 3, 5))
    expected = {**variables['params'], 'blocks': jax.tree.map(lambda a: a[::2], variables['params']['blocks'])}
    assert_bitwise(taken, {'params': expected})


def test_modules_that_start_fresh_are_left_out():
    saved, _ = saved_from(weights(decoder()))
    assert sorted(loaded(saved, fresh=('head', 'norm'))['params']) == ['blocks', 'embedding']


def test_tensors_that_do_not_fit_are_named():
    saved, tensors = saved_from(weights(decoder()))
    with pytest.raises(UserError, match=r'has tensors output\.weight that this model does not have; choose the model'):
        loaded(saved, module=decoder(tied=True))
    del saved.shapes['blk.1.attn_q.weight']
    with pytest.raises(UserError, match=r'file has no blk\.1\.attn_q\.weight; choose the model'):
        loaded(saved)
    saved.shapes['blk.1.attn_q.weight'] = (12, 16)
    with pytest.raises(UserError, match=r'blk\.1\.attn_q\.weight has shape \(12, 16\) there and \(16, 12\) in this'):
        loaded(saved)
    saved.shapes['blk.1.attn_q.weight'] = (16, 12)
    tensors['blk.1.attn_q.weight'] = np.full((16, 12), np.nan)
    with pytest.raises(UserError, match='192 of the 384 values of params/blocks/query/kernel in file are NaN'):
        loaded(saved)


def test_layers_that_were_not_saved_are_refused():
    saved, _ = saved_from(weights(decoder()))
    with pytest.raises(UserError, match='init_layers has 3, but file has 2 layers'):
        loaded(saved, init_layers=(1, 3))
    with pytest.raises(UserError, match='init_layers names 1 layers, but the model has 2; name one for each'):
        loaded(saved, init_layers=(1,))


def test_options_that_shapes_do_not_show_must_be_those_of_the_file():
    saved = dict(layers=2, heads=4, kv_heads=2, head_dim=4, rotary_base=1e4, norm_epsilon=9.9999997e-6, tied=False)

    def check(network=None, **options):
        network = network or Network('student', decoder(), (), init='gguf:file')
        check_language_options(network, {**saved, **options}, WHERE, 'file')

    check()
    with pytest.raises(UserError, match=r'file has heads=2, rotary_base=500000\.0, but this model has heads=4, rotary'):
        check(heads=2, rotary_base=5e5)
    with pytest.raises(UserError, match='file has tied=True, but this model has tied=False: give it these options'):
        check(tied=True)
    with pytest.raises(UserError, match=r'has layers=6, but this .* or set init_layers to the 2 layers'):
        check(layers=6)
    check(Network('student', decoder(), (), init='gguf:file', init_layers=(1, 6)), layers=6)
    with pytest.raises(UserError, match=r'file has rotary_scaling=\(8\.0, 1\.0, 4\.0, 64\.0\), but this'):
        check(rotary_scaling=(8.0, 1.0, 4.0, 64.0))


def test_the_model_must_be_what_was_saved_and_one_network():
    check_language_model(Network('student', decoder(), (), init='gguf:file'), Decoder, WHERE, 'file')
    with pytest.raises(UserError, match="file holds the weights of a decoder, so model must be 'decoder'"):
        check_language_model(Network('student', models.mlp(), (), init='gguf:file'), Decoder, WHERE, 'file')
    with pytest.raises(UserError, match="file holds the weights of an encoder, so model must be 'encoder'"):
        check_language_model(Network('student', decoder(), (), init='gguf:file'), Encoder, WHERE, 'file')
    with pytest.raises(UserError, match='file holds one network; set copies=0'):
        check_language_model(Network('student', decoder(), (), init='gguf:file', copies=2), Decoder, WHERE, 'file')
