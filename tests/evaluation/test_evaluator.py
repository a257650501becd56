import itertools

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from kd_jax import evaluation as families_of_metrics
from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.initial_state import init_state
from kd_jax.core.paths import Path
from kd_jax.core.state import all_variables
from kd_jax.evaluation import evaluator as evaluator_module
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
    student = logits_of(variables['student'], data['image'])[None]
    stack = logits_of(variables['stack'], data['image'])
    for name, copies in (('student', student), ('stack', stack)):
        alone = [by_hand(logits, data['label'], teacher) for logits in copies]
        expected = {metric: np.mean([found[metric] for found in alone]) for metric in alone[0]}
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


def test_predictions_whose_time_is_taken_compute_no_padding(evaluation, monkeypatch):
    evaluator, variables = evaluation
    sizes, read = [], evaluator._read
    monkeypatch.setattr(evaluator, '_read', lambda v, b, p: sizes.append(len(b['label'])) or read(v, b, p))
    logits = (Path('student', 'logits'),)
    plain, timed = (evaluator.predict(variables, arrays(7), logits, timed=chosen)[0] for chosen in (False, True))
    np.testing.assert_allclose(timed, plain, rtol=1e-5)
    assert sizes == [BATCH_SIZE, 7]


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
    assert {name: {key: str(path) for key, path in one.reads.items()} for name, one in evaluator.measured.items()} == {
        name: {'logits': f'{name}.logits', 'labels': 'batch.label'} for name in ('student', 'stack')
    }


def test_a_memory_of_training_examples_is_not_evaluated_by_default():
    memory = {'model': 'recall', 'input': ['~student.logits', 'batch.id'], 'examples': 5}
    networks = {'student': NETWORKS['student'], 'past': memory}
    assert set(Evaluator(parse_recipe({'networks': networks, 'optimizer': {'learning_rate': 0.1}}), {}).measured) == {
        'student'
    }


def test_a_wrong_evaluation_is_refused(evaluation):
    parsed = evaluation[0].recipe
    with pytest.raises(
        UserError, match=r"c, evaluate 'x': there is no 'logit' for metrics 'classification'. Did you mean 'logits'"
    ):
        Evaluator(parsed, {'x': {'logit': 'student.logits'}}, 'c')
    wrong = Evaluator(parsed, {'x': {'logits': 'student.hidden1'}}, 'c')
    with pytest.raises(
        UserError, match=r"c, evaluate 'x' reads 'student.hidden1', which does not exist. .*student.logits"
    ):
        wrong.check(check_recipe(parsed, arrays(7)), 'c')


def test_two_evaluations_cannot_both_choose_the_best_epoch(evaluation):
    with pytest.raises(UserError, match="c, evaluate: 'x' and 'y' both set best, but one evaluation chooses"):
        Evaluator(evaluation[0].recipe, {name: {'logits': 'student.logits', 'best': 'nll'} for name in 'xy'}, 'c')


FAMILIES = {
    'classes': {'logits': 'student.logits', 'teacher': 'teacher.logits'},
    'pixels': {'metrics': 'positions', 'logits': 'stack.logits', 'teacher': 'teacher.logits', 'mask': 'batch.mask'},
    'numbers': {'metrics': 'regression', 'prediction': 'student.logits', 'target': 'batch.target'},
    'stacked': {
        'metrics': 'regression', 'prediction': 'stack.logits', 'target': 'batch.target', 'teacher': 'teacher.logits'
    },
    'paired': {'metrics': 'regression', 'prediction': 'stack.logits', 'target': 'stack.logits'},
    'labels': {'metrics': 'multi_label', 'logits': 'stack.logits', 'target': 'batch.present'},
}  # fmt: skip


def data_of_all_families(size):
    rng = np.random.default_rng(size)
    targets = {'target': rng.normal(loc=5.0, size=(size, 3)).astype(np.float32), 'mask': rng.random(size) < 0.8}
    return {**arrays(size), **targets, 'present': rng.integers(0, 2, (size, 3))}


@pytest.fixture(scope='module')
def families(evaluation):
    return Evaluator(evaluation[0].recipe, FAMILIES), evaluation[1]


def test_padding_batches_and_copies_change_no_metric_of_any_family(families, monkeypatch):
    evaluator, variables = families
    data = data_of_all_families(23)
    image = data['image']
    student, stack, teacher = (logits_of(variables[name], image) for name in ('student', 'stack', 'teacher'))
    one = {
        'classes': [families_of_metrics.classification(student, data['label'], teacher)],
        'pixels': [families_of_metrics.positions(copy, data['label'], teacher, data['mask']) for copy in stack],
        'numbers': [families_of_metrics.regression(student, data['target'])],
        'stacked': [families_of_metrics.regression(copy, data['target'], teacher) for copy in stack],
        'paired': [families_of_metrics.regression(copy, copy) for copy in stack],
        'labels': [families_of_metrics.multi_label(copy, data['present']) for copy in stack],
    }
    for batch_size in (10, 1000):
        monkeypatch.setattr(evaluator_module, 'BATCH_SIZE', batch_size)
        measured = evaluator.measure(variables, data)
        for name, copies in one.items():
            for metric in measured[name].keys() - {'ece'}:  # the bins of ece are filled by all copies together
                mean = np.mean([copy[metric] for copy in copies])
                assert measured[name][metric] == pytest.approx(mean, rel=1e-4), (name, metric)


def test_a_batch_is_small_enough_for_what_is_read(families, monkeypatch):
    evaluator, variables = families
    data = data_of_all_families(23)
    evaluator.check(check_recipe(evaluator.recipe, data_of_all_families(4)), 'c')
    whole, sizes = evaluator.measure(variables, data), []
    monkeypatch.setattr(evaluator_module, 'READ_BYTES', 4 * 2 * 3 * 5)  # five examples of two copies of three logits
    monkeypatch.setattr(evaluator, '_batches', lambda a, n, own=evaluator._batches: sizes.append(n) or own(a, n))
    for name, metrics in evaluator.measure(variables, data).items():
        assert metrics == pytest.approx(whole[name], rel=1e-5)
    stacked = jax.tree.map(lambda a: np.stack([a, a]), variables)
    evaluator.measure_runs(stacked, data, 2, frozenset())
    assert sizes == [5, 2]


def test_a_group_of_runs_measures_what_each_run_measures(families):
    evaluator, variables = families
    runs = [variables, jax.tree.map(lambda a: -0.5 * a, variables)]
    runs[1]['teacher'] = variables['teacher']
    data = data_of_all_families(23)
    stacked = jax.tree.map(lambda *a: np.stack(a), *[{n: own[n] for n in ('student', 'stack')} for own in runs])
    together = evaluator.measure_runs(
        {**stacked, 'teacher': variables['teacher']}, data, len(runs), frozenset({'teacher'})
    )
    for own, measured in zip(runs, together, strict=True):
        for name, metrics in evaluator.measure(own, data).items():
            assert measured[name] == pytest.approx(metrics, rel=1e-4)


def test_what_is_measured_is_stated_with_its_unit_and_direction(families):
    evaluator, _ = families
    batch = data_of_all_families(4)
    evaluator.check(check_recipe(evaluator.recipe, batch), 'c')
    assert evaluator.stated['numbers'] == {
        'count': {'unit': 'count', 'better': None},
        'mse': {'unit': 'number', 'better': 'lower'},
        'mae': {'unit': 'number', 'better': 'lower'},
        'r2': {'unit': 'number', 'better': 'higher'},
    }
    assert 'teacher_mse' in evaluator.stated['stacked']
    assert evaluator.stated['labels']['average_precision'] == {'unit': 'fraction', 'better': 'higher'}
    assert 'agreement' in evaluator.stated['classes']


def test_nothing_is_evaluated_by_default_that_is_no_classifier(evaluation):
    networks = {'one': {**NETWORKS['student'], 'num_classes': 1}, 'several': NETWORKS['student']}
    parsed = parse_recipe({'networks': networks, 'optimizer': {'learning_rate': 0.1}})
    for batch, known in ((arrays(4), {'several'}), ({'image': arrays(4)['image']}, set())):
        evaluator = Evaluator(parsed, {})
        evaluator.check(check_recipe(parsed, batch), 'c')
        assert set(evaluator.measured) == known
    assert evaluator.measure({}, arrays(4)) == {}
