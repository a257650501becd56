"""Properties that every loss must have; a new loss is tested as soon as it has an entry in CASES."""

import functools
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.core.term_values import loss_values, numbers_now
from kd_jax.prepare.parse_recipe import parse_recipe

BATCH = 6
SHAPES = {
    'vector': (5,), 'wide': (7,), 'logits': (4,), 'map': (4, 4, 3), 'thick': (4, 4, 5), 'deep': (2, 2, 4),
    'labels': (), 'positive': (4, 4, 3), 'log_probs': (3,), 'classes': (2,), 'temperature': (), 'teachers': (4,),
    'weights': (3,), 'negatives': (3, 5), 'score': (), 'answers': (4,), 'heads': (3, 2, 4), 'broad': (3, 2, 6),
    'segment': (3,),
}  # fmt: skip
INTEGERS, NEVER_SCALED = ('labels', 'classes', 'answers', 'segment'), ('positive', 'temperature', 'weights')


class Case(NamedTuple):
    """The arguments of one loss.

    Attributes:
      kinds: the kind of each argument, a key of SHAPES.
      options: hyperparameters.
      zero: the index of the argument to pass at each position, so that the student equals the teacher and the loss is
        0.
      largest: factor by which the test of extreme activations multiplies the arguments.
    """

    kinds: tuple[str, ...]
    options: Mapping[str, Any] = MappingProxyType({})
    zero: tuple[int, ...] | None = None
    largest: float = 1e4


PAIR, SAME = ('vector', 'wide'), (0, 0)
LAYERS, TOKENS = ('map', 'deep', 'map', 'deep'), ('heads', 'heads', 'broad', 'broad', 'segment')
CASES = {
    'activation_boundaries': Case(('map', 'map')),
    'attention_transfer': Case(('map', 'thick'), zero=SAME),
    'attention_transfer paper': Case(('map', 'thick'), {'form': 'paper'}, zero=SAME),
    'bce': Case(('logits', 'answers'), {'class_weights': (1.0, 2.0, 0.0, 0.5)}),
    'bce sum': Case(('logits', 'answers'), {'over_labels': 'sum'}),
    'bce_kd': Case(('logits', 'logits'), {'t': 2.0}, zero=SAME),
    'bce_kd teachers': Case(('logits', 'teachers')),
    'cka': Case(PAIR, zero=SAME),
    'class_imbalance': Case(('logits',)),
    'class_wise': Case(('logits', 'logits', 'labels')),
    'codistillation': Case(('teachers', 'teachers')),
    'confident_kd': Case(('logits', 'teachers', 'labels')),
    'confident_kd entropy': Case(('logits', 'teachers', 'labels'), {'by': 'entropy', 'average': 'probabilities'}),
    'correlation_congruence': Case(PAIR, zero=SAME),
    'correlation_congruence exact': Case(PAIR, {'order': 0}, zero=SAME),
    'cosine': Case(('vector', 'vector'), zero=SAME),
    'crd': Case(('vector', 'vector', 'negatives'), {'examples': 9, 'form': 'paper'}),
    'cross_entropy': Case(('logits', 'labels'), {'label_smoothing': 0.1}),
    'cross_entropy weighted': Case(('logits', 'labels'), {'class_weights': (1.0, 2.0, 0.0, 0.5)}),
    'deceive': Case(('score',)),
    'dist': Case(('logits', 'logits'), {'t': 2.0}, zero=SAME),
    'dkd': Case(('logits', 'logits', 'labels'), zero=(0, 0, 2)),
    'dkd standardised': Case(('logits', 'logits', 'labels'), {'standardise': True}, zero=(0, 0, 2)),
    'factor_transfer': Case(('map', 'thick'), zero=SAME),
    'factor_transfer paper': Case(('map', 'map'), {'form': 'paper'}, zero=SAME),
    'fsp': Case(LAYERS, zero=(0, 1, 0, 1)),
    'fsp paper': Case(LAYERS, {'form': 'paper'}, zero=(0, 1, 0, 1)),
    'gated_kd': Case(('logits', 'teachers', 'weights')),
    'gated_kd logits': Case(('logits', 'teachers', 'weights'), {'average': 'logits'}),
    'hard_kd': Case(('logits', 'logits')),
    'hierarchical_context': Case(('map', 'map'), zero=SAME),
    'ickd': Case(('map', 'map'), zero=SAME),
    'inactivity': Case(('vector',)),
    'info_nce': Case(('vector', 'vector')),
    'jsd': Case(('logits', 'logits'), {'t': 2.0, 'beta': 0.3}, zero=SAME),
    'jsd teachers': Case(('logits', 'teachers')),
    'judge': Case(('score', 'score')),
    'kd': Case(('logits', 'logits'), {'t': 2.0}, zero=SAME),
    'kd shares': Case(('logits', 'teachers'), {'shares': (1.0, 2.0, 0.0)}),
    'kd standardised': Case(('logits', 'logits'), {'standardise': True}, zero=SAME),
    'kd_top_k': Case(('logits', 'log_probs', 'classes', 'temperature')),
    'kdcl': Case(('logits', 'teachers', 'labels')),
    'kdcl naive': Case(('logits', 'teachers', 'labels'), {'form': 'naive'}),
    'kdsvd': Case(LAYERS, zero=(0, 1, 0, 1)),
    'kendall': Case(('logits', 'logits')),
    'mlld': Case(('logits', 'logits'), zero=SAME),
    'mse': Case(('vector', 'vector'), zero=SAME),
    'nst': Case(('map', 'thick'), zero=SAME),
    'nst linear': Case(('map', 'thick'), {'kernel': 'linear'}, zero=SAME),
    'ofd': Case(('map', 'map')),
    'pkt': Case(PAIR, zero=SAME),
    'pkt paper': Case(PAIR, {'form': 'paper'}, zero=SAME),
    'progressive': Case(('logits', 'logits', 'labels', 'labels')),
    'rank_top_k': Case(('logits', 'classes')),
    'reverse_kl': Case(('logits', 'logits'), {'t': 2.0}, zero=SAME),
    'reverse_skew_kl': Case(('logits', 'logits'), {'t': 2.0}, zero=SAME),
    'rkd_angle': Case(PAIR, zero=SAME),
    'rkd_distance': Case(PAIR, zero=SAME),
    'similarity_preserving': Case(PAIR, zero=SAME),
    'skew_kl': Case(('logits', 'logits'), {'t': 2.0}, zero=SAME),
    'sorted_distance': Case(('logits', 'vector'), zero=SAME),
    'teacher_free': Case(('logits', 'labels')),
    'token_relations': Case(TOKENS, zero=(0, 1, 0, 1, 4)),
    'token_relations causal': Case(TOKENS, {'heads': 4, 'causal': True}, zero=(0, 1, 0, 1, 4)),
    'total_variation': Case(('logits', 'logits'), zero=SAME),
    'vid': Case(('map', 'positive', 'map')),
}  # fmt: skip
BATCH_OF_ONE = ('ofd',)  # takes statistics over the batch, which are defined for one example too
every = pytest.mark.parametrize('name', CASES)


def loss_of(name):
    return functools.partial(getattr(losses, name.split()[0]), **CASES[name].options)


def compares(name):
    return 'where' in inspect.signature(getattr(losses, name.split()[0])).parameters


def arguments(name, seed=0, batch=BATCH, dtype=np.float32):
    rng = np.random.default_rng(seed)
    made = []
    for kind in CASES[name].kinds:
        shape = (3, batch, *SHAPES[kind]) if kind == 'teachers' else (batch, *SHAPES[kind])
        if kind == 'labels':
            made.append(rng.integers(SHAPES['logits'][0], size=shape).astype(np.int32))
        elif kind in ('answers', 'segment'):
            made.append(rng.integers(int(kind == 'segment'), 2, size=shape).astype(np.int32))
        elif kind == 'classes':
            made.append(np.argsort(rng.normal(size=(batch, *SHAPES['logits'])))[:, : shape[-1]].astype(np.int32))
        else:
            values = rng.normal(size=shape)
            if kind in ('log_probs', 'weights'):
                values -= np.log(np.exp(values).sum(axis=-1, keepdims=True))
            made.append((np.exp(values) if kind in NEVER_SCALED else values).astype(dtype))
    return made


def taken(name, args, rows):
    """The arguments of the chosen examples."""
    return [a[:, rows] if kind == 'teachers' else a[rows] for kind, a in zip(CASES[name].kinds, args, strict=True)]


def differentiable(name):
    return tuple(i for i, kind in enumerate(CASES[name].kinds) if kind not in INTEGERS)


@functools.cache
def compiled(name):
    """The values of a loss and the gradient of their sum, compiled once for all float32 tests."""

    def total(*args):
        out = loss_of(name)(*args)
        return jnp.sum(out), out

    return jax.jit(jax.value_and_grad(total, argnums=differentiable(name), has_aux=True))


def values(name, *args):
    return np.asarray(compiled(name)(*args)[0][1])


def assert_finite(name, args):
    (_, out), grads = compiled(name)(*args)
    for array in (out, *grads):
        assert np.all(np.isfinite(array))


def test_every_loss_has_a_case():
    assert {name.split()[0] for name in CASES} == set(losses.__all__)


@pytest.mark.parametrize('name', [name for name in CASES if CASES[name].zero])
def test_a_student_that_equals_its_teacher_loses_nothing_and_one_that_differs_does(name):
    args = arguments(name)
    assert np.mean(np.abs(values(name, *args))) > 1e-4
    same = [args[i] for i in CASES[name].zero]
    same_kinds = [CASES[name].kinds[i] for i in CASES[name].zero] == list(CASES[name].kinds)
    zero = values(name, *same) if same_kinds else jax.jit(loss_of(name))(*same)
    np.testing.assert_allclose(zero, 0.0, atol=2e-6)


@every
def test_the_order_of_the_batch_does_not_matter(name):
    args, order = arguments(name), np.random.default_rng(1).permutation(BATCH)
    out, permuted = values(name, *args), values(name, *taken(name, args, order))
    # One value for the batch has no order; with several students the first axis is that of the students.
    axis = int(CASES[name].kinds[0] == 'teachers')
    np.testing.assert_allclose(permuted, out.take(order, axis) if out.ndim else out, rtol=2e-4, atol=1e-6)


@every
def test_the_gradient_is_that_of_finite_differences(name):
    with jax.enable_x64(True):
        args, where = arguments(name, dtype=np.float64), differentiable(name)
        rng, size = np.random.default_rng(2), 1e-6
        total = jax.jit(jax.value_and_grad(lambda *args: jnp.sum(loss_of(name)(*args)), argnums=where))
        _, grads = total(*args)
        along = [rng.normal(size=args[i].shape) for i in where]
        moved = []
        for sign in (1, -1):
            there = list(args)
            for i, direction in zip(where, along, strict=True):
                there[i] = args[i] + sign * size * direction
            moved.append(float(total(*there)[0]))
        slope = sum(float(np.sum(g * d)) for g, d in zip(grads, along, strict=True))
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * size), rtol=1e-5, atol=1e-7)


@every
def test_bfloat16_inputs_lose_nothing_more_in_the_loss(name):
    half = [a.astype(jnp.bfloat16) if a.dtype == np.float32 else a for a in arguments(name)]
    exact = [a.astype(np.float32) if a.dtype == jnp.bfloat16 else a for a in half]
    out = jax.jit(loss_of(name))(*half)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, values(name, *exact), rtol=1e-5, atol=1e-6)


@every
def test_extreme_activations_give_finite_losses_and_gradients(name):
    args = arguments(name)
    for size in (0.0, CASES[name].largest):
        floats = [a if a.dtype == np.int32 else a * np.float32(size) for a in args]
        kinds = CASES[name].kinds
        assert_finite(name, [a if k in NEVER_SCALED else f for a, f, k in zip(args, floats, kinds, strict=True)])


@every
def test_duplicate_examples_give_finite_losses_and_gradients(name):
    args = arguments(name)
    for rows in ([0, 0, 1, 1, 2, 3], [0] * BATCH):
        assert_finite(name, taken(name, args, np.array(rows)))


KEEP = np.array([True, False, True, True, False, True])


@pytest.mark.parametrize('name', [name for name in CASES if compares(name)])
def test_examples_that_the_mask_rules_out_enter_nothing(name):
    args, floats = arguments(name), differentiable(name)
    spoilt = [
        np.where(KEEP.reshape(-1, *[1] * (a.ndim - 1)), a, np.nan) if i in floats else a for i, a in enumerate(args)
    ]
    masked = jax.jit(lambda *args, where: loss_of(name)(*args, where=where))(*spoilt, where=KEEP)
    sliced = jax.jit(loss_of(name))(*[a[KEEP] for a in args])
    np.testing.assert_allclose(masked[KEEP] if masked.ndim else masked, sliced, rtol=1e-5)

    def total(*args, where):
        out = loss_of(name)(*args, where=where)
        return jnp.sum(jnp.where(where, out, 0.0) if out.ndim else out)

    gradient = jax.jit(jax.grad(total, argnums=floats))
    for grad in gradient(*args, where=KEEP):
        assert np.all(np.asarray(grad)[~KEEP] == 0.0)
    for grad in gradient(*args, where=np.zeros(BATCH, bool)):
        assert np.all(np.asarray(grad) == 0.0)


@pytest.mark.parametrize('name', [name for name in CASES if compares(name) and name not in BATCH_OF_ONE])
def test_a_batch_of_one_is_refused_where_examples_are_compared(name):
    with pytest.raises(UserError, match=r'needs at least [23], not 1'):
        jax.eval_shape(loss_of(name), *arguments(name, batch=1))


@pytest.mark.parametrize('name', [name for name in CASES if 'teachers' not in CASES[name].kinds])
def test_stacked_copies_learn_what_each_would_alone(name):
    term, made = term_of(name)
    copies = [arguments(name, seed) for seed in (0, 1)]
    context = {'student': {}, 'batch': {}}
    for i, kind in enumerate(CASES[name].kinds):
        source = 'batch' if kind == 'labels' else 'student'
        context[source][f'a{i}'] = copies[0][i] if kind == 'labels' else np.stack([args[i] for args in copies])
    now = numbers_now(term, context, made.hparams['terms']['term'], 0.0)
    stacked = jax.jit(lambda context, now: loss_values(term, made, context, now))(context, now)
    for alone, args in zip(stacked, copies, strict=True):
        args = [copies[0][i] if kind == 'labels' else args[i] for i, kind in enumerate(CASES[name].kinds)]
        np.testing.assert_allclose(alone, values(name, *args), rtol=1e-4, atol=1e-6)


def term_of(name):
    """A term with this loss that teaches a network of two copies, and the recipe of the term."""
    loss = getattr(losses, name.split()[0])
    sources = ['batch' if kind == 'labels' else 'student' for kind in CASES[name].kinds]
    names = list(inspect.signature(loss).parameters)[: len(sources)]
    paths = {p: f'{source}.a{i}' for i, (p, source) in enumerate(zip(names, sources, strict=True))}
    config = {
        'networks': {'student': {'model': 'mlp', 'copies': 2}},
        'terms': {'term': {'loss': name.split()[0], **paths, **CASES[name].options}},
        'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
    }
    made = parse_recipe(config)
    return made.terms[0], made
