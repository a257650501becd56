"""The check passes our own losses on every definition, and finds the usual mistakes."""

import jax.numpy as jnp
import numpy as np
import pytest

from conformance.check import DEFINITIONS, check, main, passed_variants
from kd_jax import losses
from kd_jax.language.decoder import positions_in_segments
from kd_jax.models import top_k


def mean(values, mask=None):
    """What a term takes of the values of its loss: the sum over what counts, divided by its number."""
    values = np.asarray(values, np.float64)
    return values.mean() if mask is None else np.sum(values * (mask > 0)) / np.sum(mask > 0)


def top_k_with_tail(student, teacher, k, t):
    out = top_k(k=k, t=t).apply({}, jnp.asarray(teacher))
    return mean(losses.kd_top_k(jnp.asarray(student), out['log_probs'], out['classes'], out['t']))


def shifted(tokens, mask):
    """The labels and their mask at the positions that predict them, as a text source gives them."""
    return (np.pad(array[:, 1:], ((0, 0), (0, 1))) for array in (tokens, mask))


def shift_and_mask(student, teacher, tokens, mask, t, loss):
    label, counts = shifted(tokens, mask)
    values = losses.cross_entropy(student, label) if loss == 'labels' else losses.kd(student, teacher, t=t)
    return mean(values, counts)


def global_normalisation(student, tokens, mask):
    label, counts = shifted(*(array.reshape(-1, array.shape[-1]) for array in (tokens, mask)))
    return mean(losses.cross_entropy(student.reshape(-1, *student.shape[2:]), label), counts)


def distilbert(student, teacher, labels, masked, real, student_hidden, teacher_hidden):
    return (
        5 * mean(losses.kd(student, teacher, t=2.0), real)
        + 2 * mean(losses.cross_entropy(student, labels), masked)
        + mean(losses.cosine(student_hidden, teacher_hidden), real)
    )


OURS = {
    'kd': lambda student, teacher, t: mean(losses.kd(student, teacher, t=t)),
    'ensemble_targets': lambda student, teachers, **options: mean(losses.kd(student, teachers, **options)),
    'dkd': lambda student, teacher, labels, **options: mean(losses.dkd(student, teacher, labels, **options)),
    'dist': lambda student, teacher, **options: losses.dist(student, teacher, **options),
    'logit_standardisation': lambda student, teacher, t, deviation: mean(
        losses.kd(student, teacher, t=t, standardise=True if deviation == 'population' else 'code')
    ),
    'similarity_preserving': lambda student, teacher: losses.similarity_preserving(student, teacher),
    'rkd_distance': lambda student, teacher, form: losses.rkd_distance(student, teacher, form=form),
    'top_k_with_tail': top_k_with_tail,
    'jsd': lambda student, teacher, beta: mean(losses.jsd(student, teacher, beta=beta)),
    'skew_kl': lambda student, teacher, alpha, direction: mean(
        {'forward': losses.skew_kl, 'reverse': losses.reverse_skew_kl}[direction](student, teacher, alpha=alpha)
    ),
    'reverse_kl': lambda student, teacher, t: mean(losses.reverse_kl(student, teacher, t=t)),
    'shift_and_mask': shift_and_mask,
    'global_normalisation': global_normalisation,
    'position_ids': lambda mask, segments, layout: positions_in_segments(
        jnp.asarray(segments if layout == 'packed' else mask)
    ),
    'distilbert': distilbert,
}


@pytest.mark.parametrize('definition', DEFINITIONS)
def test_our_losses_pass_every_case(definition):
    failed = [outcome for outcome in check(definition, float32(OURS[definition])) if not outcome.passed]
    assert failed == []


def float32(function):
    """Our losses compute in float32."""

    def called(**given):
        narrow = {key: value.astype(np.float32) for key, value in given.items() if getattr(value, 'ndim', 0) > 0}
        return function(**given | {key: value for key, value in narrow.items() if given[key].dtype.kind == 'f'})

    return called


def per_part(student, tokens, mask):
    each = [
        shift_and_mask(z, z, row, counts, 1.0, 'labels') for z, row, counts in zip(student, tokens, mask, strict=True)
    ]
    return np.mean(each)


def late(student, teacher, tokens, mask, t, loss):
    return shift_and_mask(student[:, 1:], teacher[:, 1:], tokens[:, 1:], mask[:, 1:], t, loss)


@pytest.mark.parametrize(
    ('definition', 'wrong'),
    [
        ('kd', lambda student, teacher, t: mean(losses.kd(student, teacher, t=t)) / t**2),
        ('kd', lambda student, teacher, t: mean(losses.reverse_kl(student, teacher, t=t))),
        ('kd', lambda student, teacher, t: mean(losses.kd(student, teacher, t=t)) / student.shape[-1]),
        ('jsd', lambda student, teacher, beta: mean(losses.jsd(student, teacher, beta=1 - beta))),
        ('global_normalisation', per_part),
        ('shift_and_mask', late),
        ('similarity_preserving', lambda student, teacher: 1 / 0),
    ],
)  # fmt: skip
def test_the_usual_mistakes_fail(definition, wrong):
    assert passed_variants(check(definition, float32(wrong))) == []


def test_a_variant_passes_if_all_of_its_cases_do():
    def paper(student, teacher, t, form):
        return losses.dist(student, teacher, t=t, form='paper')

    assert passed_variants(check('dist', float32(paper))) == ['paper']


def test_the_cases_of_variants_that_are_not_offered_are_left_out():
    outcomes = check('shift_and_mask', float32(shift_and_mask), not_offered=('labels',))
    assert [(outcome.variant, outcome.passed) for outcome in outcomes] == [('kd', True)]


def test_the_command_says_what_failed(capsys):
    assert main(['jsd', 'conformance.definitions:jsd']) == 0
    assert main(['reverse_kl', 'conformance.definitions:kd']) == 1
    said = capsys.readouterr().out
    assert "{'beta': 0.5}: pass" in said
    assert "{'t': 1.0}: FAIL: array(" in said
