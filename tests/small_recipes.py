"""Small recipes of linear and nearly linear networks, and their training, for tests of the step."""

import dataclasses
from typing import Any

import jax
import numpy as np

from kd_jax.core.initial_state import init_state
from kd_jax.core.state import State
from kd_jax.core.step import make_train_step
from kd_jax.prepare.parse_recipe import parse_recipe

RNG = np.random.default_rng(0)
BATCH = {
    'image': RNG.normal(size=(8, 5)).astype(np.float32),
    'label': RNG.integers(0, 3, size=8).astype(np.int32),
    'labelled': np.array([1, 0, 0, 1, 0, 0, 1, 0], bool),
}
LINEAR = {'model': 'mlp', 'hidden': [], 'num_classes': 3}
SMALL = {'model': 'mlp', 'hidden': [6], 'num_classes': 3}
TOTAL = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """A model that is a function of two networks: `share` of the logits of the first, the rest of the second."""

    networks: Any
    share: float = 0.5

    def init(self, rngs, *inputs, train=False):
        return tuple(one.module.init(rngs, *one.normalized(inputs), train=False) for one in self.networks)

    def apply(self, variables, *inputs, train=False, rngs=None, mutable=()):
        a, b = (
            one.module.apply(own, *one.normalized(inputs), train=train and one.in_training_mode, rngs=rngs, mutable=[])
            for one, own in zip(self.networks, variables, strict=True)
        )
        return {'logits': self.share * a[0]['logits'] + (1.0 - self.share) * b[0]['logits']}, {}


def hard(name, **options):
    return {'loss': 'cross_entropy', 'logits': f'{name}.logits', 'labels': 'batch.label', **options}


def soft(student, target, **options):
    return {'loss': 'kd', 'student': f'{student}.logits', 'target': target, **options}


def recipe_of(networks, terms, **optimizer):
    return parse_recipe({'networks': networks, 'terms': terms, 'optimizer': {'learning_rate': 0.5, **optimizer}})


def start(recipe, batch=BATCH):
    """State 0 and the frozen variables: large parameters, drawn by the name of their network."""
    state, frozen = jax.eval_shape(lambda: init_state(recipe, batch, seed=0))

    def drawn(name, tree):
        rng = np.random.default_rng(list(name.encode()))
        return jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), tree)

    params = {name: drawn(name, tree) for name, tree in state.params.items()}
    opt_state = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), state.opt_state)
    state = State(np.int32(0), params, state.collections, opt_state, jax.random.key(0))
    return state, {name: drawn(name, tree) for name, tree in frozen.items()}


def train(recipe, count=1, batch=BATCH, begin=None):
    """States 0, 1, ..., count and the metrics of the last step."""
    state, frozen = begin or start(recipe, batch)
    step, states, metrics = jax.jit(make_train_step(recipe, TOTAL)), [state], None
    for _ in range(count):
        state, metrics = step(state, recipe.hparams, frozen, batch)
        states.append(state)
    return states, jax.device_get(metrics)


def assert_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **{'rtol': 1e-5, 'atol': 1e-7, **tolerance}), a, b)


def assert_moved(before, after):
    assert all(np.any(a != b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


def head(params):
    return np.asarray(params['head']['kernel'], np.float64), np.asarray(params['head']['bias'], np.float64)


def mixture(*of, **options):
    return {'model': Mixture, 'update': 'shared', 'of': list(of), **options}
