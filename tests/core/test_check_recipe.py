import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.evaluation.evaluator import Evaluator
from kd_jax.prepare.parse_recipe import parse_recipe

BATCH = {'image': jnp.ones((4, 3, 3)), 'label': jnp.array([0, 1, 2, 0])}
NET = {'model': 'mlp', 'hidden': (5,), 'num_classes': 3}
SGD = {'name': 'sgd', 'learning_rate': 0.1}


def recipe_of(networks, terms=None):
    return parse_recipe({'networks': networks, 'terms': terms or {}, 'optimizer': SGD})


def test_copies_share_the_input_of_a_single_network():
    made = recipe_of({'body': NET, 'head': {**NET, 'input': 'body.hidden1', 'copies': 2}})
    context = check_recipe(made, BATCH)
    assert context['head']['logits'].shape == (2, 4, 3)


def test_a_batch_of_64_bit_numbers_is_checked_as_the_32_bits_that_programs_compute_with():
    numbers = {'image': np.ones((4, 3, 3)), 'label': np.array([0, 1, 2, 0])}
    batch = check_recipe(recipe_of({'body': NET}), numbers)['batch']
    assert (batch['image'].dtype, batch['label'].dtype) == (np.float32, np.int32)


def test_an_average_of_another_model_is_refused():
    with pytest.raises(UserError, match="network 'mean' follows 'student', so it must have the same model"):
        check_recipe(
            recipe_of(
                {'student': NET, 'mean': {**NET, 'hidden': (6,), 'update': 'follow', 'rule': 'ema', 'of': 'student'}}
            ),
            BATCH,
        )


def test_an_evaluation_against_stacked_teachers_of_a_single_student_is_refused_before_training():
    made = recipe_of({'student': NET, 'teacher': {**NET, 'update': 'frozen', 'copies': 3, 'init': 'run:x'}})
    evaluator = Evaluator(made, {'student': {'logits': 'student.logits', 'teacher': 'teacher.logits'}}, 'c')
    with pytest.raises(
        UserError, match=r"evaluate 'student' does not fit student.logits \[4, 3\], .*teacher.logits \[3, 4, 3\]"
    ):
        evaluator.check(check_recipe(made, BATCH), 'c')


def relation(student, target):
    return {'relation': {'loss': 'cka', 'student': student, 'target': target}}


def test_a_relation_on_a_batch_of_one_is_refused_before_training():
    one = {name: array[:1] for name, array in BATCH.items()}
    networks = {'student': NET, 'teacher': {**NET, 'update': 'frozen'}}
    with pytest.raises(
        UserError, match=r"term 'relation' does not fit .*: the loss compares examples of a batch .* at least 2"
    ):
        check_recipe(recipe_of(networks, relation('student.hidden1', 'teacher.hidden1')), one)


def test_maps_of_other_sizes_and_layers_that_do_not_exist_are_refused_before_training():
    small, large = ({'model': 'cnn', 'channels': channels, 'num_classes': 3} for channels in ((2, 4), (2, 4, 8)))
    batch = {'image': jnp.ones((4, 8, 8)), 'label': jnp.arange(4)}
    networks = {'student': small, 'teacher': {**large, 'update': 'frozen'}}
    term = {'loss': 'attention_transfer', 'student': 'student.block2', 'target': 'teacher.block3'}
    message = r"student's maps are 2 x 2 and the teacher's 1 x 1: put a connector of size=\(1, 1\)"
    with pytest.raises(UserError, match=message):
        check_recipe(recipe_of(networks, {'attention': term}), batch)
    with pytest.raises(UserError, match=r"'student.blok2', which does not exist. Did you mean 'student.block2'"):
        check_recipe(recipe_of(networks, {'attention': {**term, 'student': 'student.blok2'}}), batch)


def test_connectors_are_not_evaluated_and_those_that_are_asked_for_must_give_logits():
    made = recipe_of({'student': NET, 'hint': {'model': 'connector', 'input': 'student.hidden1', 'channels': 4}})
    evaluator = Evaluator(made, {}, 'c')
    evaluator.check(check_recipe(made, BATCH), 'c')
    assert set(evaluator.measured) == {'student'}
    with pytest.raises(UserError, match=r"reads 'hint.logits', which does not exist"):
        Evaluator(made, {'hint': {'logits': 'hint.logits'}}, 'c').check(check_recipe(made, BATCH), 'c')


@pytest.mark.parametrize(
    ('returned', 'said'),
    [
        (lambda logits: None, 'NoneType'), (lambda logits: (logits, logits), 'tuple'), (lambda logits: 1.0, 'float'),
        (lambda logits: (value for value in logits), 'generator'),
        (lambda logits: logits.argmax(-1), r'int32\[4\]'), (lambda logits: logits[:, 0] > 0, r'bool\[4\]'),
        (lambda logits: logits[:, 0] * 1j, r'complex64\[4\]'), (lambda logits: logits[:0, 0], r'float32\[0\]'),
    ],
)  # fmt: skip
def test_a_loss_that_returns_no_floats_is_refused(returned, said):
    made = recipe_of({'student': NET}, {'own': {'loss': returned, 'logits': 'student.logits'}})
    with pytest.raises(
        UserError, match=rf"term 'own' .*: the loss returns {said}, but it must return an array of float"
    ):
        check_recipe(made, BATCH)
