import flax.linen as nn
import pytest

from kd_jax.config.errors import UserError
from tests.small_recipes import LINEAR, SMALL, hard, mixture, recipe_of

OTHERS = {
    'stack': {**SMALL, 'copies': 2},
    'low': {**SMALL, 'compute_dtype': 'bfloat16'},
    'after': {**SMALL, 'input': 'b.logits'},
}


RISING = {'schedule': 'linear', 'start': 0.0, 'end': 0.5}


class NoNumbers(nn.Module):
    units: int = 3


def test_a_schedule_is_a_leaf_of_hparams_and_the_module_has_its_value_at_the_start():
    falling = {'schedule': 'linear', 'start': 0.4, 'end': 0.0}
    recipe = recipe_of({'a': {**SMALL, 'dropout': falling, 'dropout_input': 0.1}}, {'hard': hard('a')})
    network = recipe.network('a')
    assert (network.module.dropout, network.module.dropout_input) == (pytest.approx(0.4), 0.1)
    assert network.schedules == {'dropout': 'linear'}
    assert recipe.hparams['networks'] == {'a': {'dropout': {'start': 0.4, 'end': 0.0}}}
    assert network.at({'a': {'dropout': 0.2}}).module.dropout == 0.2


def test_networks_of_constant_numbers_have_no_leaves():
    recipe = recipe_of({'a': {**SMALL, 'dropout': 0.3}}, {'hard': hard('a')})
    assert recipe.hparams['networks'] == {}
    assert recipe.network('a').at({'b': {'dropout': 0.2}}) is recipe.network('a')


def test_a_network_that_trains_takes_nothing_of_another():
    with pytest.raises(UserError, match=r"'a': of='b' needs update='follow' or 'shared', but update is 'sgd'\."):
        recipe_of({'a': {**SMALL, 'of': 'b'}, 'b': SMALL}, {'hard': hard('a')})


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (
            {**LINEAR, 'num_classes': RISING},
            "network 'a'.num_classes is a schedule, but only an option that is declared as a float can be one, such "
            'as dropout_input, dropout, init_sd',
        ),
        ({'model': NoNumbers, 'units': RISING}, r'units is a schedule, but only .*, and this model has none'),
        ({'model': 'masked_generator', 'channels': 3, 'over': RISING}, 'over is a schedule.* such as share'),
        ({**SMALL, 'dropout': {**RISING, 'schedule': 'linaer'}}, "dropout: there is no schedule 'linaer'.*'linear'"),
        ({**SMALL, 'dropout': {**RISING, 'end': 1.5}}, r"'a'.dropout.end is 1.5, but it must lie between 0 and 1"),
        ({**SMALL, 'dropout': {'start': 0.1}}, r"'a'.dropout is {'start': 0.1}, which is not a number"),
        ({**SMALL, 'dropout': 'b.t'}, r"'a'.dropout is 'b.t', which is not a number"),
        ({**SMALL, 'dropuot': RISING}, r"takes no 'dropuot'.*'dropout'"),
        ({**SMALL, 'copies': RISING}, r'copies is .* but it must be a whole number'),
        (
            {**SMALL, 'update': 'follow', 'of': 'b', 'rule': 'copy', 'every': 2**31},
            "'a'.every is 2147483648",
        ),
        (
            {**SMALL, 'init': 'run:b', 'fresh': ({},)},
            r"'a': fresh is \({},\), but it must be a list of names of modules",
        ),
        ({**SMALL, 'copies': 10**8}, r"'a': copies is 100000000, but at most 1000 copies are trained together"),
        ({**SMALL, 'num_classes': -2}, r"'a'.num_classes is -2, but it must be 1 or more"),
        ({**SMALL, 'num_classes': 0}, r"'a'.num_classes is 0, but it must be 1 or more"),
        ({**SMALL, 'hidden': (0,)}, r"'a'.hidden is \(0,\), but it must be a tuple of whole numbers, 1 or more"),
        ({'model': 'wide_resnet', 'depth': 6 * 10**8 + 4}, r"'a'.depth is 6e\+08, but it must be at most 2000"),
        ({'model': 'masked_generator', 'channels': 0}, r"'a'.channels is 0, but it must be 1 or more"),
        ({'model': 'masked_generator', 'channels': 3, 'share': 2}, r"'a'.share is 2, but it must lie between 0 and 1"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(network, message):
    with pytest.raises(UserError, match=message):
        recipe_of({'a': network}, {'hard': hard('a')})


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (
            {'fresh': ('head',)},
            r"'a' has fresh=\('head',\) but no init from which weights are taken; set init, or leave",
        ),
        ({'part': 'head', 'update': 'frozen'}, r"'a' has part=\('head',\) but no init from which weights are taken"),
        (
            {'init_layers': (1,)},
            r"'a' has init_layers=\(1,\) but no init from which weights are taken; set init, or leave",
        ),
        ({'part': 'head', 'fresh': 'dense1', 'init': 'run:b'}, r"'a' has both fresh and part; part alone says"),
        (
            {'update': 'frozen', 'init': 'run:b', 'optimizer': {'learning_rate': 1.0}},
            r"'a' has an optimizer, but update='frozen' does not train it; leave one of them out",
        ),
    ],
)
def test_an_option_without_effect_is_refused(network, message):
    with pytest.raises(UserError, match=message):
        recipe_of({'a': {**SMALL, **network}}, {'hard': hard('a')})


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        ({'update': 'shared', 'of': 'aa'}, r"network 'b' shares the parameters of 'aa', which is no network .*'a'"),
        ({'update': 'shared'}, r"network 'b' shares the parameters of ''"),
        (
            {'update': 'shared', 'of': 'a', 'hidden': [3]},
            r"network 'b' takes no hidden, because it is 'a' on other inputs",
        ),
        ({'update': 'shared', 'of': 'a', 'model': 'mlp'}, r"model 'mlp' is not a function of other networks"),
        (mixture('a', 'c'), r"network 'b' shares the parameters of 'c', which is no network with .* Known: a,"),
        (mixture('~aa'), r"network 'b' shares the parameters of '~aa', which is no network"),
        (mixture(), r"network 'b' shares the parameters of '', which is no network"),
        ({'update': 'shared', 'of': ['a', 'a']}, r"network 'b' shares .* several networks, so it needs a model"),
        (mixture('a') | {'of': 'a'}, r"is a function of several networks: set .*of=\['NAME', 'OTHER'\]"),
        (mixture('a') | {'model': 'pgd'}, r"model 'pgd' is a function of another network: set .*of='NAME'"),
        (mixture('a') | {'model': 'mlp'}, r"model 'mlp' is not a function of other networks"),
        (mixture('a', 'stack'), r"'b' is a function of networks that must have the same copies, not a 0, stack 2"),
        (mixture('a', 'low'), r'must have the same compute_dtype, not a float32, low bfloat16'),
        (mixture('a', input='after.logits'), r'networks .* read each other in a circle'),
        ({'model': 'pgd'}, r"model 'pgd' is a function of another network: set update='shared'"),
        ({'update': 'shared', 'of': 'a', 'model': 'pgd', 'epsilom': 1.0}, r"takes no 'epsilom'.*'epsilon'"),
        (
            {'update': 'shared', 'of': 'a', 'model': 'pgd', 'steps': 0},
            r"network 'b'.steps is 0, but it must be 1 or more",
        ),
        (
            {'update': 'shared', 'of': 'a', 'model': 'pgd', 'size': 0.0},
            r"network 'b'.size is 0, but it must be greater",
        ),
        ({'update': 'shared', 'of': 'a', 'model': 'pgd', 'epsilon': -0.1}, r"'b'.epsilon is -0.1, but it must not be"),
        ({'model': 'connector'}, r"model 'connector' needs channels"),
    ],
)
def test_a_mistake_in_what_networks_share_is_one_sentence(network, message):
    with pytest.raises(UserError, match=message):
        recipe_of({'a': SMALL, **OTHERS, 'b': network}, {'hard': hard('a')})


def test_options_of_models_may_be_results_that_are_not_known_yet():
    small = {**SMALL, 'dropout': 'result:other.best', 'hidden': ('result:other.width', 4)}
    module = recipe_of({'a': small}, {'hard': hard('a')}).network('a').module
    assert (module.dropout, module.hidden) == (0.0, (1, 4))  # the default, and 1 within an option
