"""The option `like` of a network."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.inherited_models import with_inherited_models

OTHER = {
    'networks': {
        'student': {
            'model': 'mlp', 'hidden': (16,), 'copies': 3, 'normalize': {'mean': 0.1, 'std': 0.3}, 'update': 'follow',
            'of': 'peer', 'rule': 'ema', 'decay': 0.9, 'every': 2, 'broadcast': True,
            'warmup': False, 'init': 'run:x', 'fresh': 'head', 'optimizer': {'name': 'adam'},
            'sharding': 'fsdp', 'own_batches': True, 'compute_dtype': 'bfloat16',
        },
        'teacher': {'model': 'cnn', 'update': 'frozen'},
        'judge': {'update': 'shared', 'of': 'student'},
    }
}  # fmt: skip


def completed(**options):
    config = {'networks': {'net': options, 'plain': {'model': 'mlp'}}, 'epochs': 2}
    made = with_inherited_models(config, {'a': OTHER}.__getitem__, 'here')
    assert made['networks']['plain'] == {'model': 'mlp'}
    assert made['epochs'] == 2
    return made['networks']['net']


def test_the_model_is_taken_over_and_how_the_other_run_used_it_is_not():
    wanted = {'model': 'mlp', 'hidden': (16,), 'copies': 3, 'normalize': {'mean': 0.1, 'std': 0.3}}
    assert completed(like='run:a/student') == wanted
    assert completed(like='run:a/teacher') == {'model': 'cnn'}


def test_without_a_name_the_only_network_with_weights_is_meant():
    assert completed(like='run:a')['hidden'] == (16,)  # `teacher` is frozen and `judge` is shared


def test_options_beside_like_override_and_are_kept():
    made = completed(like='run:a/student', hidden=(4,), copies=0, init='run:a', update='frozen')
    assert (made['hidden'], made['copies'], made['init'], made['update']) == ((4,), 0, 'run:a', 'frozen')
    assert made['model'] == 'mlp'


def test_a_config_without_like_is_unchanged():
    assert with_inherited_models(OTHER, {}.__getitem__, 'here') is OTHER


@pytest.mark.parametrize(
    ('like', 'said'),
    [
        ('mlp', "here, network 'net': like is 'mlp', but it must be 'run:NAME' or 'run:NAME/NETWORK'"),
        (3, 'like is 3, but'),
        ('result:a.last', "like is 'result:a.last', but"),
        ('run:a/studnt', "run 'a' has no network 'studnt'. Did you mean 'student'?"),
        ('run:a/judge', "'run:a/judge' has no model of its own; name the network whose parameters it shares"),
    ],
)
def test_what_is_no_network_of_a_run_is_refused(like, said):
    with pytest.raises(UserError) as error:
        completed(like=like)
    assert said in str(error.value)


def test_a_network_that_is_a_text_with_like_in_it_is_refused():
    config = {'networks': {'net': {'like': 'run:a/student'}, 'other': 'likely'}}
    with pytest.raises(UserError, match=r"here.networks.other is 'likely', but it must be a dictionary"):
        with_inherited_models(config, {'a': OTHER}.__getitem__, 'here')
