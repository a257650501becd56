import numpy as np
import pytest

from kd_jax.analyses import class_similarity
from kd_jax.config.errors import UserError

LABELS = {'test': np.array([0, 0, 1, 2])}
PROBABILITIES = np.array([[0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]])


def test_rows_are_mean_predictions_renormalised_off_the_diagonal():
    logits = {'test': np.log(PROBABILITIES)}
    result = class_similarity(logits, logits, LABELS, t=1.0)
    # Class 0: means 0.2 and 0.1, with sum 0.3. Class 1: 0.1 and 0.3, with sum 0.4.
    expected = [[0, 2 / 3, 1 / 3], [1 / 4, 0, 3 / 4], [1 / 2, 1 / 2, 0]]
    np.testing.assert_allclose(result['teacher'], expected)
    np.testing.assert_allclose(result['student'], expected)


def test_both_are_softened():
    # At T = 2 probabilities proportional to p^2 become p.
    logits = {'test': 2 * np.log(PROBABILITIES)}
    np.testing.assert_allclose(
        class_similarity(logits, logits, LABELS, t=2.0)['student'],
        class_similarity({'test': np.log(PROBABILITIES)}, logits, LABELS, t=1.0)['teacher'],
    )


def test_a_student_equal_up_to_a_shift_of_logits_agrees_fully():
    rng = np.random.default_rng(0)
    teacher, labels = rng.normal(size=(40, 5)), {'test': np.arange(40) % 5}
    student = teacher + rng.normal(size=(40, 1))
    result = class_similarity({'test': teacher}, {'test': student}, labels)
    assert result['correlation'] == pytest.approx(1.0)
    assert result['runner_up_agreement'] == 1.0


def test_opposite_similarities_correlate_by_minus_one():
    # With three classes, swapping the two wrong ones turns every entry x of a row into 1 - x.
    swapped = PROBABILITIES[:, [0, 2, 1]].copy()
    swapped[2] = PROBABILITIES[2, [2, 1, 0]]
    swapped[3] = PROBABILITIES[3, [1, 0, 2]]
    result = class_similarity({'test': np.log(PROBABILITIES)}, {'test': np.log(swapped)}, LABELS, t=1.0)
    np.testing.assert_allclose(np.array(result['teacher']) + result['student'], 1 - np.eye(3), atol=1e-12)
    assert result['correlation'] == pytest.approx(-1.0)


def test_the_runner_up_is_the_most_probable_wrong_class():
    teacher = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    student = np.array([[3.0, 1.0, 2.0], [2.0, 3.0, 1.0], [1.0, 2.0, 3.0]])
    # Most probable wrong classes: teacher 1, 1, 2; student 2, 1, 2. The student is wrong about the second image.
    labels = {'test': np.array([0, 0, 1])}
    result = class_similarity({'test': teacher}, {'test': student}, labels)
    assert result['runner_up_agreement'] == pytest.approx(2 / 3)


def test_a_class_without_examples_has_a_row_of_zeros_and_does_not_count():
    labels = {'test': LABELS['test'][:3]}
    even = np.eye(3)[labels['test']]
    result = class_similarity({'test': np.log(PROBABILITIES[:3])}, {'test': even}, labels)
    assert result['teacher'][2] == result['student'][2] == [0.0, 0.0, 0.0]
    # For the classes with examples, the wrong classes are equally probable in the student.
    np.testing.assert_allclose(result['student'][:2], [[0, 0.5, 0.5], [0.5, 0, 0.5]])
    assert result['correlation'] is None


@pytest.mark.parametrize('classes', range(3, 12))
def test_a_teacher_that_knows_no_class_is_constant_up_to_rounding(classes):
    labels = {'test': np.arange(4 * classes) % classes}
    some = np.random.default_rng(0).normal(size=(4 * classes, classes))
    for value in (0.0, 0.3):
        even = {'test': np.full(some.shape, value)}
        result = class_similarity(even, {'test': some}, labels)
        np.testing.assert_allclose(result['teacher'], (1 - np.eye(classes)) / (classes - 1), rtol=1e-12)
        assert result['correlation'] is None
        assert class_similarity({'test': some}, even, labels)['correlation'] is None
    # A small difference between the classes is no rounding error.
    slight = {'test': 1e-9 * some}
    assert class_similarity(slight, slight, labels)['correlation'] == pytest.approx(1.0)


def test_two_classes_leave_the_correlation_undefined():
    logits = {'test': np.array([[1.0, 0.0], [0.0, 1.0]])}
    assert class_similarity(logits, logits, {'test': np.array([0, 1])})['correlation'] is None


def test_models_of_different_classes_are_refused():
    with pytest.raises(UserError, match='shape'):
        class_similarity({'test': np.zeros((2, 3))}, {'test': np.zeros((2, 4))}, {'test': np.array([0, 1])})


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(UserError, match='t is 0'):
        class_similarity({'test': np.eye(2)}, {'test': np.eye(2)}, {'test': np.array([0, 1])}, t=0.0)
