import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.paths import Path
from kd_jax.models import mlp
from kd_jax.prepare.parse_recipe import parse_recipe


def config(**changes):
    """Returns the config of a teacher, a student and a soft term; network_NAME and term_NAME change or add options."""
    networks = {'student': {'model': 'mlp', 'hidden': [4]}, 'teacher': {'model': 'mlp', 'update': 'frozen'}}
    terms = {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0}}
    base = {'networks': networks, 'terms': terms, 'optimizer': {'learning_rate': 0.1}}
    for key, change in changes.items():
        kind, _, name = key.partition('_')
        base[f'{kind}s'] = {**base[f'{kind}s'], name: {**base[f'{kind}s'].get(name, {}), **change}}
    return base


def without(options, key):
    return {k: v for k, v in options.items() if k != key}


def test_a_config_becomes_networks_terms_and_numbers():
    parsed = parse_recipe(config(term_soft={'weight': 0.9, 'mask': 'batch.labelled', 'average': 'logits'}))
    student, term = parsed.network('student'), parsed.terms[0]
    assert student.module == mlp(hidden=(4,))
    assert student.inputs == (Path('batch', 'image'),)
    assert parsed.trained == (student,)
    assert [n.name for n in parsed.frozen] == ['teacher']
    assert term.reads == (Path('student', 'logits'), Path('teacher', 'logits'))
    assert term.mask == Path('batch', 'labelled')
    assert term.static['average'] == 'logits'
    assert not set(term.static) & {'t', 'weight', 'mask'}
    assert parsed.hparams['terms'] == {'soft': {'t': 4.0, 'weight': 0.9}}
    assert parsed.hparams['optimizers'] == {'student': {'learning_rate': 0.1}}


def test_a_network_may_have_an_optimizer_of_its_own():
    own = {'name': 'adam', 'learning_rate': 0.3}
    parsed = parse_recipe(config(network_student={'optimizer': own}, network_other={'model': 'mlp'}))
    assert parsed.network('student').optimizer.name == 'adam'
    assert parsed.network('other').optimizer.name == 'sgd'
    assert parsed.hparams['optimizers'] == {
        'student': {'learning_rate': 0.3},
        'other': {'learning_rate': 0.1},
    }


def test_networks_follow_those_that_they_read():
    chain = {
        'a': {'model': 'mlp', 'input': 'b.logits'},
        'b': {'model': 'mlp', 'input': ['c.hidden1', 'batch.image']},
        'c': {'model': 'mlp'},
    }
    parsed = parse_recipe({'networks': chain, 'optimizer': {'learning_rate': 0.1}})
    assert [n.name for n in parsed.networks] == ['c', 'b', 'a']


def test_any_callable_is_a_loss_or_a_model():
    def gap(student, *, power: int = 2):
        return student**power

    parsed = parse_recipe(
        config(
            network_student={'model': 'kd_jax.models:mlp'},
            term_gap={'loss': gap, 'student': 'student.logits'},
        )
    )
    assert parsed.terms[1].loss is gap
    assert parsed.terms[1].static == {'power': 2}
    assert parsed.hparams['terms']['gap'] == {'weight': 1.0}


@pytest.mark.parametrize(
    ('changes', 'place', 'hint'),
    [
        ({'network_student': {'model': 'mpl'}}, "c, network 'student'", "no model 'mpl'. Did you mean 'mlp'"),
        ({'network_student': {'model': 'kd_jax.models:mpl'}}, "c, network 'student'", 'cannot be imported'),
        ({'network_student': {'model': 'no_such_package:net'}}, "c, network 'student'", 'cannot be imported'),
        (
            {'network_student': {'hiden': [3]}},
            "c, network 'student'",
            "model 'mlp' takes no 'hiden'. Did you mean 'hidden'",
        ),
        ({'network_other': {'model': 'vgg', 'depth': 9}}, "c, network 'other'", 'depth is 9, but a VGG network'),
        ({'network_student': {'normalize': 0.5}}, "c, network 'student'.normalize", 'must be dict(mean=..., std=...)'),
        (
            {'network_student': {'normalize': {'mean': 'a', 'std': 1}}},
            "c, network 'student'.normalize",
            'must be numbers',
        ),
        (
            {'network_student': {'normalize': {'mean': 0.5, 'std': 0}}},
            "c, network 'student'.normalize",
            'must be greater than 0',
        ),
        (
            {'network_student': {'normalize': {'mean': (1, 2), 'std': 1}}},
            "c, network 'student'.normalize",
            'equal length',
        ),
        ({'network_student': {'update': 'frosen'}}, "c, network 'student'", "Did you mean 'frozen'"),
        (
            {'network_student': {'input': 'image'}},
            "c, network 'student'",
            "a path looks like 'student.logits'",
        ),
        ({'network_student': {'input': 3}}, "c, network 'student'", "'batch.label', not 3"),
        ({'network_student': {'input': 'techer.logits'}}, "c, network 'student'", "Did you mean 'teacher'"),
        (
            {'network_student': {'optimizer': {'name': 'sgd'}}},
            "c, network 'student'.optimizer",
            'needs a learning_rate',
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'ema', 'of': 'studnt'}},
            "c, network 'mean'",
            "mean 'student'",
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'ema', 'of': 'teacher'}},
            "c, network 'mean'",
            "follows 'teacher', which is not a trained network",
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'ema', 'of': 'student'}},
            "c, network 'mean'",
            "there is no update 'ema'. It is now update='follow', rule='ema'.",
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'of': 'student'}},
            "c, network 'mean'",
            'but has no rule. Known: average, copy, ema',
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'avg', 'of': 'student'}},
            "c, network 'mean'",
            "there is no rule 'avg'. ",
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'copy', 'of': 'student', 'decay': 0.9}},
            "c, network 'mean'",
            "rule 'copy' takes no decay; it is an option of rule 'ema'",
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'copy', 'of': 'student', 'every': 0}},
            "c, network 'mean'.every",
            'is 0, but it must be a whole number of steps',
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'average', 'of': 'student'}},
            "c, network 'mean'",
            "is the average of the copies of 'student', which has none; set its copies",
        ),
        (
            {
                'network_mean': {
                    'model': 'mlp',
                    'update': 'follow',
                    'rule': 'average',
                    'of': 'student',
                    'broadcast': 1,
                    'copies': 2,
                }
            },
            "c, network 'mean'.broadcast",
            'is 1, but it must be True or False',
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'average', 'of': 'student', 'copies': 2}},
            "c, network 'mean'",
            'so it is one network; leave copies out',
        ),
        (
            {'network_mean': {'model': 'mlp', 'update': 'follow', 'rule': 'ema', 'of': 'student', 'decay': 1.1}},
            "c, network 'mean'.decay",
            'must lie between 0 and 1',
        ),
        (
            {
                'network_mean': {
                    'model': 'mlp',
                    'update': 'follow',
                    'rule': 'ema',
                    'of': 'student',
                    'decay': {'schedule': 'linear'},
                }
            },
            "c, network 'mean'.decay",
            "schedule 'linear' needs start, end",
        ),
        (
            {'network_other': {'hidden': [3]}},
            "c, network 'other'",
            'has no model. Known: bert_base, cifar_resnet,',
        ),
        (
            {'term_soft': {'target': 'teachr.logits'}},
            "c, term 'soft'",
            "no network 'teachr'. Did you mean 'teacher'",
        ),
        ({'term_soft': {'mask': 'bacth.labelled'}}, "c, term 'soft'", "Did you mean 'batch'"),
        ({'term_hard': {'loss': 'cross_entropy'}}, "c, term 'hard'", 'needs a path for logits, labels'),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_cure(changes, place, hint):
    with pytest.raises(UserError) as error:
        parse_recipe(config(**changes), 'c')
    assert str(error.value).startswith(place)
    assert hint in str(error.value)


def test_networks_that_read_each_other_are_refused():
    circle = {
        'a': {'model': 'mlp', 'input': 'b.logits'},
        'b': {'model': 'mlp', 'input': 'a.logits'},
        'c': {'model': 'mlp'},
    }
    with pytest.raises(UserError, match='networks a, b read each other in a circle'):
        parse_recipe({'networks': circle, 'optimizer': {'learning_rate': 0.1}})


def test_a_trained_network_needs_an_optimizer():
    with pytest.raises(UserError, match="network 'student' is trained but has no optimizer"):
        parse_recipe(without(config(), 'optimizer'))
