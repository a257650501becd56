"""Mistakes in a model are one sentence that names the network, before training."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.check_networks import check_network
from kd_jax.models import cnn
from kd_jax.prepare.parse_recipe import parse_recipe


class Returns(nn.Module):
    """A model that returns what the field says."""

    what: str = 'logits'
    width: int = 3
    classes: int = 2
    only_in_training: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        logits = nn.Dense(2)(nn.Dense(self.width)(x.reshape(x.shape[0], -1)))[:, : self.classes]
        if self.only_in_training and train:
            return logits + undefined_name  # noqa: F821
        return {
            'logits': logits, 'tuple': (logits, logits), 'none': None, 'list': [logits], 'empty': {},
            'named': {'logits': logits, 'features': logits}, 'number': {'logits': logits, 'scale': 2.0},
            'nested': {'more': {'logits': logits}}, 'text': {'kind': 'mlp'}, 'numbered': {0: logits},
        }[self.what]  # fmt: skip


class ChannelsFirst(nn.Module):
    """A model that turns images with channels first itself."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Conv(2, (3, 3))(x.transpose(0, 2, 3, 1)).mean((1, 2))


def checked(shape=(4, 8, 8, 3), **network):
    recipe = parse_recipe({'networks': {'net': network}, 'optimizer': {'learning_rate': 0.1}})
    context = {'batch': {'image': jax.ShapeDtypeStruct(shape, jnp.float32)}}
    return check_network(recipe.network('net'), context, "run 'a', network 'net'")


@pytest.mark.parametrize(('what', 'names'), [('logits', ['logits']), ('named', ['features', 'logits'])])
@pytest.mark.parametrize('copies', [0, 2])
def test_an_array_is_the_logits_and_a_dictionary_names_its_arrays(what, names, copies):
    found = checked(model=Returns, what=what, copies=copies)
    assert sorted(found) == names
    assert found['logits'].shape == ((2, 4, 2) if copies else (4, 2))


def test_a_number_is_an_activation():
    assert checked(model=Returns, what='number')['scale'].shape == ()


@pytest.mark.parametrize(
    ('what', 'said'),
    [
        ('tuple', 'of type tuple,'), ('none', 'of type NoneType,'), ('list', 'of type list,'),
        ('empty', 'of type dict,'), ('nested', "with 'more' of type dict,"), ('text', "with 'kind' of type str,"),
        ('numbered', 'with 0 of type'),
    ],
)  # fmt: skip
def test_a_model_that_returns_no_arrays_is_refused(what, said):
    with pytest.raises(UserError) as error:
        checked(model=Returns, what=what)
    assert str(error.value).startswith("run 'a', network 'net': its model returns an object of type ")
    assert said in str(error.value)
    assert 'it must return one array, the logits, or a dictionary of arrays by name' in str(error.value)


def test_a_size_of_0_is_refused():
    with pytest.raises(UserError, match=r"network 'net' .*(does a layer have size 0\?|a size in its model is 0.)"):
        checked(model=Returns, width=0)
    with pytest.raises(UserError, match=r"network 'net' reads batch.image .* gives logits \[4, 0\]: a size in"):
        checked(model=Returns, classes=0)


def test_a_mistake_that_shows_in_training_mode_only_is_found_and_has_its_line():
    with pytest.raises(UserError, match=r"NameError: name 'undefined_name' is not defined \(tests.*, line \d+\)"):
        checked(model=Returns, only_in_training=True)
    checked(model=Returns, only_in_training=True, update='frozen')


@pytest.mark.parametrize('copies', [0, 2])
def test_images_with_channels_first_are_refused_by_what_convolves_over_their_width(copies):
    with pytest.raises(UserError) as error:
        checked((4, 3, 16, 16), model=cnn, channels=(4, 4), copies=copies)
    assert "network 'net': 'batch.image' has the shape [4, 3, 16, 16], and its convolutions take the last axis" in str(
        error.value
    )
    assert str(error.value).endswith('give arrays of [4, 16, 16, 3], for example images.transpose(0, 2, 3, 1).')
    checked((4, 16, 16, 3), model=cnn, channels=(4, 4), copies=copies)
    checked((4, 3, 16, 16), model=ChannelsFirst, copies=copies)
    checked((4, 3, 16, 16), model='mlp', hidden=(), copies=copies)
