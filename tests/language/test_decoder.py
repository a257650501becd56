import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.language import transformer
from kd_jax.language.transformer import positions_in_segments
from tests.language.small_decoder import TOKENS, applied, decoder, weights


def written_out(variables, tokens):
    """The logits of one sequence by loops: heads of 4 channels, 4 for queries and 2 for keys; base 10000."""
    p = variables['params']

    def norm(x, scale):
        return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5) * scale

    def turned(x, at):
        angle = at * np.array([1.0, 0.01])
        pairs = (x[:2] + 1j * x[2:]) * np.exp(1j * angle)
        return np.concatenate([pairs.real, pairs.imag])

    x = p['embedding']['embedding'][tokens].astype(np.float64)
    for layer in range(2):
        b = jax.tree.map(lambda a: a[layer].astype(np.float64), p['blocks'])  # noqa: B023
        normed = norm(x, b['attention_norm']['scale'])
        q, k, v = (
            (normed @ b[name]['kernel'] + b[name]['bias']).reshape(len(x), -1, 4) for name in ('query', 'key', 'value')
        )
        mixed = np.zeros((len(x), 4, 4))
        for at, head in np.ndindex(len(x), 4):
            scores = [turned(q[at, head], at) @ turned(k[s, head // 2], s) / 2.0 for s in range(at + 1)]
            mixed[at, head] = np.exp(scores) / np.sum(np.exp(scores)) @ v[: at + 1, head // 2]
        x = x + mixed.reshape(len(x), 16) @ b['output']['kernel']
        normed = norm(x, b['mlp_norm']['scale'])
        gate = normed @ b['gate']['kernel']
        x = x + (gate / (1 + np.exp(-gate)) * (normed @ b['up']['kernel'])) @ b['down']['kernel']
    return norm(x, p['norm']['scale']) @ p['head'].T


def test_logits_are_those_of_a_decoder_written_out():
    module = decoder()
    variables = weights(module)
    out = applied(module, variables, TOKENS)
    for row in range(2):
        np.testing.assert_allclose(out['logits'][row], written_out(variables, TOKENS[row]), rtol=1e-4, atol=1e-4)


def test_a_tied_head_uses_the_embedding():
    module = decoder(tied=True)
    variables = weights(module)
    tied = applied(module, variables, TOKENS)['logits']
    untied = {'params': {**variables['params'], 'head': variables['params']['embedding']['embedding']}}
    np.testing.assert_array_equal(tied, applied(decoder(), untied, TOKENS)['logits'])


def test_every_activation_has_its_shape_and_is_what_its_name_says():
    module = decoder()
    variables = weights(module)
    out = applied(module, variables, TOKENS)
    layered = {'attention': (2, 4, 7, 7), 'queries': (2, 7, 4, 4), 'keys': (2, 7, 2, 4), 'values': (2, 7, 2, 4)}
    shapes = {f'{name}{layer}': shape for name, shape in layered.items() for layer in (1, 2)}
    shapes |= {'hidden0': (2, 7, 12), 'hidden1': (2, 7, 12), 'hidden2': (2, 7, 12), 'features': (2, 7, 12)}
    assert {name: array.shape for name, array in out.items()} == {**shapes, 'logits': (2, 7, 13)}
    np.testing.assert_array_equal(out['hidden0'], variables['params']['embedding']['embedding'][TOKENS])
    np.testing.assert_allclose(out['logits'], out['features'] @ variables['params']['head'].T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.sum(out['attention2'], axis=-1), 1.0, rtol=1e-5)
    # The attention that the maps, values and weights give is what the layer adds before its MLP: a check of one row.
    first = jax.tree.map(lambda a: a[0], variables['params']['blocks'])
    mixed = np.einsum('bhqk,bkhd->bqhd', out['attention1'], np.repeat(out['values1'], 2, axis=2)).reshape(2, 7, 16)
    x = out['hidden0'] + mixed @ first['output']['kernel']
    normed = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5) * first['mlp_norm']['scale']
    gated = jax.nn.silu(normed @ first['gate']['kernel']) * (normed @ first['up']['kernel'])
    np.testing.assert_allclose(out['hidden1'], x + gated @ first['down']['kernel'], rtol=1e-3, atol=1e-3)


def test_packed_texts_give_the_logits_of_each_alone():
    module = decoder()
    variables = weights(module)
    segment = np.array([[1, 1, 1, 2, 2, 2, 2], [1, 1, 2, 2, 2, 0, 0]])
    packed = applied(module, variables, TOKENS, segment)['logits']
    for row, start, end in ((0, 0, 3), (0, 3, 7), (1, 0, 2), (1, 2, 5)):
        alone = applied(module, variables, TOKENS[row : row + 1, start:end])['logits'][0]
        np.testing.assert_allclose(packed[row, start:end], alone, rtol=1e-4, atol=1e-4)


def test_padding_on_the_left_changes_nothing():
    module = decoder()
    variables = weights(module)
    segment = np.array([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]])
    padded = applied(module, variables, TOKENS, segment)['logits']
    alone = applied(module, variables, TOKENS[:1, 2:])['logits'][0]
    np.testing.assert_allclose(padded[0, 2:], alone, rtol=1e-4, atol=1e-4)


def test_positions_start_anew_with_each_segment_and_may_be_given():
    segment = np.array([[0, 0, 1, 1, 2, 2, 2], [3, 3, 3, 1, 0, 0, 0]])
    position = positions_in_segments(segment)
    np.testing.assert_array_equal(position, [[0, 1, 0, 1, 0, 1, 2], [0, 1, 2, 0, 0, 1, 2]])
    module = decoder()
    variables = weights(module)
    derived, given = (applied(module, variables, TOKENS, segment, *more)['logits'] for more in ((), (position,)))
    np.testing.assert_array_equal(derived, given)
    other = applied(module, variables, TOKENS, segment, position * 2)['logits']
    assert not np.allclose(other, given, atol=1e-3)


def cost(module, variables, read):
    """The arithmetic of a gradient, counted by the compiler."""

    def loss(variables):
        return jnp.sum(module.apply(variables, TOKENS)[read] ** 2)

    return jax.jit(jax.grad(loss)).lower(variables).compile().cost_analysis()['flops']


def test_activations_that_nothing_reads_cost_nothing(monkeypatch):
    module = decoder()
    variables = weights(module)
    read, unread = (cost(module, variables, name) for name in ('attention2', 'logits'))
    monkeypatch.setattr(transformer, 'attention_maps', lambda queries, keys, mask: jnp.sum(queries))
    assert cost(module, variables, 'logits') == unread
    assert cost(module, variables, 'attention2') < read


def test_computing_layers_again_gives_the_same_gradient():
    grads = []
    for remat in (False, True):
        module = decoder(remat=remat)

        def loss(variables, module=module):
            return jnp.sum(module.apply(variables, TOKENS)['logits'] ** 2)

        grads.append(jax.jit(jax.grad(loss))(weights(module)))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3), *grads)


def test_logits_of_bfloat16_weights_are_float32():
    module = decoder()
    variables = weights(module, sd=0.2)
    low = applied(module, jax.tree.map(lambda a: a.astype(jnp.bfloat16), variables), TOKENS)
    assert low['logits'].dtype == np.float32
    assert low['hidden2'].dtype == jnp.bfloat16
    np.testing.assert_allclose(low['logits'], applied(module, variables, TOKENS)['logits'], atol=0.05)


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('smollm2_135m', 134_515_008),  # as their model cards and checkpoints count them
        ('llama3_1b', 1_235_814_400),
        ('llama3_8b', 8_030_261_248),
        ('qwen2_0_5b', 494_032_768),
    ],
)
def test_models_of_the_families_have_their_numbers_of_parameters(name, parameters):
    module = getattr(models, name)()
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    assert sum(a.size for a in jax.tree.leaves(shapes)) == parameters


@pytest.mark.parametrize(
    ('options', 'tokens', 'sentence'),
    [
        (dict(kv_heads=3), TOKENS, 'kv_heads is 3, but it must divide heads, which is 4'),
        (dict(head_dim=0, width=10), TOKENS, 'without head_dim it must divide width, which is 10'),
        (dict(head_dim=3), TOKENS, 'a head has 3 channels, but rotary positions need an even number'),
        (dict(rotary_scaling=(8.0,)), TOKENS, r'must be \(factor, low, high, length\)'),
        (dict(rotary_scaling=(0.0, 1.0, 4.0, 64.0)), TOKENS, 'factor, low and length must be positive'),
        (dict(rotary_scaling=(8.0, 4.0, 4.0, 64.0)), TOKENS, 'high must be greater than low'),
        (dict(window=6), TOKENS, '7 tokens are longer than the window of the model, 6'),
        ({}, np.zeros((2, 4, 4), np.float32), r"not float32\[2, 4, 4\]; set input='batch.tokens'"),
    ],
)
def test_a_mistake_is_one_sentence(options, tokens, sentence):
    with pytest.raises(UserError, match=sentence):
        jax.eval_shape(decoder(**options).init, jax.random.key(0), tokens)
