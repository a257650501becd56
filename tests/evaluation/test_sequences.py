import math

import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.evaluation import sequences
from kd_jax.evaluation.sequences import sequence_statistics, sequence_values

RNG = np.random.default_rng(0)
P = np.array([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], [[0.1, 0.8, 0.1], [0.25, 0.5, 0.25]]])
LOGITS = np.log(P).astype(np.float32)
LABELS = np.array([[0, 1], [1, 0]], np.int32)
MASK = np.array([[1, 1], [1, 0]], bool)
BYTES = np.array([[3, 5], [0, 9]], np.int32)


def test_the_metrics_of_three_tokens_by_hand():
    # The labels that count have probabilities 0.5, 0.2 and 0.8; the first and the last are the largest.
    nll = -(math.log(0.5) + math.log(0.2) + math.log(0.8)) / 3
    found = sequences(LOGITS, LABELS, MASK)
    assert found == pytest.approx({'count': 3, 'nll': nll, 'perplexity': math.exp(nll), 'accuracy': 2 / 3})


def test_bits_per_byte_divide_by_the_bytes_of_the_labels_that_count():
    # The third label has no bytes (the end of a document), but its bits count; the fourth does not count at all.
    bits = -(math.log2(0.5) + math.log2(0.2) + math.log2(0.8))
    assert sequences(LOGITS, LABELS, MASK, None, BYTES)['bits_per_byte'] == pytest.approx(bits / 8)


def test_agreement_and_kl_with_a_teacher_by_hand():
    teacher = np.roll(LOGITS, 1, axis=-1)  # chooses another token everywhere
    found = sequences(LOGITS, LABELS, MASK, teacher)
    p, q = np.roll(P, 1, -1)[MASK], P[MASK]
    assert found['kl'] == pytest.approx((p * np.log(p / q)).sum() / 3)
    assert found['agreement'] == 0.0
    same = sequences(LOGITS, LABELS, MASK, LOGITS + 7)
    assert same['agreement'] == 1.0
    assert same['kl'] == pytest.approx(0.0, abs=1e-6)


def test_a_token_that_both_rule_out_changes_no_metric():
    logits, teacher = (np.pad(z, [(0, 0), (0, 0), (0, 1)], constant_values=-np.inf) for z in (LOGITS, LOGITS[::-1]))
    assert sequences(logits, LABELS, MASK, teacher) == pytest.approx(sequences(LOGITS, LABELS, MASK, LOGITS[::-1]))


def test_an_even_guess_has_the_vocabulary_as_its_perplexity():
    found = sequences(np.zeros((2, 5, 32)), np.ones((2, 5), np.int32), np.ones((2, 5)), None, np.full((2, 5), 2))
    assert found['perplexity'] == pytest.approx(32)
    assert found['bits_per_byte'] == pytest.approx(5 / 2)


def test_tokens_and_not_rows_count_alike_whatever_the_batches():
    logits = RNG.normal(size=(6, 7, 5)).astype(np.float32)
    labels = RNG.integers(0, 5, (6, 7)).astype(np.int32)
    mask = np.arange(7) < RNG.integers(1, 7, (6, 1))
    bytes_ = RNG.integers(0, 4, (6, 7))
    whole = sequences(logits, labels, mask, logits[::-1], bytes_)

    def of_batches(size):
        found = []
        for start in range(0, 6, size):
            rows = np.arange(start, start + size)
            arrays = (array[np.minimum(rows, 5)] for array in (logits, labels, mask, logits[::-1], bytes_))
            found.append(sequence_statistics(*map(jnp.asarray, arrays), where=jnp.asarray(rows < 6)))
        stacked = {name: np.stack([np.asarray(one[name]) for one in found])[:, None] for name in found[0]}
        return sequence_values(stacked)

    for size in (1, 4):  # the last batch of 4 is padded
        assert of_batches(size) == pytest.approx(whole, rel=1e-6)
    kept = [sequences(logits[mask][None], labels[mask][None], None, logits[::-1][mask][None], bytes_[mask][None])]
    assert kept[0] == pytest.approx(whole, rel=1e-6)


def test_what_does_not_count_may_be_nan():
    logits = np.where(MASK[..., None], LOGITS, np.nan)
    assert sequences(logits, LABELS, MASK, logits, BYTES) == pytest.approx(
        sequences(LOGITS, LABELS, MASK, LOGITS, BYTES)
    )


def test_logits_in_bfloat16_are_measured_in_float32():
    rounded = jnp.asarray(LOGITS, jnp.bfloat16)
    exact = sequences(np.asarray(rounded, np.float32), LABELS, MASK)
    assert sequences(rounded, LABELS, MASK) == pytest.approx(exact, rel=1e-6)


def test_nothing_that_counts_has_no_mean_and_a_hopeless_network_an_infinite_perplexity():
    none = sequences(LOGITS, LABELS, np.zeros_like(MASK), None, BYTES)
    assert none['count'] == 0
    assert all(math.isnan(none[name]) for name in ('nll', 'perplexity', 'accuracy', 'bits_per_byte'))
    assert sequences(LOGITS * 1e4, LABELS, MASK)['perplexity'] == math.inf
    assert math.isnan(sequences(LOGITS * np.nan, LABELS, MASK)['perplexity'])


def test_copies_are_measured_one_by_one():
    one, two = (sequences(logits, LABELS, MASK, None, BYTES) for logits in (LOGITS, 3 * LOGITS))
    parts = [sequence_statistics(x, LABELS, MASK, None, BYTES, where=np.ones(2, bool)) for x in (LOGITS, 3 * LOGITS)]
    both = sequence_values({name: np.stack([np.asarray(part[name]) for part in parts])[None] for name in parts[0]})
    assert both == pytest.approx({name: (one[name] + two[name]) / 2 for name in one})


@pytest.mark.parametrize(
    ('arrays', 'says'),
    [
        ((LOGITS[0], LABELS[0]), r'the logits have shape \[2, 3\], but \[batch, length, vocabulary\] is needed'),
        ((LOGITS, LABELS[:, :1]), r'the labels must be whole numbers of shape \[2, 2\], not int32 \[2, 1\]'),
        ((LOGITS, P[..., 0]), 'the labels must be whole numbers'),
        ((LOGITS, LABELS, MASK, LOGITS[..., :2]), r'the logits have shape .* and the teacher \[2, 2, 2\]'),
        ((LOGITS, LABELS, MASK, None, BYTES[:, :1]), r'the labels have shape \[2, 2\] and their bytes \[2, 1\]'),
    ],
)
def test_shapes_that_do_not_fit_are_one_sentence(arrays, says):
    with pytest.raises(UserError, match=says):
        sequences(*arrays)
