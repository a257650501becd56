import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.language.encoder import mean_over_tokens
from tests.language.small_decoder import applied, weights
from tests.language.small_encoder import SEGMENT, TOKENS, encoder

TYPES = np.array([[0, 0, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0, 0]], np.int32)


def norm(x, p):
    x = x - np.mean(x, axis=-1, keepdims=True)
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-12) * p['scale'] + p['bias']


def dense(x, p):
    return x @ p['kernel'] + p['bias']


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def written_out(variables, tokens, types):
    """The last hidden states and the logits of one sequence, by loops over queries and the 3 heads of 4 channels."""
    p = jax.tree.map(np.float64, variables['params'])
    words, places, kinds = (p[name]['embedding'] for name in ('embedding', 'positions', 'types'))
    x = norm(words[tokens] + places[: len(tokens)] + kinds[types], p['embedding_norm'])
    for layer in range(2):
        b = jax.tree.map(lambda a: a[layer], p['blocks'])  # noqa: B023
        q, k, v = (dense(x, b[name]).reshape(len(x), 3, 4) for name in ('query', 'key', 'value'))
        mixed = np.zeros((len(x), 3, 4))
        for at, head in np.ndindex(len(x), 3):
            shares = np.exp([q[at, head] @ k[s, head] / 2.0 for s in range(len(x))])
            mixed[at, head] = shares / np.sum(shares) @ v[:, head]
        x = norm(x + dense(mixed.reshape(len(x), 12), b['output']), b['attention_norm'])
        x = norm(x + dense(gelu(dense(x, b['up'])), b['down']), b['mlp_norm'])
    guesses = norm(gelu(dense(x, p['transform'])), p['transform_norm'])
    return x, guesses @ words.T + p['bias']


def test_the_encoder_is_the_one_written_out():
    module = encoder()
    variables = weights(module)
    out = applied(module, variables, TOKENS, np.ones_like(TOKENS), None, TYPES)
    for row in range(2):  # with the approximation of GELU by tanh, hidden states differ by 4e-5 and logits by 2e-4
        hidden, logits = written_out(variables, TOKENS[row], TYPES[row])
        np.testing.assert_allclose(out['features'][row], hidden, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(out['logits'][row], logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(out['sentence'][row], np.mean(hidden, axis=0), rtol=1e-5, atol=1e-5)


def test_every_activation_has_its_shape():
    module = encoder(token_types=0, head='none')
    out = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), TOKENS)[0])
    layered = {'attention': (2, 3, 7, 7), 'queries': (2, 7, 3, 4), 'keys': (2, 7, 3, 4), 'values': (2, 7, 3, 4)}
    shapes = {f'{name}{layer}': shape for name, shape in layered.items() for layer in (1, 2)}
    shapes |= dict.fromkeys(('hidden0', 'hidden1', 'hidden2', 'features'), (2, 7, 12))
    assert {name: array.shape for name, array in out.items()} == {**shapes, 'sentence': (2, 12)}


def test_packed_texts_give_the_activations_of_each_alone_and_padding_changes_nothing():
    module = encoder()
    variables = weights(module)
    packed = applied(module, variables, TOKENS, SEGMENT)
    for row, start, end in ((0, 3, 7), (1, 0, 5)):
        alone = applied(module, variables, TOKENS[row : row + 1, start:end])
        for name in ('logits', 'hidden1'):
            np.testing.assert_allclose(packed[name][row, start:end], alone[name][0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(packed['sentence'][1], alone['sentence'][0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(packed['attention1'][0, :, :3, 3:], 0.0)


def test_a_token_reads_those_that_follow():
    module = encoder()
    variables = weights(module)
    other = np.array(TOKENS)
    other[:, -1] = (other[:, -1] + 1) % 13
    one, two = (applied(module, variables, tokens)['features'] for tokens in (TOKENS, other))
    assert np.min(np.max(np.abs(one - two), axis=-1)) > 1e-3


def test_the_mean_over_tokens_leaves_padding_out():
    # (1 + 2 + 6) / 3 = 3; a row of padding gives 0.
    features = np.array([[[1.0], [2.0], [6.0], [50.0]], [[np.nan]] * 4], np.float32)
    np.testing.assert_array_equal(mean_over_tokens(features, np.array([[1, 1, 2, 0], [0] * 4])), [[3.0], [0.0]])


def test_a_tied_head_uses_the_embedding():
    variables = weights(encoder())
    own = {'params': {**variables['params'], 'words': variables['params']['embedding']['embedding']}}
    tied, untied = (applied(encoder(head=h), v, TOKENS)['logits'] for h, v in (('tied', variables), ('own', own)))
    np.testing.assert_array_equal(tied, untied)


def test_computing_layers_again_gives_the_same_gradient():
    grads = []
    for remat in (False, True):
        module = encoder(remat=remat)

        def loss(variables, module=module):
            return jnp.sum(module.apply(variables, TOKENS)['logits'] ** 2)

        grads.append(jax.jit(jax.grad(loss))(weights(module)))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-2), *grads)


def test_logits_of_bfloat16_weights_are_float32():
    module = encoder()
    variables = weights(module, sd=0.2)
    low = applied(module, jax.tree.map(lambda a: a.astype(jnp.bfloat16), variables), TOKENS, SEGMENT)
    assert (low['logits'].dtype, low['features'].dtype, low['sentence'].dtype) == (np.float32, *[jnp.bfloat16] * 2)
    np.testing.assert_allclose(low['logits'], applied(module, variables, TOKENS, SEGMENT)['logits'], atol=0.2)


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('bert_base', 109_514_298),  # BertForMaskedLM of bert-base-uncased, as transformers counts it
        ('distilbert_base', 66_985_530),  # DistilBertForMaskedLM of distilbert-base-uncased
        ('minilm_l6', 22_713_216 - 384 * 385),  # all-MiniLM-L6-v2 without its pooler, which its embeddings do not use
    ],
)
def test_models_of_the_families_have_their_numbers_of_parameters(name, parameters):
    module = getattr(models, name)()
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    assert sum(a.size for a in jax.tree.leaves(shapes)) == parameters


@pytest.mark.parametrize(
    ('options', 'tokens', 'sentence'),
    [
        (dict(heads=5), TOKENS, 'heads is 5, but it must divide width, which is 12'),
        (dict(token_types=-1), TOKENS, 'token_types is -1, but it must be 0 or more'),
        (dict(window=6), TOKENS, '7 tokens are longer than the window of the model, 6'),
        ({}, np.zeros((2, 4, 4), np.float32), r"an encoder reads integers .* not float32\[2, 4, 4\]; set input='batch"),
    ],
)
def test_a_mistake_is_one_sentence(options, tokens, sentence):
    with pytest.raises(UserError, match=sentence):
        jax.eval_shape(encoder(**options).init, jax.random.key(0), tokens)
