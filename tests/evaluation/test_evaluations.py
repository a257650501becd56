import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.evaluation import evaluations
from kd_jax.evaluation.evaluations import check_evaluation, judge_of, parse_evaluation
from kd_jax.evaluation.metrics import Metric, Metrics

CONTEXT = {
    'batch': {'label': (4,), 'target': (4, 3)},
    'student': {'logits': (4, 3), 'pixels': (4, 8, 3)},
}
SHAPES = {
    source: {
        name: jax.ShapeDtypeStruct(shape, np.int32 if name == 'label' else np.float32) for name, shape in arrays.items()
    }
    for source, arrays in CONTEXT.items()
}


def number_of_positive(prediction, *, where, least: float = 0.0):
    return {'positive': ((prediction > least).any(-1) & where).sum()}


positive = Metrics(
    number_of_positive,
    lambda statistics: {'positive': float(statistics['positive'].sum())},
    {'positive': Metric('count', 'higher')},
    'positive',
)


def test_a_family_of_the_user_is_named_by_module_and_attribute():
    one = parse_evaluation('x', {'metrics': f'{__name__}:positive', 'prediction': 'student.logits', 'least': 1.5}, 'c')
    assert check_evaluation(one, [], SHAPES, 10, 'c') == ['positive']
    context = {'student': {'logits': np.array([[0.0, 1.0], [2.0, 0.0], [3.0, 3.0]])}}
    batches = [one.statistics([], context, np.array(mask)) for mask in ([True] * 3, [False, True, False])]
    assert one.values(jax.tree.map(lambda *parts: np.stack(parts), *batches)) == {'positive': 3.0}


@pytest.mark.parametrize(
    ('config', 'sentence'),
    [
        ({'metrics': 'regresion'}, "there is no family of metrics 'regresion'. Did you mean 'regression'"),
        ({'metrics': 'numpy:sum'}, "'numpy:sum' is not a family of metrics"),
        ({'metrics': 'regression', 'logits': 'student.logits'}, "there is no 'logits' for metrics 'regression'"),
        ({'metrics': 'regression', 'prediction': 'student.logits'}, 'needs a path for target'),
        ({}, "metrics 'classification' needs a path for logits"),
        ({'logits': 'student.logits', 'where': 'batch.label'}, "there is no 'where'"),
        (
            {'logits': 'student.logits', 'best': 'acuracy'},
            "best is 'acuracy', but metrics 'classification' cannot choose by it. Did you mean 'accuracy'",
        ),
        ({'logits': 'student.logits', 'best': 'count'}, "best is 'count', but metrics 'classification' cannot"),
        (
            {'metrics': 'positions', 'logits': 'student.pixels', 'ignore': 'no'},
            "c.ignore is 'no', but it must be a whole",
        ),
        (
            {'metrics': 'regression', 'prediction': 'student.logits', 'target': 'batch.target', 'r2': 'pool'},
            "c: there is no r2 'pool'. Did you mean 'pooled'",
        ),
    ],
)
def test_a_malformed_evaluation_is_refused(config, sentence):
    with pytest.raises(UserError, match=sentence):
        parse_evaluation('x', config, 'c')


@pytest.mark.parametrize(
    ('config', 'sentence'),
    [
        ({'logits': 'student.logit'}, "reads 'student.logit', which does not exist. Did you mean 'student.logits'"),
        ({'logits': 'student.pixels'}, r"student.pixels \[4, 8, 3\].*metrics='positions'"),
        (
            {'metrics': 'regression', 'prediction': 'student.pixels', 'target': 'batch.target'},
            r'prediction has shape \[4, 8, 3\] and the target \[4, 3\]',
        ),
        ({'logits': 'student.logits', 'best': 'agreement'}, "best is 'agreement', which needs another path"),
    ],
)
def test_an_evaluation_that_does_not_fit_is_refused(config, sentence):
    with pytest.raises(UserError, match=sentence):
        check_evaluation(parse_evaluation('x', config, 'c'), [], SHAPES, 10, 'c')


def test_metrics_that_need_too_much_memory_are_refused(monkeypatch):
    one = parse_evaluation('x', {'metrics': 'multi_label', 'logits': 'student.logits', 'target': 'batch.target'}, 'c')
    monkeypatch.setattr(evaluations, 'STATISTICS_BYTES', 10_000)
    assert 'average_precision' in check_evaluation(one, [], SHAPES, 100, 'c')
    with pytest.raises(UserError, match=r'c: these metrics need .* GiB of memory for 1000 examples'):
        check_evaluation(one, [], SHAPES, 1000, 'c')


@pytest.mark.parametrize(('best', 'order'), [('mse', (0.1, 0.2)), ('r2', (0.2, 0.1))])
def test_the_direction_of_the_metric_says_what_is_better(best, order):
    config = {'metrics': 'regression', 'prediction': 'a.b', 'target': 'a.c', 'best': best}
    one = parse_evaluation('x', config, 'c')
    assert one.is_better(*order)
    assert not one.is_better(*reversed(order))
    assert not one.is_better(0.1, 0.1)
    assert one.is_better(0.1, None)
    assert one.is_better(0.1, float('nan'))
    assert not one.is_better(float('nan'), None)
    assert not one.is_better(None, 0.1)


def test_the_evaluation_that_sets_best_chooses_the_best_epoch_or_else_the_first():
    plain = [parse_evaluation(name, {'logits': 'student.logits'}, 'c') for name in ('a', 'b')]
    assert judge_of([]) is None
    assert judge_of(plain).name == 'a'
    chosen = parse_evaluation('c', {'logits': 'student.logits', 'best': 'nll'}, 'c')
    assert judge_of([*plain, chosen]).name == 'c'
