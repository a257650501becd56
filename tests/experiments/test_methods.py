"""The study of all methods, and the pages that are written from the table of methods and from its results."""

import jax
import numpy as np
import pytest

from configs import benchmark_pairs
from configs.methods import LANGUAGE, METHODS, SCHEMES, WITH_FROZEN_TEACHER, Method
from experiments import methods
from experiments.long_tables import long_tables
from kd_jax.core.step import make_train_step
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.report.result_files import load_results, measure_over_seeds
from tests.small_recipes import start

BUDGET = ('data', 'batch_size', 'epochs', 'optimizer')


@pytest.mark.parametrize('variant', benchmark_pairs.VARIANTS)
def test_every_method_has_the_budget_of_the_student_alone(variant):
    runs = benchmark_pairs.get_config(variant).to_dict()['runs']
    taught = {name: run for name, run in runs.items() if name not in ('teacher', 'teachers')}
    assert len(taught) > 100 if variant == 'grid' else len(taught) > 50
    for run in taught.values():
        assert {key: run[key] for key in BUDGET} == {key: runs['baseline'][key] for key in BUDGET}


def test_a_strength_multiplies_every_weight_but_that_of_the_labels():
    one, three = (benchmark_pairs.run_of(METHODS['DKD'], 1000, strength)['terms'] for strength in (1.0, 3.0))
    assert one['dkd']['weight'] == {'schedule': 'linear', 'start': 0.0, 'end': 1.0, 'until': 0.08}
    assert three['dkd']['weight'] == {'schedule': 'linear', 'start': 0.0, 'end': 3.0, 'until': 0.08}
    assert three['hard'] == one['hard']
    assert benchmark_pairs.scaled(0.5, 3.0) == 1.5


def results_of(run, *accuracies):
    return {run: {seed: {'last': {'test': {'student': {'accuracy': a}}}} for seed, a in enumerate(accuracies)}}


def test_a_row_has_the_method_with_its_statements_and_what_was_measured():
    method = Method(
        name='new', kind='response', objective='KL', source='a paper', definition='as there',
        networks=dict(wide=dict(model='connector', input=['student.block1'], channels=(16,))),
        terms=dict(a=dict(loss='kd', t=dict(schedule='linear', start=1.0)), b=dict(loss='mse')),
    )  # fmt: skip
    statements = (
        "c.networks.wide = dict(model='connector', input=['student.block1'], channels=(16,)); "
        "c.terms.a = dict(loss='kd', t=dict(schedule='linear', start=1.0)); c.terms.b = dict(loss='mse')"
    )
    assert methods.row(method, '60.0') == f'| new | response | KL | `{statements}` | a paper | as there | 60.0 |'


def test_a_bar_in_a_loss_ends_no_cell():
    method = Method(name='tv', kind='response', objective='½ Σ |p − q|', source='a', definition='b', terms={})
    assert r'| ½ Σ \|p − q\| |' in methods.row(method, '60.0')


def test_the_tables_have_every_method_once_with_mean_and_deviation_of_each_study():
    studies = [results_of('kd', 0.5, 0.7), results_of('other', 0.1, 0.2)]
    aims = results_of('points_unlabelled', 0.2, 0.2) | results_of('robust_ard', 0.9, 0.9)
    for result in aims['robust_ard'].values():
        result['last']['test']['under_pgd20'] = {'accuracy': 0.5}
    tables = [
        [line.strip('| ').split(' | ') for line in table.splitlines()]
        for table in methods.methods_tables(studies, aims)
    ]
    assert [row[0] for table in tables for row in table[2:]] == [*METHODS, *(method.name for method in LANGUAGE)]
    assert len(METHODS) == len(WITH_FROZEN_TEACHER) + len(SCHEMES)  # no two have one name
    assert {len(row) for table in tables for row in [table[0], *table[2:]]} == {7}
    measured = {row[0]: row[-1] for table in tables for row in table[2:]}
    # The mean of 50 and 70 is 60, their sample deviation the root of 200.
    assert measured['KD'] == '60.0 ± 14.1; –'
    assert measured['DKD'] == 'not yet measured'
    assert measured['cross-modal'] == '20.0 ± 0.0'
    assert measured['robust (ARD)'] == '90.0 ± 0.0; under PGD-20 50.0 ± 0.0'


def test_each_table_of_a_page_is_replaced_between_its_markers():
    page = f'a\n{methods.START}\nold\n{methods.END}\nb\n{methods.START}\n{methods.END}\nc\n'
    new = f'a\n{methods.START}\n\n1\n\n{methods.END}\nb\n{methods.START}\n\n2\n\n{methods.END}\nc\n'
    assert methods.with_tables(page, ['1', '2']) == new
    assert methods.with_tables(new, ['1', '2']) == new


def test_gains_over_kd_are_paired_by_seed_and_an_arrow_says_that_the_interval_excludes_zero():
    def over_kd(*accuracies):
        return methods.over_kd('a', results_of('a', *accuracies) | results_of('kd', 0.5, 0.6, 0.7))

    # Student's t of two degrees of freedom: the half width is 4.303 / sqrt(3) = 2.48 standard deviations.
    assert over_kd(0.52, 0.61, 0.73) == '+2.0 ± 1.0'
    assert over_kd(0.525, 0.615, 0.735) == '+2.5 ± 1.0 ▲'
    assert over_kd(0.475, 0.585, 0.665) == '−2.5 ± 1.0 ▼'
    assert over_kd(0.52, 0.61) == '+1.5 ± 0.7'
    assert over_kd(0.52) == '–'
    assert methods.over_kd('kd', results_of('kd', 0.5, 0.6)) == '–'


def test_the_table_has_every_student_the_best_first_and_its_costs():
    study = results_of('kd', 0.5, 0.7) | results_of('dkd', 0.6, 0.9) | results_of('baseline', 0.1, 0.2)
    study['kd'][0]['config'] = {'data': {'examples': 1000}}
    page = f'before\n{methods.START}\nold\n{methods.END}\nafter\n'
    page = methods.with_tables(page, [methods.comparison([study])])
    rows = [line.strip('| ').split(' | ') for line in page.splitlines() if line.startswith('| ')]
    assert rows[0][1:3] == ['1,000 images', 'over KD']
    assert [row[0] for row in rows[1:4]] == ['DKD', 'KD', 'labels alone']
    assert rows[1][1:3] == ['75.0 ± 21.2', '+15.0 ± 7.1']
    assert len(rows) == 1 + len(benchmark_pairs.labels())
    assert page.startswith('before\n')
    assert page.endswith(f'{methods.END}\nafter\n')
    assert 'old' not in page
    assert methods.with_tables(page, [methods.comparison([study])]) == page


def test_the_committed_pages_are_those_that_the_methods_and_the_committed_results_give():
    studies, aims, long = methods.committed_results()
    page, compared = methods.PAGE.read_text(), methods.COMPARISON.read_text()
    assert methods.with_tables(page, methods.methods_tables(studies, aims)) == page
    tables = [*long_tables(long, methods.by_size(studies)), methods.comparison(studies)]
    assert methods.with_tables(compared, tables) == compared


def test_strengths_are_those_that_were_best_on_validation_pairs():
    found = load_results(methods.RESULTS / 'benchmark_pairs_grid').results
    for method in benchmark_pairs.measured_here():
        run = benchmark_pairs.key(method)
        valid = {
            strength: measure_over_seeds(found, benchmark_pairs.at(run, strength), 'last.valid.student.accuracy').mean
            for strength in benchmark_pairs.strengths_of(method)
        }
        assert benchmark_pairs.chosen(run) == max(valid, key=valid.get)
        if method in benchmark_pairs.SEARCHED:
            continue
        inner = {strength: valid[strength] for strength in benchmark_pairs.STRENGTHS if strength in valid}
        best = max(inner, key=inner.get)
        assert (0.03 in valid) == (best == 0.1)
        assert (10.0 in valid) == (best == 3.0)


def test_a_study_without_kd_is_one_sentence_and_both_pages_stay(study_dir, monkeypatch, capsys):
    before = methods.PAGE.read_text(), methods.COMPARISON.read_text()
    monkeypatch.setattr(methods, 'RESULTS', study_dir.parent)
    monkeypatch.setattr(methods, 'SHORT', (study_dir.name,))
    assert methods.main([]) == 2
    assert f"error: {study_dir} has no result of run 'kd': finish it" in capsys.readouterr().err
    assert (methods.PAGE.read_text(), methods.COMPARISON.read_text()) == before


def test_results_that_are_missing_are_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(methods, 'RESULTS', tmp_path)
    assert methods.main([]) == 2
    assert 'there is no such directory' in capsys.readouterr().err


def test_all_methods_for_language_models_train_together():
    read = dict(input=['batch.tokens', 'batch.segment'], model='decoder', vocabulary=20, heads=2, mlp_width=8)
    networks = dict(student=dict(read, width=8, layers=1), teacher=dict(read, width=8, layers=2, update='frozen'))
    config = dict(networks=networks, terms={}, optimizer=dict(learning_rate=0.1))
    for method in LANGUAGE:
        for part, added in method.parts().items():
            config.setdefault(part, {}).update(added)
    # One row with a prompt, two documents and padding; one that is a single document.
    segment = np.array([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]], np.int32)
    mask = np.array([[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
    tokens, label = np.random.default_rng(0).integers(20, size=(2, 2, 6)).astype(np.int32)
    batch = dict(tokens=tokens, label=label, mask=mask, segment=segment)
    recipe = parse_recipe(config)
    state, frozen = start(recipe, batch)
    after, metrics = jax.jit(make_train_step(recipe, 10))(state, recipe.hparams, frozen, batch)
    for name, (total, count) in metrics.items():
        assert np.isfinite(total)
        on_all = name in ('hidden', 'matched', 'attention', 'relations')
        assert count == (1 if name in ('loss', 'grad_norm') else 11 if on_all else 10)
    assert len(metrics) == sum(len(method.terms) for method in LANGUAGE) + 2
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), state.params['student'], after.params['student'])
    assert all(jax.tree.leaves(moved))
