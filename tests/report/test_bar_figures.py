"""Bars, and the figure that compares the rows of a table."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from kd_jax.report.bar_figures import default_comparison, draw_bars, draw_comparison, draw_shares
from kd_jax.report.finding import find
from kd_jax.report.paper_claims import study_claims
from kd_jax.report.tables import study_tables


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def _comparison(study, results):
    entries = default_comparison(find(study_tables(study, results), results))
    return next(iter(entries.values()), None)


def test_bars_start_at_zero_and_carry_their_numbers(loaded):
    study, results = loaded
    figure, note = draw_bars(study['report']['figures']['bars'], results)
    [axes] = figure.axes
    assert axes.get_xlim()[0] == 0
    assert [patch.get_width() for patch in axes.patches] == [7.0]
    assert _texts(axes) == ['7.0 ± 1.0']
    assert note == ''


def test_the_note_names_a_bar_that_cannot_be_drawn(loaded):
    figure, note = draw_bars({'values': {'a': 'student:seconds', 'b': 'absent:seconds'}}, loaded[1])
    assert isinstance(figure, Figure)
    assert note == 'absent has not been run yet.'


def test_the_note_names_a_bar_of_fewer_seeds_than_ran(loaded):
    entry, results = loaded[0]['report']['figures']['bars'], loaded[1]
    results['student'][1]['last']['test']['student']['errors'] = None
    figure, note = draw_bars(entry, results)
    assert [patch.get_width() for patch in figure.axes[0].patches] == [7.0]  # of 6 and 8
    assert note == 'student has a finite number on 2 of 3 seeds.'


def test_the_rows_of_the_findings_table_stand_beside_the_baseline_and_the_papers_numbers(loaded):
    figure, _ = draw_comparison(_comparison(*loaded), loaded[1])
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ['baseline', 'distilled']  # from below
    assert [patch.get_width() for patch in axes.patches] == [12, 7]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()  # the finding is about 'distilled'
    lines = [set(np.asarray(line.get_xdata()).tolist()) for line in axes.lines]
    assert {5} in lines  # the paper's number of 'distilled'
    assert {12} in lines  # the baseline
    assert axes.get_xlabel() == 'errors'


def test_a_count_of_other_examples_is_no_bar_beside_them(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['teacher'] = {}
    for result in results['teacher'].values():
        result['last']['test']['student']['count'] = 10
    assert [row.label for row in _comparison(study, results)['rows']] == ['distilled', 'baseline']


def test_two_rows_of_one_label_are_two_bars(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['again'] = {'run': 'student', 'label': 'distilled'}
    figure, _ = draw_comparison(_comparison(study, results), results)
    assert len(figure.axes[0].patches) == 3


def test_of_many_rows_the_best_are_drawn_and_the_baseline(loaded):
    study, results = loaded
    rows = study['report']['tables']['main']['rows']
    for extra in range(20):
        run = f'run{extra:02}'
        results[run] = {0: {**results['student'][0], 'last': {'test': {'student': {'errors': 30 - extra}}}}}
        rows[run] = {}
    entry = _comparison(study, results)
    shown = [row.label for row in entry['rows']]
    assert len(shown) == 13
    assert shown[:2] == ['distilled', 'run19']  # 7.0 and 11 errors; the best stand first
    assert 'baseline' in shown
    assert 'Of 22 rows, the 12 best' in entry['caption']


def test_one_row_alone_is_no_comparison(loaded):
    study, results = loaded
    assert _comparison(study, {'student': results['student']}) is None
    assert _comparison(study, {}) is None


def test_shares_are_drawn_from_their_claims(loaded):
    study, results = loaded
    claim = study_claims(study, results)[0]
    figure, gaps = draw_shares({'claims': {'kept': claim}}, results)
    assert gaps == ''
    (bar,) = figure.axes[0].patches
    assert claim.of_means != pytest.approx(claim.seedwise.mean)
    assert bar.get_width() == pytest.approx(claim.of_means)  # what the text of the claim says


def test_ratios_are_dots(loaded):
    study, results = loaded
    study['report']['claims']['kept']['kind'] = 'ratio'
    figure, gaps = draw_shares({'claims': {'kept': study_claims(study, results)[0]}}, results)
    assert gaps == ''
    assert not figure.axes[0].patches
    low, _ = figure.axes[0].get_xlim()
    assert low > 0


def test_a_share_that_cannot_be_computed_is_said(loaded):
    study, results = loaded
    claim = study_claims(study, {})[0]
    assert draw_shares({'claims': {'kept': claim}}, results) == (None, claim.sentence)


def test_an_undefined_share_is_said_though_seeds_have_one(loaded):
    study, results = loaded
    for seed, errors in enumerate((8, 12, 16)):  # beside 10, 12, 14: the teacher gains nothing on average
        results['teacher'][seed]['last']['test']['student']['errors'] = errors
    undefined = study_claims(study, results)[0]
    assert undefined.of_means is None
    assert undefined.seedwise.n == 2
    assert draw_shares({'claims': {'kept': undefined}}, results) == (None, undefined.sentence)
    drawn = dataclasses.replace(undefined, of_means=0.5)
    figure, note = draw_shares({'claims': {'kept': undefined, 'other': drawn}}, results)
    assert len(figure.axes[0].patches) == 1
    assert note == undefined.sentence
