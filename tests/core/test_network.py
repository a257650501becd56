"""One network: its normalisation, its precision, its numbers, and whether it learns."""

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.forward import run_networks
from kd_jax.core.network import Network, Normalize
from kd_jax.core.state import all_variables
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.small_recipes import BATCH, LINEAR, SMALL, Mixture, assert_close, hard, head, recipe_of, soft, start


def test_each_network_sees_images_normalized_its_own_way():
    rgb = {**BATCH, 'image': BATCH['image'][:, :3]}
    own = {'normalize': {'mean': (0.5, 0.25, 0.0), 'std': (0.5, 0.25, 2.0)}}
    networks = {
        'student': LINEAR,
        'teacher': {**LINEAR, **own, 'update': 'frozen'},
        'single': {**LINEAR, 'normalize': {'mean': 0.5, 'std': 2.0}, 'copies': 2},
    }
    recipe = recipe_of(networks, {'soft': soft('student', 'teacher.logits')})
    state, frozen = start(recipe, rgb)
    variables, key = all_variables(state, frozen, {}), jax.random.key(0)
    context, _ = run_networks(recipe.networks, variables, {'batch': rgb}, key, train=True)
    for name, image in (
        ('student', rgb['image']),
        ('teacher', (rgb['image'] - [0.5, 0.25, 0.0]) / [0.5, 0.25, 2.0]),
        ('single', (rgb['image'] - 0.5) / 2.0),
    ):
        kernel, bias = head(variables[name]['params'])
        assert_close(context[name]['logits'], image @ kernel + bias[..., None, :], rtol=1e-4, atol=1e-5)


def test_a_network_may_compute_in_another_precision_than_the_run():
    networks = {'student': {**SMALL, 'compute_dtype': 'float32'}, 'teacher': {**SMALL, 'update': 'frozen'}}
    recipe = parse_recipe({'networks': networks, 'optimizer': {'learning_rate': 1.0}, 'compute_dtype': 'bfloat16'})
    assert {n.name: n.compute_dtype for n in recipe.networks} == {'student': 'float32', 'teacher': 'bfloat16'}
    with pytest.raises(UserError, match=r"there is no compute_dtype 'bf16'. Did you mean 'bfloat16'"):
        recipe_of({'a': {**SMALL, 'compute_dtype': 'bf16'}}, {})


def test_normalised_images_are_the_distance_to_the_mean_in_standard_deviations():
    image = np.float32([[[0.5, 0.75], [1.0, 0.25]]])
    found = Normalize.parse({'mean': (0.5, 0.25), 'std': [0.5, 0.25]}, 'here')(image)
    np.testing.assert_allclose(found, [[[0.0, 2.0], [1.0, 0.0]]])
    np.testing.assert_allclose(Normalize.parse({'mean': 0.5, 'std': 0.25}, 'here')(image), 4.0 * (image - 0.5))
    with pytest.raises(ValueError, match='has 3 means, but the input has 2 channels'):
        Normalize((0.0,) * 3, (1.0,) * 3)(image)
    with pytest.raises(ValueError, match='needs floats, but the input has type uint8'):
        Normalize((0.0,), (1.0,))(image.astype(np.uint8))


def test_a_network_learns_and_is_in_training_mode_as_those_that_it_uses():
    shared = {'update': 'shared', 'input': 'batch.image'}
    networks = {
        'a': SMALL,
        'b': LINEAR,
        'teacher': {**LINEAR, 'update': 'frozen'},
        'again': {**shared, 'of': 'a'},
        'constant': {**shared, 'of': '~a'},
        'taught': {**shared, 'of': 'teacher'},
        'mix': {**shared, 'model': Mixture, 'of': ['~b', 'teacher']},
    }
    made = recipe_of(networks, {'a': hard('a'), 'b': hard('b')}).networks
    assert {network.name for network in made if network.learns} == {'a', 'b', 'again'}
    assert {network.name for network in made if network.in_training_mode} == {'a', 'b', 'again', 'constant', 'mix'}
    assert {network.name for network in made if network.several} == {'mix'}


def test_a_function_of_a_network_sees_the_numbers_of_that_network():
    rising = {'schedule': 'linear', 'start': 0.0, 'end': 0.5}
    networks = {'a': {**SMALL, 'dropout': rising}, 'mix': {'model': Mixture, 'update': 'shared', 'of': ['a', '~a']}}
    mix = recipe_of(networks, {'hard': hard('a')}).network('mix')
    changed = mix.at({'a': {'dropout': 0.25}, 'other': {'dropout': 0.75}})
    assert [source.module.dropout for source in changed.module.networks] == [0.25, 0.25]
    assert mix.at({'other': {'dropout': 0.75}}) is mix


@pytest.mark.parametrize(('shape', 'copies', 'convolves'), [((3, 3, 1, 2), 0, True), ((2, 3, 3, 4), 2, False)])
def test_a_kernel_of_four_axes_without_that_of_copies_is_a_convolution(shape, copies, convolves):
    assert Network('a', None, (), copies=copies).convolves({'kernel': np.zeros(shape)}) == convolves


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        ({'mean': 0.5}, r"here is {'mean': 0.5}, but it must be dict\(mean=..., std=...\)"),
        ({'mean': 'a', 'std': 1.0}, 'here: mean and std must be numbers, one or one for each channel'),
        ({'mean': (0.5, 0.5), 'std': 1.0}, 'here: mean and std must be of equal length'),
        ({'mean': (), 'std': ()}, 'here: mean and std must be of equal length'),
        ({'mean': 0.5, 'std': 0.0}, 'here.std is 0, but it must be greater than 0'),
        ({'mean': (0.5, 0.5), 'std': (1.0, float('nan'))}, 'here.std is nan, but it must be finite'),
        ({'mean': 10**400, 'std': 1.0}, 'here.mean is inf, but it must be finite'),
    ],
)
def test_a_normalisation_that_cannot_be_is_refused(config, said):
    with pytest.raises(UserError, match=said):
        Normalize.parse(config, 'here')
