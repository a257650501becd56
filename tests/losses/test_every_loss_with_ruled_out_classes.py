"""A logit of -inf says that a class does not exist: losses are those of the other classes, values and gradients."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.models import top_k
from tests.losses.small_arrays import random_logits

BATCH, CLASSES = 6, 5
KEPT = np.array([0, 2, 3])
LABELS, AMONG_KEPT = np.array([0, 2, 3, 0, 2, 3]), np.array([0, 1, 2, 0, 1, 2])
# The kind of each positional argument: logits of a student or of a teacher, of several teachers, or labels.
CASES = {
    'class_wise': 'slc', 'codistillation': 'TT', 'confident_kd': 'sTc', 'confident_kd entropy': 'sTc',
    'cross_entropy': 'sc', 'cross_entropy smooth': 'sc', 'cross_entropy soft': 'sd', 'cross_entropy weighted': 'sc',
    'dkd': 'slc', 'dkd standardised': 'slc', 'gated_kd': 'sTw', 'gated_kd logits': 'sTw', 'hard_kd': 'sl', 'jsd': 'sl',
    'kd': 'sl', 'kd losses': 'sT', 'kd shares': 'sT', 'kd standardised': 'sl', 'kd standardised code': 'sl',
    'kdcl': 'sTc', 'kdcl naive': 'sTc', 'kendall': 'sl', 'progressive': 'slkc', 'progressive start': 'slkc',
    'reverse_kl': 'sl', 'reverse_skew_kl': 'sl', 'skew_kl': 'sl', 'skew_kl forward': 'sl', 'sorted_distance': 'sl',
    'teacher_free': 'sc', 'total_variation': 'sl',
}  # fmt: skip
OPTIONS = {
    'confident_kd entropy': {'by': 'entropy'}, 'cross_entropy smooth': {'label_smoothing': 0.2},
    'dkd standardised': {'standardise': True}, 'gated_kd logits': {'average': 'logits'},
    'kd losses': {'average': 'losses'}, 'kd shares': {'shares': (1.0, 0.0, 2.0), 'average': 'logits'},
    'kd standardised': {'standardise': True}, 'kd standardised code': {'standardise': 'code'},
    'kdcl naive': {'form': 'naive'}, 'progressive start': {'alpha': 0.0},
    'skew_kl forward': {'alpha': 0.0},
}  # fmt: skip


def arguments(name):
    """The arguments of a loss with all classes, with two of them ruled out, and with the other three alone."""
    rng, full, sliced = np.random.default_rng(0), [], []
    for place, kind in enumerate(CASES[name]):
        if kind in 'slT':
            shape = (3, BATCH, CLASSES) if kind == 'T' else (BATCH, CLASSES)
            logits = random_logits(*shape, seed=place)
            full.append(np.where(np.isin(np.arange(CLASSES), KEPT), logits, -np.inf).astype(np.float32))
            sliced.append(logits[..., KEPT])
        elif kind == 'd':
            shares = rng.dirichlet(np.ones(len(KEPT)), BATCH).astype(np.float32)
            full.append(np.zeros((BATCH, CLASSES), np.float32))
            full[-1][:, KEPT] = shares
            sliced.append(shares)
        else:
            weights = rng.dirichlet(np.ones(3), BATCH).astype(np.float32)
            both = {'c': (LABELS, AMONG_KEPT), 'w': (weights, weights), 'k': (np.arange(BATCH) % 2,) * 2}[kind]
            full.append(both[0])
            sliced.append(both[1])
    return full, sliced


def options(name, classes):
    weights = np.array([1.0, 5.0, 2.0, 0.5, 7.0])[classes]
    return {'class_weights': tuple(weights)} if name == 'cross_entropy weighted' else OPTIONS.get(name, {})


@pytest.mark.parametrize('name', CASES)
def test_ruled_out_classes_leave_the_loss_of_the_others_and_its_gradient(name):
    found = []
    for classes, args in zip((np.arange(CLASSES), KEPT), arguments(name), strict=True):
        loss = functools.partial(getattr(losses, name.split()[0]), **options(name, classes))

        def total(logits, loss=loss, args=args):
            out = loss(logits, *args[1:])
            return jnp.sum(out), out

        (_, out), grad = jax.value_and_grad(total, has_aux=True)(args[0])
        found.append((out, grad[..., KEPT] if len(classes) == CLASSES else grad))
        ruled_out = np.delete(grad, KEPT, axis=-1) if len(classes) == CLASSES else np.zeros(1)
        np.testing.assert_array_equal(ruled_out, 0.0)
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)
    assert np.mean(np.abs(found[0][0])) > 1e-2


@pytest.mark.parametrize('name', ['confident_kd', 'dkd', 'dkd standardised', 'kd', 'kd standardised', 'kendall'])
def test_a_teacher_alone_may_rule_out_classes(name):
    full, _ = arguments(name)
    student = random_logits(BATCH, CLASSES, seed=7)
    loss = functools.partial(getattr(losses, name.split()[0]), **options(name, slice(None)))
    assert np.all(np.isfinite(loss(student, *full[1:])))
    assert np.all(np.isfinite(jax.grad(lambda s: jnp.sum(loss(s, *full[1:])))(student)))


def finite_value_and_gradient(loss, logits):
    out, grad = jax.value_and_grad(lambda z: jnp.sum(loss(z)))(logits)
    assert np.isfinite(out)
    assert np.all(np.isfinite(grad))
    return loss(logits), grad


# 3 classes are kept, so targets of 4 or 5 classes name some that are ruled out.
@pytest.mark.parametrize('k', [1, 2, 3, 4, 5])
def test_the_largest_probabilities_are_those_of_the_classes_that_are_kept(k):
    full, sliced = (side[:2] for side in arguments('kd'))
    found = []
    for student, teacher in (full, sliced):
        targets = top_k(k=min(k, teacher.shape[-1]), t=2.0).apply({}, teacher)
        taken = [targets[name] for name in ('log_probs', 'classes', 't')]
        found.append(finite_value_and_gradient(lambda z, taken=taken: losses.kd_top_k(z, *taken), student))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0][1][:, KEPT], found[1][1], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.delete(found[0][1], KEPT, axis=-1), 0.0)


def test_a_ranking_is_that_of_the_classes_that_are_kept():
    student = arguments('kd')[0][0]
    # Classes 1 and 4 are ruled out. Drawn last, after all others, they have nothing left to compete with.
    ranked, kept = np.array([3, 0, 2, 4, 1]), np.array([3, 0, 2])
    found = [finite_value_and_gradient(lambda z, r=r: losses.rank_top_k(z, r), student) for r in (ranked, kept)]
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6)
    # A student that rules out a class which the teacher draws before others never gives this ranking.
    assert np.all(np.isposinf(losses.rank_top_k(student, np.array([3, 1, 0]))))


def test_independent_labels_may_be_ruled_out():
    logits, target = np.array([0.0, -np.inf], np.float32), np.array([1, 0])
    # The second label is surely not there, which is right: its cross-entropy is 0.
    np.testing.assert_allclose(losses.bce(logits, target, over_labels='sum'), np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(losses.bce_kd(logits, np.array([0.0, -np.inf], np.float32)), 0.0, atol=1e-7)
    assert np.all(np.isfinite(jax.grad(lambda z: losses.bce(z, target))(logits)))


def test_a_teacher_that_rules_out_the_label_has_no_weight():
    student, good = random_logits(1, 3), random_logits(1, 3, seed=1)
    bad = np.array([[-np.inf, 1.0, 0.0]], np.float32)
    loss = losses.confident_kd(student, np.stack([good, bad]), np.array([0]))
    np.testing.assert_allclose(loss, losses.kd(student, good), rtol=1e-5)


# Positional parameters whose last axis is that of the classes.
OF_CLASSES = ('logits', 'student', 'target')
SOFTMAX = (
    'class_imbalance', 'class_wise', 'codistillation', 'confident_kd', 'cross_entropy', 'dist', 'dkd', 'gated_kd',
    'hard_kd', 'jsd', 'kd', 'kd_top_k', 'kdcl', 'kendall', 'mlld', 'progressive', 'rank_top_k', 'reverse_kl',
    'reverse_skew_kl', 'skew_kl', 'sorted_distance', 'teacher_free', 'total_variation',
)  # fmt: skip


@pytest.mark.parametrize('name', SOFTMAX)
def test_a_softmax_of_one_class_is_refused(name):
    several = name in ('codistillation', 'confident_kd', 'gated_kd', 'kdcl')
    made = []
    for parameter in inspect.signature(getattr(losses, name)).parameters.values():
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            continue
        shape = {'weights': (2, 3), 'log_probs': (2, 2), 'classes': (2, 1)}.get(parameter.name, (2,))
        if parameter.name in OF_CLASSES:
            both = several and (parameter.name == 'target' or name == 'codistillation')
            shape = (3, 2, 1) if both else (2, 1)
        made.append(np.zeros(shape, np.int32 if parameter.name in ('labels', 'classes') else np.float32))
    with pytest.raises(UserError, match='a single output is always 1'):
        getattr(losses, name)(*made)
