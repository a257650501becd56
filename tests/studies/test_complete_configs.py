"""The models that runs take over from other runs and from transforms, before anything is trained."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import variable_shapes
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.study import parse_study
from tests.soup import get_config


def study(runs=(), seeds=1):
    config = {**get_config().to_dict(), 'seeds': seeds}
    return parse_study({**config, 'runs': {**config['runs'], **dict(runs)}}, 'soup')


def own(function, of='run:base', **options):
    data = get_config().runs.base.data.to_dict()
    return {'transform': {'name': f'tests.own_transforms:{function}', 'of': of, **options}, 'data': data}


def taught(like, init='', **options):
    base = get_config().runs.base.to_dict()
    return {**base, 'networks': {'student': {'like': like, 'init': init or like, **options}}}


def hidden(prepared):
    return variable_shapes(prepared, prepared.recipe.network('student'))['params']['dense1']['bias'].shape


def test_models_and_shapes_of_a_chain_are_known_before():
    ready = prepare_study(study({'short': own('first_units', 'run:soup', keep=3), 'last': taught('run:short')}))
    assert [hidden(ready[name]) for name in ('base', 'fast', 'soup', 'student')] == [(16,)] * 4
    assert [hidden(ready[name]) for name in ('short', 'last')] == [(3,)] * 2
    assert ready['short'].config['networks'] == {'student': {'model': 'mlp', 'hidden': (3,)}}
    assert ready['last'].total_steps == ready['base'].total_steps
    assert ready['short'].total_steps == 0


def test_runs_behind_a_transform_of_unknown_shapes_are_prepared_later():
    runs = {
        'strong': own('strongest_units'),
        'again': own('first_units', 'run:strong', keep=2),
        'last': taught('run:again'),
        'other': taught('run:base', 'run:strong'),
    }
    planned = study(runs)
    ready = prepare_study(planned)
    assert set(ready) == {'base', 'slow', 'fast', 'soup', 'student', 'other'}
    alone = [group for group in plan_groups(planned.runs, 'auto', ready) if len(group) == 1]
    assert {'strong-s0', 'again-s0', 'last-s0'} <= {group[0].id for group in alone}


def test_runs_that_take_over_equal_models_are_one_group_and_transforms_are_none():
    planned = study(seeds=2)
    groups = [[run.id for run in group] for group in plan_groups(planned.runs, 'auto', prepare_study(planned))]
    assert groups.index(['fast-s0', 'slow-s0', 'fast-s1', 'slow-s1']) < groups.index(['soup-s0'])
    assert ['student-s0', 'student-s1'] in groups


@pytest.mark.parametrize(
    ('run', 'said'),
    [
        (own('strongest_units', 'run:bass'), "run 'new' starts from run 'bass', which does not exist. Did you mean"),
        (own('strongest_units', 'run:base/studnt'), "run 'base' has no network 'studnt'. Did you mean 'student'?"),
        (own('of_another_size'), 'does not fit what it makes: params/dense1/bias is (16,) there and (5,) here'),
        (taught('run:bass'), "run 'new' starts from run 'bass', which does not exist. Did you mean 'base'?"),
        (taught('run:base', hidden=(9,)), "does not fit run 'base': params/dense1/bias is (16,) there and (9,) here"),
        (taught('run:soup', hidden=(9,)), "does not fit run 'soup': params/dense1/bias is (16,) there and (9,) here"),
        (taught('run:soup', model='cnn'), "model 'cnn' takes no 'hidden'"),
        ({**own('strongest_units'), 'terms': {}}, "run 'new' has a transform, so it trains nothing; leave terms out"),
        ({**own('strongest_units'), 'epochs': 3}, 'trains nothing; leave epochs out'),
        ({'transform': 'average_weights'}, "transform is 'average_weights', but it must be a dictionary"),
        ({**own('strongest_units'), 'transform': {'of': 'run:base'}}, 'no transform is named. Known: average_weights'),
        (own('strongest_units', seeds='some'), "transform.seeds is 'some', but it must be 'all' or a list of seeds"),
        (own('strongest_units', seeds=[0, 1]), 'seeds of the runs that it reads, which are 0 to 0'),
        (own('strongest_units', seeds=[]), 'transform.seeds is [], but'),
        (own('strongest_units', seeds=[[0]]), 'transform.seeds is [[0]], but'),
        ({**own('strongest_units'), 'networks': {'x': {'model': 'mlp'}}}, "network 'x' is to be trained"),
    ],
)
def test_a_mistake_is_one_sentence(run, said):
    with pytest.raises(UserError) as error:
        prepare_study(study({'new': run}))
    assert said in str(error.value)


def test_names_behind_a_transform_of_unknown_shapes_are_checked_before():
    run = taught('run:strong')
    run['terms']['hard']['loss'] = 'kdd'
    with pytest.raises(UserError, match="no loss 'kdd'"):
        prepare_study(study({'strong': own('strongest_units'), 'new': run}))


def test_unlike_networks_are_refused_before_training():
    wide = taught('run:base')
    wide['networks']['student'] = {'model': 'mlp', 'hidden': (9,)}
    soup = {**own(''), 'transform': {'name': 'average_weights', 'of': ['run:base', 'run:wide']}}
    with pytest.raises(UserError, match=r"params/dense1/bias is \(16,\) in .*'base'.* and \(9,\) in .*'wide'"):
        prepare_study(study({'wide': wide, 'new': soup}))


def test_the_best_checkpoint_is_there_only_with_validation():
    assert hidden(prepare_study(study({'new': own('first_units', 'run:base@best', keep=3)}))['new']) == (3,)
    unjudged = get_config().runs.base.to_dict()
    unjudged['data'] = {**unjudged['data'], 'valid': 0}
    with pytest.raises(UserError, match=r"set runs.unjudged.data.valid, or leave out '@best'"):
        prepare_study(study({'unjudged': unjudged, 'new': own('strongest_units', 'run:unjudged@best')}))


def test_a_frozen_network_has_no_weights_to_transform():
    run = taught('run:base')
    run['networks']['teacher'] = {'like': 'run:base', 'init': 'run:base', 'update': 'frozen'}
    with pytest.raises(UserError, match=r"saves no weights of 'teacher', which it does not train. .*Known: student"):
        prepare_study(study({'taught': run, 'new': own('strongest_units', 'run:taught/teacher')}))


def test_a_transform_over_all_seeds_needs_the_runs_of_all_seeds():
    planned = study({'all': own('strongest_units', seeds='all'), 'last': taught('run:all')}, seeds=2)
    ids = [run.id for run in planned.runs]
    for seed in range(2):
        needing = next(run for run in planned.runs if run.id == f'all-s{seed}')
        assert needing.needed_ids == ('base-s0', 'base-s1')
        assert needing.config['transform']['seeds'] == [0, 1]  # a third seed changes the config
        assert ids.index('base-s1') < ids.index(needing.id) < ids.index(f'last-s{seed}')


def test_all_seeds_are_those_of_the_runs_that_a_transform_reads():
    base = get_config().runs.base.to_dict()
    for own_seeds, seeds in ((3, [0, 1, 2]), (1, [0])):
        more = {'other': {**base, 'seeds': own_seeds}, 'all': own('strongest_units', 'run:other', seeds='all')}
        asked = {run.id: run.config['transform']['seeds'] for run in study(more, seeds=2).runs if run.name == 'all'}
        assert asked == {'all-s0': seeds, 'all-s1': seeds}
