import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.language.decoding import Sampling, left_padded, next_token, sampling_logits, write
from tests.language.small_decoder import applied, decoder, weights

SHARES = np.array([0.15, 0.5, 0.05, 0.3], np.float32)
LOGITS = np.log(SHARES)
MODULE = decoder()
VARIABLES = weights(MODULE)
PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6], [5]]
KEYS = jax.random.split(jax.random.key(0), 3)


def shares(**options):
    return np.asarray(jax.nn.softmax(sampling_logits(LOGITS, Sampling(**{'temperature': 1.0, **options}))))


def test_the_distribution_is_that_of_the_most_probable_tokens():
    np.testing.assert_allclose(shares(), SHARES, rtol=1e-5)
    np.testing.assert_allclose(shares(top_k=2), [0, 0.625, 0, 0.375], rtol=1e-5)
    # The two most probable have 0.8 together, and 0.5 alone.
    np.testing.assert_allclose(shares(top_p=0.79), [0, 0.625, 0, 0.375], rtol=1e-5)
    np.testing.assert_allclose(shares(top_p=0.81), np.array([0.15, 0.5, 0, 0.3]) / 0.95, rtol=1e-5)
    np.testing.assert_allclose(shares(top_p=0.01), [0, 1, 0, 0])
    # Top-p comes after top-k: of 0.625 and 0.375 the first suffices.
    np.testing.assert_allclose(shares(top_k=2, top_p=0.6), [0, 1, 0, 0])
    np.testing.assert_allclose(shares(temperature=0.5), SHARES**2 / np.sum(SHARES**2), rtol=1e-5)


def test_tokens_are_drawn_with_their_probabilities():
    draws = 4000
    keys = jax.random.split(jax.random.key(1), draws)
    sampling = Sampling(temperature=1.0, top_k=3)
    tokens = jax.jit(lambda keys: next_token(np.tile(LOGITS, (draws, 1)), keys, sampling))(keys)
    expected = shares(top_k=3)
    deviation = np.sqrt(expected * (1 - expected) / draws)
    assert np.all(np.abs(np.bincount(tokens, minlength=4) / draws - expected) <= 4 * deviation)
    np.testing.assert_array_equal(next_token(np.tile(LOGITS, (5, 1)), keys[:5], Sampling()), 1)


def test_greedy_text_is_the_most_probable_token_each_time():
    tokens = list(PROMPTS[1])
    for _ in range(4):
        logits = applied(MODULE, VARIABLES, np.array([tokens + [0] * (9 - len(tokens))]))['logits']
        tokens.append(int(np.argmax(logits[0, len(tokens) - 1])))
    written = write(MODULE, VARIABLES, PROMPTS[1:2], KEYS[:1], new_tokens=4)
    np.testing.assert_array_equal(written.tokens[0], tokens[5:])
    np.testing.assert_array_equal(written.length, [4])


@pytest.mark.parametrize('sampling', [Sampling(), Sampling(temperature=1.5, top_k=9, top_p=0.95)])
def test_a_text_does_not_depend_on_the_others_of_its_batch(sampling):
    together = write(MODULE, VARIABLES, PROMPTS, KEYS, new_tokens=6, sampling=sampling, stop=[7])
    alone = write(MODULE, VARIABLES, PROMPTS[:1], KEYS[:1], new_tokens=6, sampling=sampling, stop=[7])
    np.testing.assert_array_equal(alone.tokens[0], together.tokens[0])
    np.testing.assert_array_equal(alone.length[0], together.length[0])


def test_a_stop_token_ends_its_text_alone_and_counts():
    free = write(MODULE, VARIABLES, PROMPTS, KEYS, new_tokens=6)
    stop = int(free.tokens[0, 2])
    stopped = write(MODULE, VARIABLES, PROMPTS, KEYS, new_tokens=6, stop=[stop])
    for row, text in enumerate(np.asarray(free.tokens)):
        end = int(np.argmax(text == stop)) + 1 if stop in text else 6
        assert int(stopped.length[row]) == end
        np.testing.assert_array_equal(stopped.tokens[row], [*text[:end], *[0] * (6 - end)])
    assert int(stopped.length[0]) <= 3


def test_prompts_are_padded_on_the_left():
    tokens, valid = left_padded([[3, 1], [2, 4, 6]])
    np.testing.assert_array_equal(tokens, [[0, 3, 1], [2, 4, 6]])
    np.testing.assert_array_equal(valid, [[0, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    ('prompts', 'new_tokens', 'sentence'),
    [
        ([[1], []], 2, 'a prompt must have at least one token'),
        ([], 2, 'a prompt must have at least one token'),
        (
            [[1] * 30],
            3,
            'longest prompt has 30 tokens, and with 3 new ones it would exceed the window of the model, 32',
        ),
        ([[1, 13]], 2, r'a prompt has token 13, but the model has 13 tokens: is the tokenizer that of the model\?'),
    ],
)
def test_a_prompt_that_cannot_be_read_is_one_sentence(prompts, new_tokens, sentence):
    with pytest.raises(UserError, match=sentence):
        write(MODULE, VARIABLES, prompts, KEYS, new_tokens=new_tokens)


@pytest.mark.parametrize(
    'options',
    [
        *(dict(temperature=t) for t in (-1.0, float('nan'), float('inf'), 1e-40)),
        dict(top_k=-1), dict(top_p=0.0), dict(top_p=1.1), dict(top_p=float('nan')),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(UserError, match=f'{next(iter(options))} is .*, but it must be'):
        Sampling(**options)
