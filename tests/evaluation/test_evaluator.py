import itertools

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.initial_state import init_state
from kd_jax.core.paths import Path
from kd_jax.core.state import all_variables
from kd_jax.evaluation.evaluator import BATCH_SIZE, Evaluator
from kd_jax.prepare.parse_recipe import parse_recipe

NETWORKS = {
    'student': {'model': 'mlp', 'hidden': [], 'num_classes': 3},
    'stack': {'model': 'mlp', 'hidden': [], 'num_classes': 3, 'copies': 2},
    'teacher': {'model': 'mlp', 'hidden': [], 'num_classes': 3, 'update': 'frozen'},
}
PATHS = {
    'student': {'logits': 'student.logits', 'teacher': 'teacher.logits'},
    'stack': {'logits': 'stack.logits', 'teacher': 'teacher.logits'},
}


def arrays(size, dtype=np.float32):
    rng = np.random.default_rng(size)
    image = rng.integers(0, 256, (size, 5)) if dtype == np.uint8 else rng.normal(size=(size, 5), scale=3)
    return {'image': image.astype(dtype), 'label': rng.integers(0, 3, size)}


@pytest.fixture(scope='module')
def evaluation():
    parsed = parse_recipe({'networks': NETWORKS, 'optimizer': {'learning_rate': 0.1}})
    state, frozen = init_state(parsed, arrays(1), seed=0)
    # Initial heads are tiny. Larger ones make predictions that differ between examples.
    variables = jax.tree.map(lambda a: 50 * a, all_variables(state, frozen, {}))
    return Evaluator(parsed, PATHS), variables


def logits_of(variables, image):
    head = variables['params']['head']
    return image @ np.asarray(head['kernel'], np.float64) + np.asarray(head['bias'], np.float64)[..., None, :]


def by_hand(logits, label, teacher):
    """Computes the metrics from their definitions; `logits` and `teacher` are [examples, num_classes]."""
    q, p = log_softmax(logits, -1), log_softmax(teacher, -1)
    confidence, right = np.exp(q.max(-1)), q.argmax(-1) == label
    edges = np.linspace(0, 1, 16)
    inside = [(confidence > low) & (confidence <= high) for low, high in itertools.pairwise(edges)]
    return {
        'accuracy': right.mean(),
        'nll': -np.take_along_axis(q, label[:, None], -1).mean(),
        'ece': sum(abs(confidence[i].mean() - right[i].mean()) * i.mean() for i in inside if i.any()),
        'agreement': (q.argmax(-1) == p.argmax(-1)).mean(),
        'kl': np.sum(np.exp(p) * (p - q), -1).mean(),
    }


@pytest.mark.parametrize('size', [7, BATCH_SIZE, 2 * BATCH_SIZE + 345])
def test_every_example_counts_once_whatever_the_size_of_the_split(evaluation, size):
    evaluator, variables = evaluation
    data = arrays(size)
    measured = evaluator.measure(variables, data)
    teacher = logits_of(variables['teacher'], data['image'])
    student = logits_of(variables['student'], data['image'])
    stack = logits_of(variables['stack'], data['image']).reshape(-1, 3)
    for name, logits, copies in (('student', student, 1), ('stack', stack, 2)):
        expected = by_hand(logits, np.tile(data['label'], copies), np.tile(teacher, (copies, 1)))
        assert measured[name].pop('count') == size
        assert measured[name].pop('errors') == pytest.approx((1 - expected['accuracy']) * size)
        assert measured[name] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('size', [7, BATCH_SIZE + 1])
def test_predictions_come_in_the_order_of_the_split(evaluation, size):
    evaluator, variables = evaluation
    data = arrays(size)
    paths = (Path('student', 'logits'), Path('stack', 'logits'), Path('batch', 'label'))
    student, stack, label = evaluator.predict(variables, data, paths)
    np.testing.assert_allclose(student, logits_of(variables['student'], data['image']), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(stack, logits_of(variables['stack'], data['image']), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(label, data['label'])


def test_several_paths_are_stacked_before_the_examples(evaluation):
    evaluator, variables = evaluation
    pair = (Path('student', 'logits'), Path('teacher', 'logits'))
    (both,) = evaluator.predict(variables, arrays(7), (pair,))
    assert both.shape == (2, 7, 3)
    np.testing.assert_allclose(both[1], logits_of(variables['teacher'], arrays(7)['image']), rtol=1e-3, atol=1e-4)


def test_images_of_8_bits_are_seen_between_0_and_1(evaluation):
    evaluator, variables = evaluation
    data = arrays(7, np.uint8)
    (logits,) = evaluator.predict(variables, data, (Path('student', 'logits'),))
    np.testing.assert_allclose(logits, logits_of(variables['student'], data['image'] / 255), rtol=1e-3, atol=1e-4)


def test_every_network_that_is_not_frozen_is_evaluated_by_default(evaluation):
    evaluator = Evaluator(evaluation[0].recipe, {})
    assert {name: str(paths['logits']) for name, paths in evaluator.measured.items()} == {
        'student': 'student.logits',
        'stack': 'stack.logits',
    }
    assert all(str(paths['labels']) == 'batch.label' for paths in evaluator.measured.values())


def test_a_wrong_evaluation_is_refused(evaluation):
    parsed = evaluation[0].recipe
    with pytest.raises(UserError, match=r"c, evaluate 'x': there is no 'logit'. Did you mean 'logits'"):
        Evaluator(parsed, {'x': {'logit': 'student.logits'}}, 'c')
    wrong = Evaluator(parsed, {'x': {'logits': 'student.hidden1'}}, 'c')
    with pytest.raises(
        UserError, match=r"c, evaluate 'x' reads 'student.hidden1', which does not exist. .*student.logits"
    ):
        wrong.check(check_recipe(parsed, arrays(7)), 'c')
