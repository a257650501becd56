"""Teachers that are not linen modules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kd_jax.config.errors import UserError
from kd_jax.models.pretrained import Pretrained, nnx_module
from kd_jax.studies.execute import execute_group
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

RNG = np.random.default_rng(0)
WEIGHTS = {'layers': [RNG.normal(size=(12, 3)).astype(np.float32), np.ones(3, np.float32)]}
IMAGES = RNG.uniform(size=(6, 4, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)


def linear(weights, x):
    kernel, bias = weights['layers']
    return {'logits': x.reshape(len(x), -1) @ kernel + bias}


TEACHER = Pretrained(linear, WEIGHTS)


class Small(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(12, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.drop(self.norm(x).reshape(len(x), -1)))


def study_of(tmp_path, teacher, **options):
    np.savez(tmp_path / 'd.npz', train_image=IMAGES, train_label=LABELS, test_image=IMAGES, test_label=LABELS)
    run = {
        'data': {'source': 'npz', 'path': str(tmp_path / 'd.npz'), 'num_classes': 3},
        'batch_size': 3,
        'epochs': 1,
        'optimizer': {'learning_rate': 0.1},
        'networks': {
            'teacher': {'model': lambda: teacher, 'update': 'frozen', **options},
            'student': {'model': 'mlp', 'hidden': (4,), 'num_classes': 3},
        },
        'terms': {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits'}},
        'evaluate': {'teacher': {'logits': 'teacher.logits'}},
    }
    (tmp_path / 'results').mkdir()
    return parse_study({'name': 'taught', 'runs': {'taught': run}}, 'here')


def test_a_pure_function_teaches_with_the_weights_it_brings(tmp_path):
    planned = study_of(tmp_path, TEACHER)
    prepare_study(planned)
    results = execute_group(planned, planned.runs, Workdir(tmp_path), lambda *_: None)
    logits = np.asarray(linear(WEIGHTS, IMAGES)['logits'], np.float64)
    nll = np.mean(np.log(np.sum(np.exp(logits), -1)) - logits[np.arange(6), LABELS])
    np.testing.assert_allclose(results[0]['last']['test']['teacher']['nll'], nll, rtol=1e-5)


def test_its_weights_are_an_argument_of_the_program_not_constants_in_it():
    def logits(variables, x):
        return TEACHER.apply(variables, x)[0]['logits']

    doubled = jax.tree.map(lambda a: 2 * a, TEACHER.variables)
    jitted = jax.jit(logits)
    np.testing.assert_allclose(jitted(doubled, IMAGES), 2 * jitted(TEACHER.variables, IMAGES), rtol=1e-5)
    assert not jax.make_jaxpr(logits)(TEACHER.variables, IMAGES).consts


def test_an_nnx_module_gives_in_any_recipe_what_it_gives_in_evaluation():
    module = Small(nnx.Rngs(0))
    module.norm.mean[...] = jnp.array([0.1, 0.2, 0.3])
    teacher = nnx_module(module)
    module.eval()
    expected = module(IMAGES)
    module.train()
    out, updated = jax.jit(lambda v, x: teacher.apply(v, x, train=True))(teacher.variables, IMAGES)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    assert updated == {}
    fresh = jax.eval_shape(teacher.init, {}, IMAGES)
    assert jax.tree.structure(fresh) == jax.tree.structure(teacher.variables)


def test_copies_of_a_network_that_brings_its_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="network 'teacher': copies of a model that brings its own weights"):
        prepare_study(study_of(tmp_path, TEACHER, copies=2))
