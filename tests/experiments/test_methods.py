"""The study of all methods, and the column of the page that is written from its results."""

import pytest

from configs import benchmark_pairs
from experiments import methods
from kd_jax.report.result_files import load_results, measure_over_seeds

BUDGET = ('data', 'batch_size', 'epochs', 'optimizer')
ROW = '| {} | response | KL | `c.terms.a = dict(loss={!r})` | a paper | as there | {} |\n'


@pytest.mark.parametrize('variant', benchmark_pairs.VARIANTS)
def test_every_method_has_the_budget_of_the_student_alone(variant):
    runs = benchmark_pairs.get_config(variant).to_dict()['runs']
    taught = {name: run for name, run in runs.items() if name not in ('teacher', 'teachers')}
    assert len(taught) > 100 if variant == 'grid' else len(taught) > 50
    for run in taught.values():
        assert {key: run[key] for key in BUDGET} == {key: runs['baseline'][key] for key in BUDGET}


def test_a_strength_multiplies_every_weight_but_that_of_the_labels():
    lines = benchmark_pairs.measured_here()['DKD']
    one, three = (benchmark_pairs.run_of('DKD', 1000, lines, strength)['terms'] for strength in (1.0, 3.0))
    assert one['dkd']['weight'] == {'schedule': 'linear', 'start': 0.0, 'end': 1.0, 'until': 0.08}
    assert three['dkd']['weight'] == {'schedule': 'linear', 'start': 0.0, 'end': 3.0, 'until': 0.08}
    assert three['hard'] == one['hard']
    assert benchmark_pairs.scaled(0.5, 3.0) == 1.5


def results_of(run, *accuracies):
    return {run: {seed: {'last': {'test': {'student': {'accuracy': a}}}} for seed, a in enumerate(accuracies)}}


def test_the_column_has_the_mean_and_deviation_of_each_study_and_other_lines_stay():
    page = (
        '# Methods\n\n'
        + ROW.format('KD', 'kd', 'old')
        + ROW.format('new', 'new', 'x')
        + ROW.format('cross-modal', 'kd', 'old')
        + ROW.format('robust (ARD)', 'kd', 'old')
    )
    studies = [results_of('kd', 0.5, 0.7), results_of('other', 0.1, 0.2)]
    aims = results_of('points_unlabelled', 0.2, 0.2) | results_of('robust_ard', 0.9, 0.9)
    for result in aims['robust_ard'].values():
        result['last']['test']['under_pgd20'] = {'accuracy': 0.5}
    # The mean of 50 and 70 is 60, their sample deviation the root of 200.
    measured = ['60.0 ± 14.1; –', 'not yet measured', '20.0 ± 0.0', '90.0 ± 0.0; under PGD-20 50.0 ± 0.0']
    rows = [line.strip('| ').split(' | ') for line in methods.filled(page, studies, aims).splitlines()[2:]]
    assert [row[-1] for row in rows] == measured
    assert [row[0] for row in rows] == ['KD', 'new', 'cross-modal', 'robust (ARD)']
    assert methods.filled(page, studies, aims).startswith('# Methods\n\n| KD |')


def test_gains_over_kd_are_paired_by_seed_and_an_arrow_says_that_all_seeds_agree():
    def over_kd(*accuracies):
        return methods.over_kd('a', results_of('a', *accuracies) | results_of('kd', 0.5, 0.6, 0.7))

    assert over_kd(0.52, 0.61, 0.73) == '+2.0 ± 1.0 ▲'
    assert over_kd(0.48, 0.59, 0.67) == '−2.0 ± 1.0 ▼'
    assert over_kd(0.52, 0.60, 0.73) == '+1.7 ± 1.5'
    assert over_kd(0.52) == '–'
    assert methods.over_kd('kd', results_of('kd', 0.5, 0.6)) == '–'


def test_the_table_has_every_student_the_best_first_and_its_costs():
    study = results_of('kd', 0.5, 0.7) | results_of('dkd', 0.6, 0.9) | results_of('baseline', 0.1, 0.2)
    study['kd'][0]['config'] = {'data': {'examples': 1000}}
    page = methods.with_table(f'before\n{methods.START}\nold\n{methods.END}\nafter\n', [study])
    rows = [line.strip('| ').split(' | ') for line in page.splitlines() if line.startswith('| ')]
    assert rows[0][1:3] == ['1,000 images', 'over KD']
    assert [row[0] for row in rows[1:4]] == ['DKD', 'KD', 'labels alone']
    assert rows[1][1:3] == ['75.0 ± 21.2', '+15.0 ± 7.1 ▲']
    assert len(rows) == 1 + len(benchmark_pairs.labels())
    assert page.startswith('before\n')
    assert page.endswith(f'{methods.END}\nafter\n')
    assert 'old' not in page
    assert methods.with_table(page, [study]) == page


RESULTS = benchmark_pairs.ROOT / 'experiments' / 'results'


def evidence(name):
    return load_results(RESULTS / name)[1]


def test_the_pages_say_what_the_committed_results_say():
    studies, aims = [evidence('benchmark_pairs_low'), evidence('benchmark_pairs')], evidence('other_aims')
    page, table = benchmark_pairs.PAGE.read_text(), methods.TABLE.read_text()
    assert methods.filled(page, studies, aims) == page
    assert methods.with_table(table, studies) == table


def test_strengths_are_those_that_were_best_on_validation_pairs():
    found = evidence('benchmark_pairs_grid')
    for method in benchmark_pairs.measured_here():
        run = benchmark_pairs.key(method)
        valid = {
            strength: measure_over_seeds(found, benchmark_pairs.at(run, strength), 'last.valid.student.accuracy').mean
            for strength in benchmark_pairs.strengths_of(method)
        }
        assert benchmark_pairs.chosen(run) == max(valid, key=valid.get)
        inner = {strength: valid[strength] for strength in benchmark_pairs.STRENGTHS if strength in valid}
        best = max(inner, key=inner.get)
        assert (0.03 in valid) == (best == 0.1)
        assert (10.0 in valid) == (best == 3.0)


@pytest.mark.parametrize('names', [['other_aims'], ['benchmark_pairs_grid', 'benchmark_pairs']])
def test_studies_without_kd_are_one_sentence_and_both_pages_stay(names, capsys):
    before = benchmark_pairs.PAGE.read_text(), methods.TABLE.read_text()
    assert methods.main([str(RESULTS / name) for name in names]) == 2
    said = capsys.readouterr().err
    assert said == "error: in each study of configs/benchmark_pairs.py that you give, run 'kd' must be finished.\n"
    assert (benchmark_pairs.PAGE.read_text(), methods.TABLE.read_text()) == before


def test_a_directory_without_results_is_one_sentence(tmp_path, capsys):
    assert methods.main([str(tmp_path)]) == 2
    assert 'there is no study.json here' in capsys.readouterr().err
