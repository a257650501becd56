"""Losses on logits: hand-computed numbers, identities and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads
from scipy.special import entr, log_softmax, softmax

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.core.term_values import loss_values, sum_and_count
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.losses.small_arrays import log, random_logits

kd = jax.jit(losses.kd, static_argnames='average')
grad_of_kd = jax.jit(jax.value_and_grad(losses.kd))
cross_entropy = jax.jit(losses.cross_entropy)
STUDENT = np.array([2.0, -1.0, 0.5], np.float32)
TEACHER = np.array([0.0, 3.0, -2.0], np.float32)


def test_kd_is_the_divergence_from_teacher_to_student_times_t_squared():
    # Teacher (3/4, 1/4), student (1/2, 1/2): KL(teacher || student) = 0.75 ln 1.5 + 0.25 ln 0.5 = 0.130812;
    # with the arguments swapped it would be 0.5 ln(2/3) + 0.5 ln 2 = 0.143841.
    student, teacher = np.zeros(2, np.float32), log(3.0, 1.0)
    np.testing.assert_allclose(kd(student, teacher), 0.130812, atol=1e-6)
    np.testing.assert_allclose(kd(teacher, student), 0.143841, atol=1e-6)
    # Logits twice as large at twice the temperature soften to the same distributions.
    np.testing.assert_allclose(kd(2 * student, 2 * teacher, t=2.0), 4 * 0.130812, atol=4e-6)


def test_kd_sums_over_classes_and_keeps_the_examples_apart():
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    p, q = softmax(teacher, axis=-1), softmax(student, axis=-1)
    np.testing.assert_allclose(kd(student, teacher), np.sum(p * np.log(p / q), axis=-1), rtol=1e-5)


@pytest.mark.parametrize('t', [0.5, 1.0, 4.0, 20.0])
def test_kd_is_zero_for_logits_that_differ_by_a_constant_at_any_temperature(t):
    student = random_logits(6, 10)
    np.testing.assert_allclose(kd(student, student + 3.0, t=t), 0.0, atol=2e-6 * t**2)


def test_kd_tends_to_the_distance_of_centred_logits_over_twice_the_number_of_classes():
    centred = (STUDENT - STUDENT.mean()) - (TEACHER - TEACHER.mean())
    with jax.enable_x64(True):
        loss = kd(STUDENT.astype(np.float64), TEACHER.astype(np.float64), t=1e4)
    np.testing.assert_allclose(loss, np.sum(centred**2) / (2 * 3), rtol=1e-3)


@pytest.mark.parametrize('t', [1.0, 2.5, 20.0])
def test_the_gradient_of_kd_is_t_times_the_difference_of_the_softened_distributions(t):
    _, grad = grad_of_kd(STUDENT, TEACHER, t=t)
    np.testing.assert_allclose(grad, t * (softmax(STUDENT / t) - softmax(TEACHER / t)), atol=2e-6 * t)


def test_cross_entropy_with_soft_targets_differs_from_kd_by_the_teachers_entropy_alone():
    p = softmax(TEACHER / 4.0)
    soft = -np.sum(p * log_softmax(STUDENT / 4.0))
    np.testing.assert_allclose(kd(STUDENT, TEACHER, t=4.0), 16 * (soft - entr(p).sum()), rtol=1e-5)


@pytest.mark.parametrize('size', [1e2, 1e4, 1e30])
def test_kd_and_its_gradient_are_finite_at_extreme_logits(size):
    student = np.array([size, -size, 0.0], np.float32)
    loss, grad = grad_of_kd(student, -student, t=1.0)
    # The teacher is sure of class 1, whose logit in the student is 2 * size below the largest.
    np.testing.assert_allclose(loss, 2 * size, rtol=1e-6)
    np.testing.assert_allclose(grad, [1.0, -1.0, 0.0], atol=1e-6)


def test_a_class_that_the_teacher_rules_out_adds_nothing():
    out = np.array([1.0, -np.inf, 0.0], np.float32)
    loss, grad = grad_of_kd(np.zeros(3, np.float32), out, t=1.0)
    p = np.array([np.e, 0.0, 1.0]) / (np.e + 1.0)
    np.testing.assert_allclose(loss, p[0] * np.log(3 * p[0]) + p[2] * np.log(3 * p[2]), rtol=1e-6)
    np.testing.assert_allclose(grad, 1 / 3 - p, atol=1e-6)
    np.testing.assert_allclose(kd(out, out, t=1.0), 0.0, atol=1e-6)


@pytest.mark.parametrize('t', [1.0, 20.0])
def test_bfloat16_logits_lose_nothing_more_in_the_loss(t):
    student, teacher = (random_logits(8, 10, seed=s).astype(jnp.bfloat16) for s in (0, 1))
    exact = kd(student.astype(np.float32), teacher.astype(np.float32), t=t)
    np.testing.assert_allclose(kd(student, teacher, t=t), exact, rtol=1e-6)
    labels = np.arange(8)
    np.testing.assert_allclose(
        cross_entropy(student, labels), cross_entropy(student.astype(np.float32), labels), rtol=1e-6
    )


def test_three_ways_to_average_two_teachers_by_hand():
    # Teachers (0.8, 0.2) and (0.2, 0.8) against a student (0.6, 0.4).
    teachers, student = log([0.8, 0.2], [0.2, 0.8]), log(0.6, 0.4)
    # The arithmetic and the geometric mean are both (0.5, 0.5); they differ in the next test.
    even = 0.5 * np.log(0.5 / 0.6) + 0.5 * np.log(0.5 / 0.4)
    np.testing.assert_allclose(kd(student, teachers, average='probabilities'), even, rtol=1e-5)
    np.testing.assert_allclose(kd(student, teachers, average='logits'), even, rtol=1e-5)
    first = 0.8 * np.log(0.8 / 0.6) + 0.2 * np.log(0.2 / 0.4)
    second = 0.2 * np.log(0.2 / 0.6) + 0.8 * np.log(0.8 / 0.4)
    np.testing.assert_allclose(kd(student, teachers, average='losses'), (first + second) / 2, rtol=1e-5)


def test_the_mean_of_logits_is_the_geometric_mean_of_the_distributions():
    # (0.9, 0.1) and (0.5, 0.5): arithmetic mean (0.7, 0.3); geometric mean 3 to 1, (0.75, 0.25).
    teachers = log([0.9, 0.1], [0.5, 0.5])
    for average, p in (('probabilities', 0.7), ('logits', 0.75)):
        loss = kd(np.zeros(2, np.float32), teachers, average=average)
        np.testing.assert_allclose(loss, p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)), rtol=1e-5)


def test_teachers_are_averaged_after_softening():
    # exp(z / 2) is (3, 1) and (1, 1): 0.75 and 0.5, mean 0.625. Averaged at T=1: (0.9 + 0.5) / 2 = 0.7.
    teachers, p = 2 * log([3.0, 1.0], [1.0, 1.0]), 0.625
    expected = 4 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)))
    np.testing.assert_allclose(kd(np.zeros(2, np.float32), teachers, t=2.0), expected, rtol=1e-5)


@pytest.mark.parametrize('average', ['probabilities', 'logits', 'losses'])
def test_no_average_grows_with_the_number_of_teachers(average):
    student, teachers = random_logits(4, 5), random_logits(2, 4, 5, seed=1)
    twice = np.concatenate([teachers, teachers])
    once = kd(student, teachers, t=3.0, average=average)
    np.testing.assert_allclose(kd(student, twice, t=3.0, average=average), once, rtol=1e-4)
    alone = kd(student, teachers[:1], t=3.0, average=average)
    np.testing.assert_allclose(alone, kd(student, teachers[0], t=3.0), rtol=1e-5)


def test_averaging_losses_has_the_gradient_of_averaging_probabilities():
    student, teachers = random_logits(4, 5), random_logits(3, 4, 5, seed=1)

    def gradient(average):
        return jax.jit(jax.grad(lambda s: jnp.sum(losses.kd(s, teachers, t=2.0, average=average))))(student)

    np.testing.assert_allclose(gradient('losses'), gradient('probabilities'), atol=1e-5)
    assert np.max(np.abs(gradient('logits') - gradient('probabilities'))) > 0.01


def test_a_teacher_of_another_number_of_classes_is_refused():
    with pytest.raises(UserError, match='student has 3 classes and the teacher 4'):
        kd(np.zeros((2, 3)), np.zeros((2, 4)))


def test_stacked_students_share_one_teacher():
    students, teacher = random_logits(3, 4, 5), random_logits(4, 5, seed=1)
    each = np.stack([kd(student, teacher, t=2.0) for student in students])
    np.testing.assert_allclose(kd(students, teacher, t=2.0), each, rtol=1e-5)


def test_cross_entropy_is_that_of_optax():
    logits, labels = random_logits(6, 10), np.array([0, 9, 3, 3, 5, 1])
    expected = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-5)


def test_label_smoothing_is_distillation_from_a_virtual_teacher():
    # The teacher gives 1 - e + e/C to the label and e/C to each other class; the losses differ by its entropy alone.
    logits, labels, share = random_logits(5, 4), np.array([0, 1, 2, 3, 1]), 0.2
    p = (1 - share) * np.eye(4, dtype=np.float32)[labels] + share / 4
    expected = kd(logits, np.log(p)) + entr(p).sum(axis=-1)
    np.testing.assert_allclose(cross_entropy(logits, labels, label_smoothing=share), expected, rtol=1e-5)


def test_labels_are_shared_by_stacked_copies():
    logits, labels = random_logits(3, 4, 5), np.array([0, 4, 2, 2])
    each = np.stack([cross_entropy(copy, labels) for copy in logits])
    np.testing.assert_allclose(cross_entropy(logits, labels), each, rtol=1e-6)


def test_mse_is_the_mean_over_the_last_axis():
    # ((2 - 0)^2 + (-1 - 3)^2 + (0.5 + 2)^2) / 3
    np.testing.assert_allclose(losses.mse(STUDENT[None], TEACHER[None]), [(4 + 16 + 6.25) / 3], rtol=1e-6)


@pytest.mark.parametrize('average', ['probabilities', 'logits', 'losses'])
def test_the_gradients_of_kd_are_those_of_finite_differences(average):
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        student, teachers = rng.normal(size=(2, 4)), rng.normal(size=(3, 2, 4))
        check_grads(lambda s, v: kd(s, v, t=2.0, average=average), (student, teachers), order=1, modes='rev')


def test_the_gradient_of_cross_entropy_is_that_of_finite_differences():
    with jax.enable_x64(True):
        logits, labels = np.random.default_rng(4).normal(size=(3, 4)), np.array([0, 3, 1])
        check_grads(lambda z: cross_entropy(z, labels, label_smoothing=0.3), (logits,), order=1, modes='rev')


def test_cross_entropy_to_a_distribution_is_the_mean_over_it_of_cross_entropy_to_labels():
    # logits ln 2, ln 1, ln 1: probabilities 1/2, 1/4, 1/4. 0.75 ln 2 + 0.25 ln 4 = 1.25 ln 2.
    logits, target = log(2, 1, 1)[None], np.array([[0.75, 0.0, 0.25]], np.float32)
    np.testing.assert_allclose(cross_entropy(logits, target), 1.25 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(
        cross_entropy(logits, target, label_smoothing=0.1),
        0.75 * cross_entropy(logits, np.array([0]), label_smoothing=0.1)
        + 0.25 * cross_entropy(logits, np.array([2]), label_smoothing=0.1),
        rtol=1e-6,
    )


def test_one_hot_targets_are_labels_for_every_stacked_copy():
    logits, labels = random_logits(3, 5, 4), np.array([0, 3, 1, 1, 2])
    one_hot = np.eye(4, dtype=np.float32)[labels]
    np.testing.assert_allclose(cross_entropy(logits, one_hot), cross_entropy(logits, labels), rtol=1e-6)


def test_targets_over_other_classes_are_refused():
    with pytest.raises(UserError, match='the labels are distributions of shape'):
        losses.cross_entropy(random_logits(4, 3), np.ones((4, 1), np.float32))
    # Numbers of classes as floats, of as many examples as there are classes, are no distribution for all examples.
    with pytest.raises(UserError, match='need one distribution for each example'):
        losses.cross_entropy(random_logits(3, 3), np.array([0.0, 2.0, 1.0], np.float32))


def test_standardised_kd_ignores_scale_and_shift_of_the_logits():
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    loss = jax.jit(losses.kd, static_argnames='standardise')
    once = loss(student, teacher, t=2.0, standardise=True)
    np.testing.assert_allclose(loss(3 * student + 1, 0.1 * teacher, t=2.0, standardise=True), once, rtol=1e-4)
    np.testing.assert_allclose(loss(5 * teacher + 2, teacher, t=2.0, standardise=True), 0.0, atol=1e-5)


def test_standardised_logits_of_the_code_are_those_of_the_paper_a_little_warmer():
    # n - 1 in place of n: 5 classes, so z * sqrt(4 / 5), which is a temperature of sqrt(5 / 4) and its square 5 / 4.
    student, teacher = random_logits(6, 5), random_logits(6, 5, seed=1)
    ours = losses.kd(student, teacher, t=2.0 * 1.25**0.5, standardise=True) / 1.25
    np.testing.assert_allclose(losses.kd(student, teacher, t=2.0, standardise='code'), ours, rtol=1e-5)


def test_hard_kd_is_cross_entropy_to_the_teachers_choice():
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    expected = -log_softmax(student, axis=-1)[np.arange(4), teacher.argmax(-1)]
    np.testing.assert_allclose(losses.hard_kd(student, teacher), expected, rtol=1e-5)
    # Two of three teachers slightly prefer class 0 and the third is sure of class 1: the mean prefers class 1.
    teachers = log([0.51, 0.49], [0.51, 0.49], [0.01, 0.99])
    np.testing.assert_allclose(losses.hard_kd(log(0.25, 0.75), teachers), -np.log(0.75), rtol=1e-5)


def test_teacher_free_at_temperature_1_is_label_smoothing():
    logits, labels, correct, classes = random_logits(5, 4), np.array([0, 1, 2, 3, 1]), 0.9, 4
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
    student, teachers = random_logits(4, 5), random_logits(3, 4, 5, seed=1)
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


def test_class_weights_multiply_each_class_of_the_target():
    logits, labels, weights = random_logits(5, 3), np.array([0, 2, 1, 2, 0]), (0.5, 2.0, 3.0)
    plain = losses.cross_entropy(logits, labels)
    weighted = losses.cross_entropy(logits, labels, class_weights=weights)
    np.testing.assert_allclose(weighted, np.array(weights)[labels] * plain, rtol=1e-6)
    # PyTorch's smoothed and weighted loss of one example: -(1 - e) w_y ln q_y - e / C sum_c w_c ln q_c.
    log_q = log_softmax(logits, axis=-1)
    smooth = -0.9 * np.array(weights)[labels] * log_q[np.arange(5), labels] - 0.1 / 3 * log_q @ np.array(weights)
    found = losses.cross_entropy(logits, labels, label_smoothing=0.1, class_weights=weights)
    np.testing.assert_allclose(found, smooth, rtol=1e-5)
    one_hot = np.eye(3, dtype=np.float32)[labels]
    np.testing.assert_allclose(losses.cross_entropy(logits, one_hot, class_weights=weights), weighted, rtol=1e-5)


def test_the_weights_of_examples_as_a_mask_give_the_weighted_mean_of_pytorch():
    logits, labels, weights = random_logits(5, 3), np.array([0, 2, 1, 2, 0]), np.array([0.5, 2.0, 3.0], np.float32)
    networks, terms = {'net': {'model': 'mlp', 'num_classes': 3}}, {'hard': {
        'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label', 'mask': 'batch.weight',
    }}  # fmt: skip
    recipe = parse_recipe({'networks': networks, 'terms': terms, 'optimizer': {'learning_rate': 0.1}})
    context = {'net': {'logits': logits}, 'batch': {'label': labels, 'weight': weights[labels]}}
    term = recipe.terms[0]
    each = loss_values(term, recipe, context, {'label_smoothing': 0.0, 'weight': 1.0})
    total, count = sum_and_count(term, recipe, context, each)
    np.testing.assert_allclose(total / count, np.sum(weights[labels] * each) / np.sum(weights[labels]), rtol=1e-6)
