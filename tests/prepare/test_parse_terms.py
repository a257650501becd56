"""One term: what its loss reads, its options, and its numbers."""

import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.core.paths import Path
from kd_jax.prepare.parse_terms import parse_term, unknown_results_as_ones

SOFT = {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0}
HARD = {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}


def parsed(config):
    """The term, and its numbers."""
    hparams = {'terms': {}}
    return parse_term('a', config, hparams, "c, term 'a'"), hparams['terms']['a']


def test_positional_parameters_are_paths_and_the_others_numbers_and_options():
    term, numbers = parsed({**SOFT, 'weight': 0.9, 'mask': 'batch.labelled', 'average': 'logits'})
    assert term.loss is losses.kd
    assert term.reads == (Path('student', 'logits'), Path('teacher', 'logits'))
    assert (term.mask, term.given, term.compares) == (Path('batch', 'labelled'), {}, False)
    assert term.static['average'] == 'logits'
    assert term.schedules == {'t': '', 'weight': ''}
    assert numbers == {'t': 4.0, 'weight': 0.9}


def test_several_targets_are_a_tuple_of_paths():
    term, _ = parsed({**SOFT, 'target': ['teacher.logits', '~student.logits']})
    assert term.reads[1] == (Path('teacher', 'logits'), Path('student', 'logits', stop=True))


def test_a_number_may_be_a_schedule_or_the_output_of_a_network():
    term, numbers = parsed({**SOFT, 't': {'schedule': 'linear', 'start': 8, 'end': 2}, 'weight': '~hot.weight'})
    assert term.schedules == {'t': 'linear'}
    assert term.given == {'weight': Path('hot', 'weight', stop=True)}
    assert numbers == {'t': {'start': 8.0, 'end': 2.0}}


def test_a_loss_that_takes_where_compares_examples_and_where_is_no_option():
    def spread(hidden, *, where=None):
        return hidden

    term, numbers = parsed({'loss': spread, 'hidden': 'student.hidden1'})
    assert term.compares
    assert (term.static, numbers) == ({}, {'weight': 1.0})
    with pytest.raises(UserError, match="takes no 'where'"):
        parsed({'loss': spread, 'hidden': 'student.hidden1', 'where': 'batch.labelled'})


def test_a_whole_number_of_a_loss_is_fixed_and_a_list_becomes_a_tuple():
    def gap(student, *, power: int = 2, groups: tuple[int, ...] = ()):
        return student**power

    term, numbers = parsed({'loss': gap, 'student': 'student.logits', 'groups': [3, 4]})
    assert term.static == {'power': 2, 'groups': (3, 4)}
    assert numbers == {'weight': 1.0}


def test_a_loss_may_demand_a_number():
    def scaled(student, *, scale: float):
        return scale * student

    term = {'loss': scaled, 'student': 'student.logits'}
    with pytest.raises(UserError, match='loss scaled needs scale'):
        parsed(term)
    assert parsed({**term, 'scale': 2})[1] == {'scale': 2.0, 'weight': 1.0}


@pytest.mark.parametrize(
    ('config', 'place', 'hint'),
    [
        ({'weight': 1.0}, '', ' has no loss. Known: activation_boundaries,'),
        ({**SOFT, 'loss': 'kdd'}, '', ": there is no loss 'kdd'. Did you mean 'kd'"),
        ({**SOFT, 'temperature': 2.0}, '', ": loss kd takes no 'temperature'. Known: average, loss"),
        ({**SOFT, 'averge': 'logits'}, '', ": loss kd takes no 'averge'. Did you mean 'average'"),
        ({**SOFT, 'average': 'logit'}, '', ": there is no average 'logit'. Did you mean 'logits'"),
        ({**SOFT, 'mask': {}}, '', ": a path looks like 'student.logits' or 'batch.label', not {}"),
        ({**SOFT, 'average': 3}, '', ': there is no average 3'),
        ({**SOFT, 'standardise': 2}, '', ': there is no standardise 2. Known: False, True, code.'),
        ({**SOFT, 'shares': (0.5, 'a')}, '.shares', " is (0.5, 'a'), but it must be a tuple of numbers"),
        ({**SOFT, 't': 1e-30}, '.t', ' is 1e-30, but it must lie between 1e-6 and 1e6, because'),
        ({**SOFT, 'weight': 1e39}, '.weight', ' is 1e+39, which becomes infinite in float32'),
        ({**SOFT, 't': -4.0}, '.t', ' is -4, but it must be greater than 0'),
        ({**SOFT, 't': 'hot'}, '.t', " is 'hot', which is not a number"),
        ({**SOFT, 'weight': 'big'}, '.weight', " is 'big', which is not a number"),
        ({**SOFT, 't': {'schedule': 'linaer'}}, '.t', ": there is no schedule 'linaer'. Did you mean 'linear'"),
        ({**SOFT, 'target': 'teacher'}, '', ": a path looks like 'student.logits' or 'batch.label', not 'teacher'"),
        ({**SOFT, 'target': 7}, '', ": a path looks like 'student.logits' or 'batch.label', not 7"),
        ({**SOFT, 'target': ['teacher.logits', None]}, '', ": a path looks like 'student.logits' or"),
        ({'loss': 'cross_entropy'}, '', ': loss cross_entropy needs a path for logits, labels'),
        ({**HARD, 'label_smoothing': 1.5}, '.label_smoothing', ' is 1.5, but it must lie between 0 and 1'),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_cure(config, place, hint):
    with pytest.raises(UserError) as error:
        parsed(config)
    assert str(error.value).startswith(f"c, term 'a'{place}{hint}")


def test_results_that_are_not_known_yet_count_as_one():
    tree = {'t': 'result:first.t', 'weight': {'schedule': 'linear', 'start': 'result:first.start', 'end': 3.0}}
    assert unknown_results_as_ones(tree) == {'t': 1.0, 'weight': {'schedule': 'linear', 'start': 1.0, 'end': 3.0}}
