import jax
import numpy as np

from kd_jax.language.transformer import RMSNorm, attention_maps, rotary_frequencies, rotated, rotation

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def test_the_norm_divides_by_the_root_mean_square():
    # Mean square of (3, 4) is 12.5, plus 12.5: the root is 5.
    out = RMSNorm(12.5).apply({'params': {'scale': np.array([1.0, 10.0])}}, np.array([3.0, 4.0], np.float32))
    np.testing.assert_allclose(out, [0.6, 8.0], rtol=1e-6)


def test_the_norm_is_computed_in_float32():
    # In bfloat16, 256 squares of 100 would be summed with 8 bits: the mean square would be off by some per cent.
    x = np.linspace(-100, 100, 256).astype(jax.numpy.bfloat16)
    out = RMSNorm(1e-6).apply({'params': {'scale': np.ones(256, jax.numpy.bfloat16)}}, x)
    wide = x.astype(np.float32)
    expected = wide / np.sqrt(np.mean(wide**2))
    np.testing.assert_array_equal(out, expected.astype(jax.numpy.bfloat16))


def test_frequencies_are_a_geometric_series():
    np.testing.assert_allclose(rotary_frequencies(8, 10000.0), [1.0, 0.1, 0.01, 0.001], rtol=1e-6)


def test_scaling_stretches_long_wavelengths_and_keeps_short_ones():
    # Llama 3.1 on 8192 positions. Turns within them: 1303.8, 130.38, 13.038 (all kept), and 1.3038, which lies between
    # low = 1 and high = 4: kept at (1.3038 - 1) / 3 = 0.10127, so the factor is 0.10127 + 0.89873 / 8 = 0.21361.
    out = rotary_frequencies(8, 10000.0, (8.0, 1.0, 4.0, 8192.0))
    np.testing.assert_allclose(out, [1.0, 0.1, 0.01, 0.001 * 0.21361], rtol=1e-4)
    stretched = rotary_frequencies(8, 1e8, (8.0, 1.0, 4.0, 8192.0))
    np.testing.assert_allclose(stretched[-1], 1e-6 / 8, rtol=1e-6)


def test_a_pair_is_rotated_by_its_angle():
    # At position 2 with frequencies (pi / 4, 0), pair (0, 2) turns by 90 degrees and pair (1, 3) stays.
    by = rotation(np.array([[2]]), np.array([np.pi / 4, 0.0], np.float32))
    out = rotated(np.array([1.0, 2.0, 3.0, 4.0], np.float32).reshape(1, 1, 1, 4), by)
    np.testing.assert_allclose(out.ravel(), [-3.0, 2.0, 1.0, 4.0], atol=1e-6)


def test_scores_depend_on_the_difference_of_positions_alone():
    q, k, frequencies = normal(1, 1, 1, 8), normal(1, 1, 1, 8), rotary_frequencies(8, 100.0)

    def score(query_at, key_at):
        turned = [rotated(x, rotation(np.array([[at]]), frequencies)) for x, at in ((q, query_at), (k, key_at))]
        return np.sum(turned[0] * turned[1])

    np.testing.assert_allclose(score(9, 4), score(25, 20), rtol=1e-4)
    assert abs(score(9, 4) - score(9, 5)) > 0.01


def test_maps_are_the_softmax_over_the_keys_that_a_query_may_read():
    q, k = normal(2, 3, 4, 5), normal(2, 3, 2, 5)
    maps = attention_maps(q, k, None)
    for b, head, query in np.ndindex(2, 4, 3):
        scores = [q[b, query, head] @ k[b, key, head // 2] / np.sqrt(5) for key in range(query + 1)]
        expected = np.exp(scores) / np.sum(np.exp(scores))
        np.testing.assert_allclose(maps[b, head, query], [*expected, *[0.0] * (2 - query)], rtol=1e-4, atol=1e-7)
    mask = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]], bool)[None, None]
    np.testing.assert_array_equal(np.asarray(attention_maps(q, k, mask))[:, :, [0, 1, 2], [1, 0, 1]], 0.0)


def test_maps_of_bfloat16_are_computed_in_float32():
    q, k = (normal(1, 4, 2, 8).astype(jax.numpy.bfloat16) for _ in range(2))
    expected = attention_maps(q.astype(np.float32), k.astype(np.float32), None)
    np.testing.assert_allclose(attention_maps(q, k, None), expected, rtol=1e-6)
