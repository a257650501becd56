"""What a config says about networks without any effect."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.prepare.check_effects import check_effects, check_tensor
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.abstract_mesh import mesh
from tests.small_recipes import BATCH, SMALL, hard, mixture, soft

OWN = {'optimizer': {'learning_rate': 0.1}}
BEGUN = {**SMALL, 'init': 'run:other'}
FROZEN = {**BEGUN, 'update': 'frozen'}

AS_IMAGE = {**SMALL, 'num_classes': 5}  # as many as numbers in an image
THROUGH_B, TWIN = {**SMALL, 'input': 'b.logits'}, {'update': 'shared', 'of': 'a', 'input': 'batch.image'}


def check(networks, terms, **options):
    config = {'networks': networks, 'terms': terms, 'optimizer': {'learning_rate': 0.5}, 'epochs': 1, **options}
    recipe = parse_recipe(config, 'c')
    check_effects(recipe, config, check_recipe(recipe, BATCH, 'c'), 'c')


HARD = {'hard': hard('a')}


@pytest.mark.parametrize(
    ('networks', 'terms', 'options'),
    [
        ({'a': SMALL}, HARD, {}),
        ({'a': {**SMALL, **OWN}, 'b': SMALL}, {**HARD, 'other': hard('b')}, {}),
        ({'a': SMALL, 'b': {**FROZEN, 'part': ['head', 'dense1']}}, {**HARD, 'soft': soft('a', 'b.logits')}, {}),
        # Through another network, and through a function of both.
        ({'a': {**SMALL, 'input': 'b.logits'}, 'b': SMALL}, HARD, {}),
        ({'a': SMALL, 'b': SMALL, 'c': mixture('a', 'b')}, {'both': hard('c')}, {}),
        # A network that is reached through another one with the same parameters, and by a term of its own.
        ({'b': AS_IMAGE, 'a': THROUGH_B, 'twin': TWIN}, {'first': hard('a'), 'then': hard('twin')}, {}),
        ({'b': AS_IMAGE, 'a': THROUGH_B, 'twin': TWIN}, {'then': hard('twin'), 'first': hard('a')}, {}),
        ({'a': {**SMALL, 'sharding': 'fsdp'}}, HARD, {'mesh': {'fsdp': -1}}),
        ({'a': SMALL, 'b': SMALL}, HARD, {'epochs': 0}),
        # A teacher that goes on learning from labels, and one that has no weights to keep.
        ({'a': SMALL, 'b': BEGUN}, {**HARD, 'soft': soft('a', 'b.logits'), 'own': hard('b')}, {}),
        ({'a': SMALL, 'b': SMALL}, {**HARD, 'soft': soft('a', 'b.logits')}, {}),
        # Without parameters there is nothing to learn.
        ({'a': SMALL, 'n': {'model': 'noise', 'input': 'a.logits'}}, {'soft': soft('a', '~n.logits')}, {}),
    ],
)
def test_what_has_an_effect_passes(networks, terms, options):
    check(networks, terms, **options)


@pytest.mark.parametrize(
    ('networks', 'terms', 'said'),
    [
        ({'a': SMALL, 'b': SMALL}, HARD, "c, network 'b' is trained, but no term sends it a gradient"),
        ({'a': SMALL, 'b': SMALL}, {**HARD, 'soft': soft('a', '~b.logits')}, "c, network 'b' is trained, but no term"),
        ({'a': SMALL, 'b': SMALL, 'c': mixture('a', '~b')}, {'both': hard('c')}, "c, network 'b' is trained, but no"),
        ({'a': {**SMALL, 'input': '~b.logits'}, 'b': SMALL}, HARD, "c, network 'b' is trained, but no term sends"),
        ({'a': {**SMALL, **OWN}}, HARD, 'c: optimizer has no effect, because every trained network has its own'),
        ({'a': SMALL, 'b': {**SMALL, 'update': 'frozen'}}, HARD, "c, network 'b' is frozen but has no weights to load"),
        (
            {'a': SMALL, 'b': BEGUN},
            {**HARD, 'soft': soft('a', 'b.logits')},
            "c, network 'b' starts from the weights of 'run:other' and is trained, but only as a target",
        ),
        (
            {'a': SMALL, 'b': BEGUN, 'through': {**SMALL, 'input': 'b.logits'}},
            {**HARD, 'soft': soft('a', 'through.logits')},
            "c, network 'b' starts from the weights of 'run:other' and is trained, but only as a target",
        ),
        (
            {'a': SMALL, 'b': {**FROZEN, 'fresh': 'head'}},
            HARD,
            "c, network 'b' is frozen, but fresh leaves head at random values for ever",
        ),
        (
            {'a': SMALL, 'b': {**FROZEN, 'part': 'head'}},
            HARD,
            "c, network 'b' is frozen, but part leaves dense1 at random values for ever",
        ),
        ({'a': {**SMALL, 'sharding': 'fsdp'}}, HARD, "c, network 'a': sharding='fsdp' splits its parameters over the"),
    ],
)
def test_what_has_no_effect_is_refused(networks, terms, said):
    with pytest.raises(UserError) as error:
        check(networks, terms)
    assert str(error.value).startswith(said)


TEXT = dict(model='decoder', vocabulary=8, width=16, layers=1, heads=4, kv_heads=2, mlp_width=12, input='batch.tokens')


@pytest.mark.parametrize(
    ('networks', 'tensor', 'said'),
    [
        ({'a': SMALL}, 2, 'c: mesh.tensor=2 splits language models (decoder, encoder), but the networks a are none;'),
        ({'a': SMALL, 'b': TEXT}, 4, ''),  # more devices than heads of keys
        ({'a': SMALL}, 1, ''),
        (
            {'a': TEXT},
            3,
            "c, network 'a': heads is 4, which mesh.tensor=3 cannot split evenly; choose a tensor that divides heads=4 "
            'and mlp_width=12, such as 1.',
        ),
        ({'a': {**TEXT, 'mlp_width': 10}}, 4, "c, network 'a': mlp_width is 10, which mesh.tensor=4 cannot split"),
    ],
)
def test_the_axis_tensor_splits_language_models_evenly(networks, tensor, said):
    recipe = parse_recipe({'networks': networks, **OWN})
    if not said:
        check_tensor(recipe, mesh(tensor=tensor), 'c')
        return
    with pytest.raises(UserError) as error:
        check_tensor(recipe, mesh(tensor=tensor), 'c')
    assert str(error.value).startswith(said)
