"""What a recipe says of its networks: which run outside the gradient, which may be recorded, which are copies."""

from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.recipe import outside_gradient, recordable, trained_copies
from tests.small_recipes import BATCH, LINEAR, SMALL, hard, mixture, recipe_of, soft


def test_only_what_depends_on_trained_parameters_runs_inside_the_gradient():
    networks = {
        'student': SMALL,
        'mean': {**SMALL, 'update': 'follow', 'rule': 'ema', 'of': 'student'},
        'teacher': {**SMALL, 'update': 'frozen'},
        'reader': {**LINEAR, 'update': 'frozen', 'input': 'teacher.hidden1'},
        'judge': {**LINEAR, 'update': 'frozen', 'input': 'student.hidden1'},
    }
    fixed = outside_gradient(recipe_of(networks, {}))
    assert {network.name for network in fixed} == {'mean', 'teacher', 'reader'}


def test_outputs_that_change_with_a_schedule_are_not_recorded():
    frozen, rising = {**SMALL, 'update': 'frozen'}, {'schedule': 'linear', 'start': 0.0, 'end': 0.5}
    networks = {'a': SMALL, 't': frozen, 'u': {**frozen, 'dropout': rising}, 'v': {**frozen, 'input': 'u.logits'}}
    assert {network.name for network in recordable(recipe_of(networks, {'hard': hard('a')}))} == {'t'}


def test_a_network_may_read_what_is_a_function_of_itself():
    # As a rollout does: what the student and the teacher wrote is what the student reads.
    frozen = {**LINEAR, 'num_classes': 5, 'update': 'frozen'}
    mix = mixture('~a', '~t')
    networks = {'a': {**frozen, 'update': 'sgd', 'input': 'mix.logits'}, 't': frozen, 'mix': mix}
    recipe = recipe_of(networks, {'hard': hard('a')})
    assert [network.name for network in recipe.networks].index('mix') < 2
    assert {network.name for network in outside_gradient(recipe)} == {'t', 'mix'}
    assert check_recipe(recipe, BATCH)['a']['logits'].shape == (8, 5)


def test_a_frozen_network_that_reads_what_changes_is_not_recorded():
    networks = {
        'a': SMALL,
        'attack': {'model': 'pgd', 'update': 'shared', 'of': '~a', 'input': ['batch.image', 'batch.label']},
        'teacher': {**SMALL, 'update': 'frozen'},
        'on_attack': {**SMALL, 'update': 'frozen', 'input': 'attack.image'},
        'after': {**SMALL, 'update': 'frozen', 'input': 'on_attack.logits'},
    }
    recipe = recipe_of(networks, {'hard': hard('a')})
    assert {network.name for network in recordable(recipe)} == {'teacher'}
    assert {network.name for network in outside_gradient(recipe)} == {'attack', 'teacher', 'on_attack', 'after'}


def test_networks_by_how_their_parameters_change():
    networks = {
        'student': SMALL,
        'mean': {**SMALL, 'update': 'follow', 'rule': 'ema', 'of': 'student'},
        'teacher': {**SMALL, 'update': 'frozen'},
        'again': {'update': 'shared', 'of': 'student'},
    }
    recipe = recipe_of(networks, {})
    for of, wanted in (
        ('trained', {'student'}),
        ('following', {'mean'}),
        ('frozen', {'teacher'}),
        ('moving', {'student', 'mean'}),
        ('owners', {'student', 'mean', 'teacher'}),
    ):
        assert {network.name for network in getattr(recipe, of)} == wanted


def test_a_term_trains_the_copies_that_a_gradient_of_it_reaches():
    networks = {'one': SMALL, 'two': {**SMALL, 'copies': 2}, 'teachers': {**SMALL, 'copies': 3, 'update': 'frozen'}}
    terms = {
        'one': soft('one', 'teachers.logits'),
        'two': soft('two', 'teachers.logits'),
        'both': soft('one', 'two.logits'),
        'stopped': soft('one', '~two.logits'),
    }
    recipe = recipe_of(networks, terms)
    copies = {term.name: trained_copies(term, recipe) for term in recipe.terms}
    assert copies == {'one': 0, 'two': 2, 'both': 2, 'stopped': 0}
