"""Tests of studies: the order of runs, and how runs are grouped and selected."""

import types

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies import run_groups
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.study import parse_study, select_runs
from tests.small_studies import finish, ids, parsed, trained

LEARNS = {'networks': {'net': {'model': 'mlp'}}, 'optimizer': {'learning_rate': 0.1}}


def taught(teacher, t=1.0):
    term = {'loss': 'kd', 'student': 'net.logits', 'target': 'teacher.logits', 't': t}
    frozen = {'model': 'mlp', 'update': 'frozen', 'init': f'run:{teacher}'}
    return {**LEARNS, 'networks': {'teacher': frozen, 'net': {'model': 'mlp'}}, 'terms': {'soft': term}}


def test_groups_hold_runs_that_differ_in_numbers_seeds_and_teachers_after_all_that_they_start_from():
    runs = {
        'a': LEARNS,
        'b': {**LEARNS, 'optimizer': {'learning_rate': 0.2}},
        'wide': {**LEARNS, 'networks': {'net': {'model': 'mlp', 'hidden': (7,)}}},
        'cold': taught('a'),
        'hot': taught('b', t=9.0),
        'again': taught('hot'),
    }
    planned = parsed(runs, seeds=2)
    groups = [ids(group) for group in plan_groups(planned.runs, 'auto')]
    assert sorted(map(sorted, groups)) == sorted(
        sorted(f'{name}-s{seed}' for name in names for seed in range(2))
        for names in (['a', 'b'], ['wide'], ['cold', 'hot'], ['again'])
    )
    place = {run: number for number, group in enumerate(groups) for run in group}
    for run in planned.runs:
        assert all(place[f'{name}-s{run.seed}'] < place[run.id] for name in run.needs)
    assert [ids(group) for group in plan_groups(planned.runs)] == [[run.id] for run in planned.runs]


def test_groups_fit_what_a_run_allows_and_leave_no_worker_idle(monkeypatch):
    planned = parsed({'a': LEARNS}, seeds=6)
    assert list(map(len, plan_groups(planned.runs, 'auto', workers=1))) == [6]
    assert list(map(len, plan_groups(planned.runs, 'auto', workers=4))) == [2, 1, 1, 2]
    assert list(map(len, plan_groups(planned.runs, 'auto', workers=None))) == [1] * 6
    assert list(map(len, plan_groups(planned.runs, 'vmap', workers=None))) == [6]
    monkeypatch.setattr(run_groups, 'group_limit', lambda prepared: prepared.most)
    prepared = types.SimpleNamespace(config=LEARNS, most=3)
    assert list(map(len, plan_groups(planned.runs, 'auto', {'a': prepared}))) == [3, 3]


def test_a_run_waits_only_for_what_is_not_finished():
    planned = parsed({'a': LEARNS, 'first': taught('a'), 'second': taught('first')})
    left = [run for run in planned.runs if run.name != 'a']
    assert [ids(group) for group in plan_groups(left, 'auto')] == [['first-s0'], ['second-s0']]


def test_seeds_of_which_one_waits_for_its_teacher_are_still_together():
    planned = parsed({'a': LEARNS, 'student': taught('a')}, seeds=2)
    left = [run for run in planned.runs if run.id != 'a-s0']
    assert [ids(group) for group in plan_groups(left, 'auto')] == [['a-s1'], ['student-s0', 'student-s1']]


@pytest.mark.parametrize('grouping', ['vamp', True, 2])
def test_an_unknown_way_of_grouping_is_refused(grouping):
    with pytest.raises(UserError, match=f'group_runs is {grouping!r}. .*Known: False, auto, map, vmap'):
        parsed(group_runs=grouping)


def test_a_checkpoint_that_no_run_has_is_refused_with_its_place():
    with pytest.raises(UserError, match="run 'b': 'a@bst': a run has no checkpoint 'bst'"):
        parsed({'a': LEARNS, 'b': taught('a@bst')})


def test_each_run_follows_those_it_starts_from():
    order = ids(parsed().runs)
    assert sorted(order) == ['assistant-s0', 'peer-s0', 'student-s0', 'teacher-s0']
    assert order.index('teacher-s0') < order.index('assistant-s0') < order.index('student-s0')
    assert order.index('peer-s0') < order.index('student-s0')


def test_seeds_repeat_every_run_and_none_waits_for_another_seed():
    runs = parsed(seeds=2).runs
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4
    assert [run.name for run in runs[:4]] == [run.name for run in runs[4:]]


def test_a_run_needs_what_its_results_come_from_too():
    runs = {
        'a': {},
        'b': {'data': {'subset': 'result:a.analyses.clusters.0'}, 'analyses': {'x': ('result:c.y',)}},
        'c': {},
    }
    assert parsed(runs).runs[-1].needs == ('a', 'c')


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        (
            {'runs': {'a': trained(t='run:b'), 'b': trained(t='run:a'), 'c': {}}},
            'runs a, b need each other in a circle',
        ),
        ({'runs': {'a': trained(t='run:a')}}, "run 'a' reads or starts from itself"),
        (
            {'runs': {'a': {}, 'b': trained(t='run:aa')}},
            "run 'b' starts from run 'aa', which does not exist. Did you mean 'a'",
        ),
        ({'runs': {}}, 'here has no runs'),
        ({'runs': {'a': {}}, 'seeds': 0}, 'seeds is 0'),
        ({'runs': {'a': {}}, 'seeds': '3'}, "seeds is '3'"),
        ({'runs': {'a': {}, 'b': {}}, 'seeds': 10**9}, '2 x 1000000000 runs (seeds is 1000000000) are too many'),
        ({'runs': {'a': {'seeds': 0}}}, "here: run 'a': seeds is 0"),
        (
            {'runs': {'a': {}, 'b': {**trained(t='run:a'), 'seeds': 2}}},
            "run 'b' needs run 'a' with seed 1, which it does not have",
        ),
        ({'runs': {'a': {}}, 'title': 3}, 'here: title is 3, but it must be a text'),
        ({'runs': {'a': {}}, 'seed': 3}, "no option 'seed'. Did you mean 'seeds'"),
        ({'runs': {'a': {}}, 'name': ''}, 'here has no name'),
        ({'runs': {'a': {}}, 'name': '/tmp/elsewhere'}, "'/tmp/elsewhere' cannot be the name of a study"),
        ({'runs': {'a': {}, '../b': {}}}, "'../b' cannot be the name of a run"),
    ],
)
def test_a_wrong_study_is_refused(config, said):
    with pytest.raises(UserError) as error:
        parse_study({'name': 'wrong', **config}, 'here')
    assert said in str(error.value)


def test_a_run_may_have_more_or_fewer_seeds_than_the_study():
    runs = {'a': {'seeds': 3}, 'b': {}, 'c': {**trained(t='run:a'), 'seeds': 1}}
    assert ids(parsed(runs, seeds=2).runs) == ['a-s0', 'b-s0', 'c-s0', 'a-s1', 'b-s1', 'a-s2']


def test_selecting_a_run_pulls_in_what_it_needs_and_is_unfinished(workdir):
    assert ids(select_runs(parsed(), ['student'], workdir)) == ids(parsed().runs)
    finish(workdir, 'assistant-s0')
    assert ids(select_runs(parsed(), ['student'], workdir)) == ['peer-s0', 'student-s0']


def test_globs_match_names_and_ids(workdir):
    planned = parsed(seeds=3)
    assert ids(select_runs(planned, ['teach*'], workdir)) == ['teacher-s0', 'teacher-s1', 'teacher-s2']
    assert ids(select_runs(planned, ['*-s1'], workdir)) == [run.id for run in planned.runs if run.seed == 1]
    assert ids(select_runs(planned, ['peer-s2', 'teacher-s0'], workdir)) == ['teacher-s0', 'peer-s2']
    assert ids(select_runs(planned, [], workdir)) == ids(planned.runs)


def test_a_name_that_looks_like_a_glob_selects_itself(workdir):
    planned = parsed({'w[16]': {}, 'w1': {}, 'w6': {}})
    assert ids(select_runs(planned, ['w[16]'], workdir)) == ['w[16]-s0']
    assert ids(select_runs(planned, ['w[1]'], workdir)) == ['w1-s0']


def test_a_run_of_a_grid_whose_name_has_a_comma_can_be_selected_alone_and_among_others(workdir):
    planned = parsed({'x(8,)': {}, 'x(16, 4)': {}, 'x(8': {}, 'y': {}})
    assert ids(select_runs(planned, ['x(8,)'], workdir)) == ['x(8,)-s0']
    assert ids(select_runs(planned, ['x(16, 4),x(8,)-s0,y'], workdir)) == ['x(8,)-s0', 'x(16, 4)-s0', 'y-s0']
    assert ids(select_runs(planned, ['x(8,y', 'x(16*'], workdir)) == ['x(16, 4)-s0', 'x(8-s0', 'y-s0']


def test_a_glob_that_matches_nothing_is_refused(workdir):
    with pytest.raises(
        UserError, match=r"--only=studnt matches no run. Did you mean 'student'\? Known: assistant, peer"
    ):
        select_runs(parsed(), ['peer', 'studnt'], workdir)


def test_numbers_of_a_term_may_be_results_of_runs_still_to_come():
    data = {'source': 'mnist', 'examples': 200}
    runs = {'first': {**LEARNS, 'data': data}, 'student': {**taught('first', t='result:first.steps'), 'data': data}}
    runs['student']['terms']['soft']['weight'] = {'schedule': 'linear', 'start': 'result:first.seconds', 'end': 3.0}
    planned = parsed(runs)
    assert [[run.name for run in group] for group in plan_groups(planned.runs, 'auto')] == [['first'], ['student']]
    numbers = prepare_study(planned)['student'].recipe.hparams['terms']['soft']
    assert numbers == {'t': 1.0, 'weight': {'start': 1.0, 'end': 3.0}}


def own_network():
    """A model of one's own, which a config may name or hold."""


def test_a_part_of_a_study_still_knows_the_names_that_all_its_runs_import():
    held = {'networks': {'net': {'model': own_network}}}
    plan = parse_study({'name': 's', 'runs': {'a': {'networks': {'net': {'model': 'own.nets:A'}}}, 'b': held}}, 'here')
    assert plan.imports == {'own.nets:A', f'{__name__}:own_network'}
