"""Losses on logits other than kd: hand-computed numbers, identities and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from scipy.stats import kendalltau, pearsonr

from kd_jax import losses
from kd_jax.arrays.numerics import standardised
from kd_jax.config.errors import UserError


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape, scale=2.0).astype(np.float32)


def log(*probabilities):
    return np.log(np.array(probabilities, np.float32))


def test_dkd_by_hand():
    # Label 0. Teacher (1/2, 1/4, 1/4), student (1/4, 1/4, 1/2): TCKD of (1/2, 1/2) from (1/4, 3/4), NCKD of
    # (1/2, 1/2) from (1/3, 2/3).
    student, teacher = log(0.25, 0.25, 0.5), log(0.5, 0.25, 0.25)
    tckd = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    nckd = 0.5 * np.log(0.5 * 3) + 0.5 * np.log(0.5 * 3 / 2)
    np.testing.assert_allclose(losses.dkd(student, teacher, 0, t=1.0, alpha=1.0, beta=0.0), tckd, rtol=1e-5)
    np.testing.assert_allclose(losses.dkd(student, teacher, 0, t=1.0, alpha=0.0, beta=1.0), nckd, rtol=1e-5)


@pytest.mark.parametrize('t', [1.0, 4.0])
def test_kd_is_tckd_and_what_the_teacher_leaves_to_the_others_of_nckd(t):
    student, teacher, labels = random(6, 5), random(6, 5, seed=1), np.arange(6) % 5
    tckd = losses.dkd(student, teacher, labels, t=t, alpha=1.0, beta=0.0)
    nckd = losses.dkd(student, teacher, labels, t=t, alpha=0.0, beta=1.0)
    p = softmax(teacher / t, axis=-1)[np.arange(6), labels]
    np.testing.assert_allclose(losses.kd(student, teacher, t=t), tckd + (1 - p) * nckd, rtol=1e-4)


def test_what_the_teacher_knows_of_the_others_survives_a_gap_of_logits_of_1000():
    # Subtracting 1000 would not hide this logit. Other classes: (3/4, 1/4) in the teacher, (1/2, 1/2) in the student.
    teacher = np.array([1000.0, np.log(3.0), 0.0], np.float32)
    nckd = losses.dkd(np.zeros(3, np.float32), teacher, 0, t=1.0, alpha=0.0, beta=1.0)
    np.testing.assert_allclose(nckd, 0.130812, atol=1e-5)


def test_a_class_that_the_teacher_rules_out_adds_nothing_to_dkd():
    teacher = np.array([0.0, 0.0, -np.inf], np.float32)
    value, grad = jax.value_and_grad(losses.dkd)(np.zeros(3, np.float32), teacher, 0, t=1.0, beta=1.0)
    # TCKD of (1/2, 1/2) from (1/3, 2/3) and NCKD of (1, 0) from (1/2, 1/2).
    np.testing.assert_allclose(value, 0.5 * np.log(1.5) + 0.5 * np.log(0.75) + np.log(2), rtol=1e-5)
    assert np.all(np.isfinite(grad))


def test_standardised_logits_have_mean_0_and_deviation_1_and_constants_become_0():
    z = np.asarray(standardised(random(4, 7)))
    np.testing.assert_allclose(z.mean(-1), 0.0, atol=1e-6)
    np.testing.assert_allclose(z.std(-1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(standardised(np.full(3, 5.0, np.float32)), 0.0)
    # (0, 1, 2): variance 2/3.
    np.testing.assert_allclose(standardised(np.array([0.0, 1.0, 2.0])), [-(1.5**0.5), 0.0, 1.5**0.5], rtol=1e-6)


def test_standardised_kd_sees_relations_alone():
    student, teacher = random(4, 5), random(4, 5, seed=1)
    loss = jax.jit(losses.kd, static_argnames='standardise')
    once = loss(student, teacher, t=2.0, standardise=True)
    np.testing.assert_allclose(loss(3 * student + 1, 0.1 * teacher, t=2.0, standardise=True), once, rtol=1e-4)
    np.testing.assert_allclose(loss(5 * teacher + 2, teacher, t=2.0, standardise=True), 0.0, atol=1e-5)


def test_dist_is_one_minus_the_correlations_of_rows_and_of_columns():
    student, teacher = random(6, 4), random(6, 4, seed=1)
    q, p = (softmax(z / 2.0, axis=-1) for z in (student, teacher))
    rows = np.mean([1 - pearsonr(a, b)[0] for a, b in zip(q, p, strict=True)])
    columns = np.mean([1 - pearsonr(a, b)[0] for a, b in zip(q.T, p.T, strict=True)])
    paper = losses.dist(student, teacher, t=2.0, inter=2.0, intra=3.0, form='paper')
    np.testing.assert_allclose(paper, 2 * rows + 3 * columns, rtol=1e-4)
    code = losses.dist(student, teacher, t=2.0, inter=2.0, intra=3.0)
    np.testing.assert_allclose(code, 4 * paper, rtol=1e-6)


def test_a_step_down_dist_pulls_rows_and_columns_together():
    student, teacher = random(6, 4), random(6, 4, seed=1)
    for weights in ({'inter': 1.0, 'intra': 0.0}, {'inter': 0.0, 'intra': 1.0}):
        value, grad = jax.value_and_grad(losses.dist)(student, teacher, **weights)
        assert losses.dist(student - 0.1 * grad, teacher, **weights) < value


def test_mlld_by_hand():
    # Student (1/2, 1/2) and (1/2, 1/2), teacher (1, 0) and (0, 1), at one temperature.
    student, teacher = np.zeros((2, 2), np.float32), np.array([[40.0, 0.0], [0.0, 40.0]], np.float32)
    parts = {'instance': 0.0, 'batch': 0.0, 'classes': 0.0}
    # Q Q^T and Q^T Q are 1/2 everywhere; P P^T and P^T P the identity: 4 * (1/2)^2 / 2.
    for part, expected in (('instance', np.log(2)), ('batch', 0.5), ('classes', 0.5)):
        loss = losses.mlld(student, teacher, temperatures=(1.0,), **{**parts, part: 1.0})
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_mlld_sums_over_temperatures():
    student, teacher = random(4, 3), random(4, 3, seed=1)
    each = [losses.mlld(student, teacher, temperatures=(t,)) for t in (2.0, 5.0)]
    np.testing.assert_allclose(losses.mlld(student, teacher, temperatures=(2.0, 5.0)), sum(each), rtol=1e-5)


def test_the_limit_of_kendall_is_kendalls_tau():
    student, teacher = random(3, 6), random(3, 6, seed=1)
    expected = [1 - kendalltau(a, b)[0] for a, b in zip(student, teacher, strict=True)]
    np.testing.assert_allclose(losses.kendall(student, teacher, steepness=1e4), expected, atol=1e-5)


def test_kendall_by_hand():
    # One pair, differences 1 and -2.
    loss = losses.kendall(np.array([1.0, 0.0]), np.array([0.0, 2.0]), steepness=0.5)
    np.testing.assert_allclose(loss, 1 + np.tanh(0.5) * np.tanh(1.0), rtol=1e-5)


def test_hard_kd_is_cross_entropy_to_the_teachers_choice():
    student, teacher = random(4, 5), random(4, 5, seed=1)
    expected = -log_softmax(student, axis=-1)[np.arange(4), teacher.argmax(-1)]
    np.testing.assert_allclose(losses.hard_kd(student, teacher), expected, rtol=1e-5)
    # Two of three teachers slightly prefer class 0 and the third is sure of class 1: the mean prefers class 1.
    teachers = log([0.51, 0.49], [0.51, 0.49], [0.01, 0.99])
    np.testing.assert_allclose(losses.hard_kd(log(0.25, 0.75), teachers), -np.log(0.75), rtol=1e-5)


def test_teacher_free_at_temperature_1_is_label_smoothing():
    logits, labels, correct, classes = random(5, 4), np.array([0, 1, 2, 3, 1]), 0.9, 4
    smoothing = (1 - correct) * classes / (classes - 1)
    smoothed = losses.cross_entropy(logits, labels, label_smoothing=smoothing)
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1 / 3))
    np.testing.assert_allclose(
        losses.teacher_free(logits, labels, correct=correct, t=1.0), smoothed - entropy, rtol=1e-4
    )


def test_the_virtual_teacher_is_softened_as_a_teacher_is():
    # Two classes with correct = 0.8: odds of 4 to 1, which t = 2 softens to 2 to 1.
    expected = 4 * (2 / 3 * np.log(2 / 3 * 2) + 1 / 3 * np.log(1 / 3 * 2))
    np.testing.assert_allclose(losses.teacher_free(np.zeros(2, np.float32), 0, correct=0.8, t=2.0), expected, rtol=1e-5)


@pytest.mark.parametrize('average', ['probabilities', 'logits', 'losses'])
def test_shares_that_are_alike_are_the_plain_average_and_one_share_is_one_teacher(average):
    student, teachers = random(4, 5), random(3, 4, 5, seed=1)
    plain = losses.kd(student, teachers, t=2.0, average=average)
    alike = losses.kd(student, teachers, t=2.0, average=average, shares=(7.0, 7.0, 7.0))
    np.testing.assert_allclose(alike, plain, rtol=1e-4)
    second = losses.kd(student, teachers, t=2.0, average=average, shares=(0.0, 1.0, 0.0))
    np.testing.assert_allclose(second, losses.kd(student, teachers[1], t=2.0), rtol=1e-4)


def test_shares_by_hand():
    # (3 * (0.9, 0.1) + (0.5, 0.5)) / 4 = (0.8, 0.2) against (1/2, 1/2).
    teachers = log([0.9, 0.1], [0.5, 0.5])
    expected = 0.8 * np.log(1.6) + 0.2 * np.log(0.4)
    np.testing.assert_allclose(losses.kd(np.zeros(2, np.float32), teachers, shares=(3.0, 1.0)), expected, rtol=1e-4)


def test_gated_weights_are_each_examples_own():
    student, teachers = random(2, 5), random(2, 2, 5, seed=1)
    loss = losses.gated_kd(student, teachers, np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))
    expected = [losses.kd(student[0], teachers[0, 0]), losses.kd(student[1], teachers[1, 1])]
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_a_teacher_that_is_wrong_about_the_label_counts_for_less():
    # Probabilities of the label 3/4 and 1/4: softmax of the cross-entropies is (1/4, 3/4), weights (3/4, 1/4).
    teachers, student = log([0.75, 0.25], [0.25, 0.75]), log(0.6, 0.4)
    each = [losses.kd(student, teacher) for teacher in teachers]
    expected = 0.75 * each[0] + 0.25 * each[1]
    np.testing.assert_allclose(losses.confident_kd(student, teachers, 0), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.confident_kd(student, teachers, 1), 0.25 * each[0] + 0.75 * each[1], rtol=1e-5)


def test_a_surer_teacher_counts_for_more_whatever_the_label():
    teachers, student = log([0.99, 0.01], [0.5, 0.5]), log(0.6, 0.4)
    entropies = np.array([-(0.99 * np.log(0.99) + 0.01 * np.log(0.01)), np.log(2)])
    weights = softmax(-entropies)
    each = np.array([losses.kd(student, teacher) for teacher in teachers])
    for label in (0, 1):
        np.testing.assert_allclose(
            losses.confident_kd(student, teachers, label, by='entropy'), weights @ each, rtol=1e-4
        )


def test_info_nce_knows_how_many_it_had_to_choose_from():
    # Orthonormal embeddings: log(1 + 3 e^(-1/t)). Equal embeddings: log 4.
    eye = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(losses.info_nce(eye, eye, t=0.5), np.log(1 + 3 * np.exp(-2.0)), rtol=1e-5)
    np.testing.assert_allclose(losses.info_nce(np.ones((4, 4)), np.ones((4, 4))), np.log(4), rtol=1e-5)


def test_crd_by_hand():
    # Partner at cosine 1 and one negative at cosine 0. The bank has 2, so N / M = 1/2: h = e^(s/t) / (e^(s/t) + 1/2).
    a, b = np.array([[1.0, 0.0]], np.float32), np.array([[[0.0, 1.0]]], np.float32)
    h_partner, h_other = expit(1 / 0.5 - np.log(0.5)), 1 / 1.5
    loss = losses.crd(a, a, b, t=0.5, examples=2, form='paper')
    np.testing.assert_allclose(loss, [-np.log(h_partner) - np.log(1 - h_other)], rtol=1e-5)


def test_crd_of_the_code_divides_by_the_mean_of_the_negatives_whatever_the_bank_holds():
    # Partner: e^2. Negatives: 1 and e^-2, with mean m. So x M = score / m, N = 2 and h = score / (score + 2 m).
    a, b = np.array([[1.0, 0.0]], np.float32), np.array([[[0.0, 1.0], [-1.0, 0.0]]], np.float32)
    m = (1 + np.exp(-2.0)) / 2
    told, first, second = (score / (score + 2 * m) for score in (np.exp(2.0), 1.0, np.exp(-2.0)))
    expected = -np.log(told) - np.log(1 - first) - np.log(1 - second)
    for examples in (3, 60_000):
        np.testing.assert_allclose(losses.crd(a, a, b, t=0.5, examples=examples), [expected], rtol=1e-5)
    # By hand, m constant: by its cos / t, -log h has the derivative -(1 - h), and -log(1 - h') the derivative h'.

    def turned(angle):
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)])[None]

    slope = jax.grad(lambda angle: losses.crd(turned(angle), a, b, t=0.5, examples=9)[0])(0.0)
    np.testing.assert_allclose(slope, 2 * first, rtol=1e-5)  # only this cosine changes at 0; 1 / t = 2


def test_crd_tells_a_partner_from_many_others_without_doubt():
    # None of 1,000 random negatives in 64 dimensions is near: the partner has h near 1; the negatives make the loss.
    others = np.random.default_rng(0).normal(size=(1, 1000, 64)).astype(np.float32)
    a = np.eye(64, dtype=np.float32)[:1]
    scores = np.exp((others / np.linalg.norm(others, axis=-1, keepdims=True))[0, :, 0].astype(np.float64) / 0.07)
    h = scores / (scores + 1000 * scores.mean())
    loss = losses.crd(a, a, others, examples=60_000)
    np.testing.assert_allclose(loss, -np.sum(np.log1p(-h)), atol=2e-2)


@pytest.mark.parametrize(
    ('loss', 'shapes', 'options', 'message'),
    [
        ('dkd', [(2, 3), (2, 4), (2,)], {}, 'student has 3 classes and the teacher 4'),
        ('dist', [(2, 3), (2, 4)], {}, 'student has 3 classes and the teacher 4'),
        ('mlld', [(2, 5, 3), (2, 5, 3)], {}, r'needs logits \[batch, num_classes\]'),
        ('kendall', [(2, 3), (2, 4)], {}, 'student has 3 classes and the teacher 4'),
        ('hard_kd', [(2, 3), (2, 4)], {}, 'student has 3 classes and the teacher 4'),
        ('kd', [(2, 3), (2, 2, 3)], {'shares': (1.0, 1.0, 1.0)}, 'needs one number for each of several teachers'),
        ('confident_kd', [(2, 3), (2, 3), (2,)], {}, 'needs several teachers'),
        ('gated_kd', [(2, 3), (2, 2, 3), (2, 3)], {}, 'there are 2 teachers, but 3 weights'),
        ('crd', [(2, 3), (2, 3), (2, 4)], {'examples': 9}, r'negatives have shape \[2, 4\]'),
        ('info_nce', [(2, 3), (2, 4)], {}, 'put a connector between them'),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_sentence(loss, shapes, options, message):
    with pytest.raises(UserError, match=message):
        getattr(losses, loss)(*[np.zeros(shape, np.float32) for shape in shapes], **options)


@pytest.mark.parametrize('loss', ['dist', 'kd'])
@pytest.mark.parametrize(('classes', 'value'), [(10, 0.0), (41, 0.3), (3, -7.7)])
def test_constant_logits_are_equal_not_noise_and_move_nothing(loss, classes, value):
    """As for a head initialised with zeros: the rounding error of x - mean(x) must not be scaled to size 1."""
    target = np.random.default_rng(1).normal(size=(8, classes)).astype(np.float32)
    options = {'standardise': True} if loss == 'kd' else {'t': 4.0}

    def total(student):
        return jnp.sum(getattr(losses, loss)(student, target, **options))

    gradient = jax.jit(jax.grad(total))(np.full((8, classes), value, np.float32))
    np.testing.assert_array_equal(gradient, 0.0)
