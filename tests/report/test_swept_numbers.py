"""Swept numbers, found by comparing configs."""

from kd_jax.config.sweeps import grid
from kd_jax.report.result_files import Measure
from kd_jax.report.swept_numbers import Swept, find_sweeps, repeated

RUN = {
    'epochs': 3,
    'networks': {'teacher': {'init': 'run:teacher'}, 'student': {'hidden': [10, 10], 'dropout': 0.0}},
    'terms': {'soft': {'t': 1.0, 'weight': 0.5}, 'hard': {'weight': 0.5}},
}


def found(runs):
    sweeps = find_sweeps({name: {0: {'config': config}} for name, config in runs.items()})
    return {
        sweep.path: {label: [sweep.values[run] for run in runs] for label, runs in sweep.lines.items()}
        for sweep in sweeps
    }


def test_three_values_of_one_number_are_a_sweep_and_two_are_none():
    assert found(grid(RUN, {'terms.soft.t': (1.0, 2.0, 4.0)}, 't{t}')) == {'terms.soft.t': {'': [1.0, 2.0, 4.0]}}
    assert found(grid(RUN, {'terms.soft.t': (1.0, 2.0)}, 't{t}')) == {}


def test_runs_that_differ_in_more_are_not_of_the_sweep():
    runs = grid(RUN, {'terms.soft.t': (1.0, 2.0, 4.0)}, 't{t}')
    runs['t4']['epochs'] = 5
    assert found(runs) == {}


def test_of_a_grid_each_number_is_a_sweep_with_a_line_for_each_value_of_the_other():
    widths = {('networks.student.hidden', 'epochs'): [([w, w], e) for w, e in ((10, 3), (20, 2), (30, 1))]}
    runs = grid(RUN, {**widths, 'terms.soft.t': (1.0, 2.0, 4.0)}, 'w{hidden[0]}_t{t}')
    assert found(runs) == {
        'terms.soft.t': {f'w{w}': [1.0, 2.0, 4.0] for w in (10, 20, 30)},
        'networks.student.hidden.0': {f't{t}': [10, 20, 30] for t in (1, 2, 4)},
    }


def test_a_line_is_not_called_by_digits_in_which_its_numbers_end():
    runs = grid(RUN, {'terms.soft.t': (1.0, 2.0), 'epochs': (10_000, 20_000, 40_000)}, 't{t}_{epochs}')
    assert found(runs) == {'epochs': {'t1': [10_000, 20_000, 40_000], 't2': [10_000, 20_000, 40_000]}}


def test_lines_are_called_by_what_the_names_of_their_runs_begin_with_up_to_a_comma():
    runs = grid(RUN, {'terms.soft.t': (1.0, 2.0), 'epochs': (1, 2, 4)}, 't{t}_{epochs}')
    [sweep] = find_sweeps({name: {0: {'config': config}} for name, config in runs.items()})
    names = {run: f'{"KD" if run[1] == "1" else "DIST, long"}, T = {run}' for run in runs}
    assert list(sweep.called(names).lines.items()) == [
        ('KD', ('t1_1', 't1_2', 't1_4')),
        ('DIST, long', ('t2_1', 't2_2', 't2_4')),
    ]
    assert sweep.called({run: run for run in runs}) == sweep
    assert sweep.called({run: f'KD, {run}' for run in runs}) == sweep  # both lines would be called alike


def test_weights_that_change_together_are_one_sweep():
    pairs = {('terms.soft.weight', 'terms.hard.weight'): [(0.1, 0.9), (0.5, 0.5), (0.9, 0.1)]}
    assert found(grid(RUN, pairs, 'w{0}')) == {'terms.soft.weight': {'': [0.1, 0.5, 0.9]}}


def test_what_changes_with_a_name_is_no_sweep():
    runs = grid(RUN, {'terms.soft.t': (1.0, 2.0, 4.0)}, 't{t}')
    for name in runs:
        runs[name]['networks']['teacher']['init'] = f'run:{name}'
    assert found(runs) == {}


def test_what_is_evaluated_and_analysed_does_not_part_a_sweep():
    runs = grid(RUN, {'terms.soft.t': (1.0, 2.0, 4.0)}, 't{t}')
    runs['t4']['analyses'] = {'dark': {'analysis': 'soft_targets'}}
    assert list(found(runs)) == ['terms.soft.t']


def test_groups_that_are_drawn_elsewhere_can_be_left_out():
    runs = grid(RUN, {'terms.soft.t': (1.0, 2.0, 4.0), 'epochs': (1, 2)}, 'e{epochs}_t{t}')
    [sweep] = find_sweeps({name: {0: {'config': config}} for name, config in runs.items()})
    assert list(sweep.without([{'e1_t1', 'e1_t2', 'e1_t4', 'other'}]).lines.items()) == [
        ('', ('e2_t1', 'e2_t2', 'e2_t4'))
    ]
    assert list(sweep.without([{'e1_t1'}]).lines) == ['e1', 'e2']


def test_runs_of_one_setting_are_noticed():
    two, same, four = (Swept(run, x, Measure({0: 1.0}), None) for run, x in (('a', 2.0), ('b', 2.0), ('c', 4.0)))
    assert repeated([two, four], 'config.terms.soft.t') == ''
    assert repeated([two, same, four], 'config.terms.soft.t') == 'several runs have the same t.'
