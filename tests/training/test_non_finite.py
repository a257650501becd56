"""What is said of a run that is no longer finite: the learning rate is blamed only where it can be the cause."""

import numpy as np
import pytest

from kd_jax.training.non_finite import NotFinite, cause_and_remedy, first_not_finite
from tests.train_one import prepare_one

NAN, INF = float('nan'), float('inf')


def chunk(**sums):
    return {name: (np.array(own), np.full(len(own), 2.0)) for name, own in sums.items()}


def test_the_first_term_is_named_before_the_totals_with_the_means_of_what_is_finite_then():
    found = first_not_finite(chunk(hard=[1.0, 4.0, NAN], soft=[2.0, INF, 1.0], loss=[1.0, INF, NAN]), 10)
    assert found == NotFinite('soft', 12, {'hard': 2.0})
    assert first_not_finite(chunk(hard=[1.0], loss=[NAN]), 0) == NotFinite('loss', 1, {'hard': 0.5})
    assert first_not_finite(chunk(hard=[1.0, NAN], grad_norm=[INF, NAN]), 4) == NotFinite('grad_norm', 5, {'hard': 0.5})
    assert first_not_finite(chunk(hard=[1.0], loss=[1.0]), 0) is None


@pytest.fixture(scope='module')
def student():
    """A student of a teacher: 'hard' reads its own logits, 'soft' reads those of both."""
    return prepare_one('student')


def said(prepared, name, step, **others):
    return cause_and_remedy(prepared, NotFinite(name, step, others))


def test_the_learning_rate_is_blamed_if_everything_diverges(student):
    wanted = '; lower the learning rate, warm it up or set optimizer.clip=1.0'
    assert said(student, 'hard', 7) == wanted
    assert said(student, 'hard', 7, soft=1e9) == wanted  # it is finite, but only just
    assert said(student, 'grad_norm', 7, hard=1.0, soft=1.0, loss=1.0) == wanted


def test_before_the_first_update_the_learning_rate_is_not_the_cause(student):
    assert said(student, 'hard', 1) == (
        ', before the first update, so the learning rate is not the cause: look at what the term reads '
        '(student.logits), the losses and their numbers; the data and the weights that were loaded are finite'
    )
    assert 'so the learning rate is not the cause: look at the losses' in said(student, 'grad_norm', 1, hard=1.0)


def test_what_a_finite_term_reads_too_is_not_the_cause(student):
    assert said(student, 'soft', 7, hard=2.3) == (
        ', although terms that read student.logits too are finite: look at teacher.logits, and at the loss and its '
        'numbers'
    )
    assert said(student, 'hard', 7, soft=2.3) == (
        ', although terms that read student.logits too are finite: look at the loss and its numbers'
    )


@pytest.mark.parametrize('weight', ['1e30', "{'schedule': 'linear', 'start': 1e30, 'end': 1e30}"])
def test_a_weight_that_is_too_large_is_named(weight):
    heavy = prepare_one('student', f'terms.soft.weight={weight}')
    wanted = ", although every term is finite: lower the weights of the terms ('soft' has 1e+30)"
    assert said(heavy, 'loss', 1, hard=2.3, soft=1e10) == wanted
    assert said(heavy, 'grad_norm', 5, hard=2.3, soft=1e10, loss=1e30) == wanted
