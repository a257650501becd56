"""The definitions of the test vectors: identities that hold whatever they compute, and numbers by hand."""

import numpy as np

from conformance import definitions as d

STUDENT, TEACHER = np.random.default_rng(0).normal(size=(2, 4, 5)) * 2
LABELS = np.array([0, 3, 1, 1])


def test_kd_by_hand():
    # p = (3/4, 1/4), q = (1/2, 1/2): 3/4 ln 3/2 + 1/4 ln 1/2, times t^2 = 4 for logits twice as large.
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(d.kd(np.zeros((1, 2)), 2 * np.log([[3.0, 1.0]]), t=2.0), 4 * expected)


def test_the_three_averages_of_equal_teachers_are_kd():
    for average in ('probabilities', 'logits', 'losses'):
        found = d.ensemble_targets(STUDENT, np.stack([TEACHER] * 3), 2.0, average)
        np.testing.assert_allclose(found, d.kd(STUDENT, TEACHER, 2.0))


def test_dkd_is_kd_if_the_rest_weighs_what_is_left():
    rows = zip(STUDENT, TEACHER, LABELS, strict=True)
    parts = [d.dkd(z[None], v[None], [label], 1.0, 1.0, 1 - np.exp(d.log_softmax(v)[label])) for z, v, label in rows]
    np.testing.assert_allclose(np.mean(parts), d.kd(STUDENT, TEACHER, 1.0))


def test_divergences_at_their_ends():
    forward, reverse = d.kd(STUDENT, TEACHER, 1.0), d.reverse_kl(STUDENT, TEACHER, 1.0)
    np.testing.assert_allclose(d.jsd(STUDENT, TEACHER, 1e-6) / 1e-6, forward, rtol=1e-4)
    np.testing.assert_allclose(d.jsd(STUDENT, TEACHER, 1 - 1e-6) / 1e-6, reverse, rtol=1e-4)
    np.testing.assert_allclose(d.skew_kl(STUDENT, TEACHER, 0.0, 'forward'), forward)
    np.testing.assert_allclose(d.skew_kl(STUDENT, TEACHER, 0.0, 'reverse'), reverse)
    np.testing.assert_allclose(d.top_k_with_tail(STUDENT, TEACHER, 5, 3.0), d.kd(STUDENT, TEACHER, 3.0))


def test_relations_do_not_see_rotations_and_scales_that_they_leave_out():
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    np.testing.assert_allclose(d.similarity_preserving(STUDENT, 3 * STUDENT @ rotation), 0.0, atol=1e-12)
    np.testing.assert_allclose(d.rkd_distance(STUDENT, 3 * STUDENT @ rotation + 1, 'paper'), 0.0, atol=1e-12)
    np.testing.assert_allclose(d.dist(STUDENT, STUDENT + 3, 2.0, 'code'), 0.0, atol=1e-12)
    standard = d.logit_standardisation(STUDENT, 3 * STUDENT + 1, 2.0, 'population')
    np.testing.assert_allclose(standard, 0.0, atol=1e-12)


def test_a_language_model_loss_by_hand():
    # Two tokens; position 0 gives token 1 the probability 3/4, position 1 gives token 0 the probability 1/2.
    logits = np.log(np.array([[[1.0, 3.0], [1.0, 1.0], [5.0, 1.0]]]))
    tokens, mask = np.array([[0, 1, 0]]), np.array([[0, 1, 1]])
    expected = (np.log(4 / 3) + np.log(2)) / 2
    np.testing.assert_allclose(d.shift_and_mask(logits, logits, tokens, mask, 1.0, 'labels'), expected)
    # A second part with one target of probability 1/4: the sum over the number of all three.
    parts = [np.stack([array, array]) for array in (logits, tokens, mask)]
    parts[1][1], parts[2][1] = [[0, 0, 0]], [[0, 1, 0]]
    np.testing.assert_allclose(d.global_normalisation(*parts), (2 * expected + np.log(4)) / 3)


def test_positions_by_hand():
    mask, segments = [[0, 1, 1, 1]], [[1, 1, 2, 0]]
    np.testing.assert_array_equal(d.position_ids(mask, segments, 'padded'), [[0, 0, 1, 2]])
    np.testing.assert_array_equal(d.position_ids(mask, segments, 'packed'), [[0, 1, 0, 0]])


def test_the_triple_loss_of_a_student_that_equals_its_teacher_is_that_of_the_words():
    logits, hidden = np.log(np.array([[[3.0, 1.0], [1.0, 1.0]]])), np.ones((1, 2, 3))
    one = np.array([[1, 0]])
    found = d.distilbert(logits, logits, np.zeros((1, 2), int), one, one, hidden, 2 * hidden)
    np.testing.assert_allclose(found, 2 * np.log(4 / 3))
