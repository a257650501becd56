"""The runs that grid and chain make from one run."""

import copy

import numpy as np
import pytest
from ml_collections import ConfigDict

from kd_jax.config.errors import UserError
from kd_jax.config.sweeps import chain, grid

RUN = {
    'epochs': 2,
    'networks': {'student': {'model': 'mlp', 'hidden': (8, 8)}},
    'terms': {'hard': {'weight': 0.1}, 'soft': {'t': 4.0, 'weight': 0.9}},
}


def test_a_grid_holds_every_combination_once_the_last_path_fastest():
    before = copy.deepcopy(RUN)
    runs = grid(RUN, {'networks.student.hidden': [(3,), (4,)], 'terms.soft.t': (1.0, 2.5)}, 'w{hidden[0]}_t{t}')
    assert list(runs) == ['w3_t1', 'w3_t2_5', 'w4_t1', 'w4_t2_5']
    assert [(r['networks']['student']['hidden'], r['terms']['soft']['t']) for r in runs.values()] == [
        ((3,), 1.0), ((3,), 2.5), ((4,), 1.0), ((4,), 2.5),
    ]  # fmt: skip
    for run in runs.values():
        run['networks']['student']['hidden'], run['terms']['soft']['t'] = (8, 8), 4.0
        assert run == RUN == before


def test_the_runs_of_a_grid_share_nothing():
    first, second = grid(RUN, {'epochs': (1, 2)}, 'e{epochs}').values()
    first['terms']['soft']['t'] = 7.0
    assert second['terms']['soft']['t'] == RUN['terms']['soft']['t'] == 4.0


def test_a_grid_changes_only_the_place_that_it_names_where_the_run_uses_a_dictionary_twice():
    net = {'model': 'mlp', 'hidden': (8,)}
    (run,) = grid({'networks': {'a': net, 'b': net}}, {'networks.a.hidden': [(3,)]}, 'h{hidden[0]}').values()
    assert run == {'networks': {'a': {'model': 'mlp', 'hidden': (3,)}, 'b': {'model': 'mlp', 'hidden': (8,)}}}
    first, second = grid({'terms': {}, 'epochs': 1}, {'terms': [{'t': 1.0}], 'epochs': (1, 2)}, 'e{epochs}').values()
    first['terms']['t'] = 7.0
    assert second['terms'] == {'t': 1.0}


def test_a_grid_takes_config_dicts_and_the_arrays_of_numpy_as_dictionaries_and_lists():
    expected = grid(RUN, {'terms.soft.t': [1.0, 1.5, 2.0]}, 't{t}')
    assert list(expected) == ['t1', 't1_5', 't2']
    for values in (np.linspace(1.0, 2.0, 3), np.linspace(1.0, 2.0, 3, dtype=np.float32), map(float, (1, 1.5, 2))):
        runs = grid(ConfigDict(RUN), {'terms.soft.t': values}, 't{t}')
        assert runs == expected
        assert {type(run['terms']['soft']['t']) for run in runs.values()} == {float}


def test_a_tuple_of_paths_takes_their_values_together():
    runs = grid(RUN, {('epochs', 'terms.soft.t'): [(5, 1.0), (6, 2.0)]}, 'e{epochs}_t{t}')
    assert {name: (run['epochs'], run['terms']['soft']['t']) for name, run in runs.items()} == {
        'e5_t1': (5, 1.0), 'e6_t2': (6, 2.0),
    }  # fmt: skip


def test_paths_that_move_together_make_one_axis_of_a_grid():
    runs = grid(RUN, {('networks.student.hidden', 'epochs'): [((3,), 5), ((4,), 6)], 'terms.soft.t': (1.0, 2.0)},
                '{hidden[0]}_{epochs}_{t}')  # fmt: skip
    assert list(runs) == ['3_5_1', '3_5_2', '4_6_1', '4_6_2']


def test_paths_that_end_alike_are_named_by_their_place():
    choices = {'terms.hard.weight': (0.5,), 'terms.soft.weight': (0.25, 0.75)}
    assert list(grid(RUN, choices, 'h{0}_s{1}')) == ['h0_5_s0_25', 'h0_5_s0_75']
    with pytest.raises(UserError, match=r'cannot be filled in \(weight\). Known: 0, 1'):
        grid(RUN, choices, 'w{weight}')


def test_a_chain_has_the_runs_of_all_and_no_name_twice():
    first, second = grid(RUN, {'epochs': (1, 2)}, 'e{epochs}'), grid(RUN, {'terms.soft.t': (1.0,)}, 't{t}')
    assert chain(first, second) == first | second
    with pytest.raises(UserError, match="two sweeps have a run 'e1'"):
        chain(first, second, first)


@pytest.mark.parametrize(
    ('choices', 'name', 'said'),
    [
        ({'terms.sfot.t': (1.0,)}, 't{t}', "no 'terms.sfot.t'. Did you mean 'terms.soft.t'? Known: epochs, net"),
        ({'terms.soft.t.x': (1.0,)}, '{x}', "no 'terms.soft.t.x'. Did you mean 'terms.soft.t'?"),
        ({'terms.soft.t': ()}, 't{t}', 'terms.soft.t has no values'),
        ({'terms.soft.t': (1.0, 2.0)}, 't', "gives two runs the name 't'; tell them apart with {t}"),
        ({'terms.soft.t': (1.0,)}, 't{tt}', "cannot be filled in (tt). Did you mean 't'?"),
        ({'terms.soft.t': 2.0}, 't{t}', 'terms.soft.t takes the values 2.0, but they must be a list or a tuple.'),
        (
            {'networks.student.model': 'mlp'},
            '{model}',
            "model takes the values 'mlp', but they must be a list or a tup",
        ),
        ({('epochs', 'terms.soft.t'): [1, 2]}, '{t}', '(1,) has length 1, but there are 2 paths'),
        ({('epochs', 'terms.soft.t'): [(1, 2.0), (3,)]}, '{t}', '(3,) has length 1, but there are 2 paths'),
    ],
)
def test_a_wrong_sweep_is_refused_in_one_sentence(choices, name, said):
    with pytest.raises(UserError) as error:
        grid(RUN, choices, name)
    assert said in str(error.value)
