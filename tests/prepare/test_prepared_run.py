"""A run's config made into objects: batches, evaluation and views."""

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.sources import Source
from kd_jax.models.pretrained import Pretrained
from kd_jax.prepare.prepared_run import count_parameters, prepare_run
from tests.small_recipes import mixture
from tests.train_one import train_run

MAP = np.array([[2.0], [-1.0], [0.5]], np.float32)


def linear_numbers():
    """Inputs and targets of a linear map under names of their own: no image, no label, no classes."""
    rng = np.random.default_rng(0)
    points = [rng.normal(size=(count, 3)).astype(np.float32) for count in (80, 40)]
    train, test = ({'points': x, 'value': x @ MAP} for x in points)
    return Source(train, test)


def teacher():
    return Pretrained(lambda arrays, x: x @ arrays['map'], {'map': MAP})


def regression(**options):
    return {
        'data': {'source': linear_numbers, 'valid': 16}, 'batch_size': 16, 'epochs': 20, 'eval_every': 20,
        'optimizer': {'name': 'adam', 'learning_rate': 0.1},
        'networks': {
            'teacher': {'model': teacher, 'input': 'batch.points', 'update': 'frozen'},
            'student': {'model': 'mlp', 'hidden': (), 'num_classes': 1, 'input': 'batch.points'},
        },
        'terms': {'soft': {'loss': 'mse', 'student': 'student.logits', 'target': 'teacher.logits'}},
        **options,
    }  # fmt: skip


@pytest.mark.parametrize('cache', [False, True])
def test_a_run_learns_numbers_from_batches_without_image_and_label(cache, tmp_path):
    measured = {'student': {'metrics': 'regression', 'prediction': 'student.logits', 'target': 'batch.value'}}
    prepared = prepare_run(regression(evaluate=measured, cache=cache), 0, 'c')
    result = train_run(prepared, tmp_path, {}, lambda *_: None)
    assert result['examples'] == {'train': 64, 'valid': 16, 'test': 40}
    assert result['last']['test']['student']['mse'] < 1e-2 < 1e-1 * np.var(linear_numbers().test['value'])


def without_test_values():
    made = linear_numbers()
    return Source(made.train, {'points': made.test['points']})


def test_what_evaluation_reads_must_be_in_every_split_that_is_evaluated():
    measured = {'student': {'metrics': 'regression', 'prediction': 'student.logits', 'target': 'batch.value'}}
    config = regression(evaluate=measured, data={'source': without_test_values, 'valid': 16})
    with pytest.raises(
        UserError, match=r"'batch.value' is read in evaluation, but the test arrays have no 'value'; they"
    ):
        prepare_run(config, 0, 'c')
    prepare_run(regression(data={'source': without_test_values, 'valid': 16}), 0, 'c')


def test_without_labels_nothing_is_evaluated_unless_the_config_names_it():
    assert prepare_run(regression(), 0, 'c').evaluator.measured == {}


def images():
    split = {'image': np.zeros((8, 6, 6), np.uint8), 'label': np.arange(8) % 2}
    return Source(split, split, 2)


@pytest.mark.parametrize(
    ('data', 'view'),
    [({'augment': {'crop': 2}, 'views': 3}, 2), ({'augment': {'crop': 2}}, 5), ({}, 0)],
)
def test_an_epoch_has_a_view_of_its_own_if_images_are_augmented_and_views_are_not_limited(data, view):
    hard = {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}
    student = {'model': 'mlp', 'hidden': (), 'num_classes': 2}
    config = regression(data={'source': images, **data}, batch_size=4, networks={'student': student}, terms={'a': hard})
    # Step 10 is the first one of epoch 5.
    np.testing.assert_array_equal(prepare_run(config, 0, 'c').order.steps(10, 1)[1], [view])


def test_a_function_of_two_networks_runs_with_the_parameters_of_both():
    student = {'model': 'mlp', 'num_classes': 1, 'input': 'batch.points'}
    networks = {
        'a': {**student, 'hidden': ()}, 'b': {**student, 'hidden': (2,)}, 'c': mixture('a', '~b', input='batch.points'),
    }  # fmt: skip
    soft = {'loss': 'mse', 'student': 'c.logits', 'target': 'batch.value'}
    terms = {'soft': soft, 'other': {**soft, 'student': 'b.logits'}}
    prepared = prepare_run(regression(networks=networks, terms=terms), 0, 'c')
    counts = [count_parameters(prepared, network) for network in prepared.recipe.networks]
    assert counts == [3 + 1, 3 * 2 + 2 + 2 + 1, 4 + 11]


def test_an_option_of_data_must_exist_even_if_its_value_is_a_result_to_come():
    data = {'source': linear_numbers, 'valid': 16, 'exmaples': 'result:first.count'}
    with pytest.raises(UserError, match=r"c, data: there is no option 'exmaples'. Did you mean 'examples'"):
        prepare_run(regression(data=data), 0, 'c')


def test_steps_are_counted_in_32_bits():
    with pytest.raises(
        UserError, match=r'c: epochs is 1e\+09, which is 4e\+09 steps, but steps are counted in 32 bits'
    ):
        prepare_run(regression(epochs=1e9), 0, 'c')
