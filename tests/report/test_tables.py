"""The tables of a report."""

from kd_jax.report.table_texts import table_cells
from kd_jax.report.tables import study_tables


def texts(table):
    return [[cell.text for cell in row] for row in table_cells(table)[1]]


def test_our_number_stands_beside_the_papers_with_the_difference(loaded):
    [table] = study_tables(*loaded)
    headings, rows = table_cells(table)[0], texts(table)
    assert headings == ['', 'errors', 'gain', 'paper', 'ours − paper', 'accuracy (%)', 'seeds']
    # errors 6, 7, 8 instead of 10, 12, 14: gains of 4, 5, 6
    assert rows[0] == ['distilled', '7.0 ± 1.0', '+5.0 ± 1.0', '5', '+2.0', '93.00 ± 1.00', '3']
    assert rows[1] == ['baseline', '12.0 ± 2.0', 'baseline', '–', '–', '88.00 ± 2.00', '3']


def test_a_run_that_is_missing_says_so_and_keeps_the_papers_number(loaded):
    [table] = study_tables(*loaded)
    assert texts(table)[2] == ['to come', 'not run yet', '–', '3', '–', '–', '–']


def test_a_cell_measured_on_fewer_seeds_says_on_how_many(loaded):
    study, results = loaded
    results['student'][2]['last']['test']['student']['errors'] = None
    [table] = study_tables(study, results)
    assert texts(table)[0][1] == '6.5 ± 0.7 (2 seeds)'


def test_a_row_may_read_other_paths_of_a_run_named_in_it(loaded):
    study, results = loaded
    rows = {'twice': {'run': 'student', 'columns': {'errors': 'last.test.student.count', 'accuracy': None}}}
    study['report']['tables']['main']['rows'] = rows
    [table] = study_tables(study, results)
    assert texts(table) == [['twice', '100.0 ± 0.0', '–', '3']]


def test_a_path_that_no_row_has_is_noted_with_the_nearest(loaded):
    study, results = loaded
    study['report']['tables']['main']['columns']['errors'] = 'last.test.student.erors'
    [table] = study_tables(study, results)
    assert [note for note in table.notes if 'erors' in note and 'last.test.student.errors' in note]
    assert len(table.notes) == 1


def test_without_a_report_section_every_evaluated_network_has_a_row(loaded):
    study, results = loaded
    results['student'][0]['last']['test'] = {'student': {'errors': 6}, 'teacher': {'errors': 4}}
    results['student'][0]['metrics'] = dict.fromkeys(
        ('student', 'teacher'), results['student'][0]['metrics']['student']
    )
    del study['report']
    [table] = study_tables(study, results)
    headings, rows = table_cells(table)[0], texts(table)
    assert [row[0] for row in rows] == ['baseline', 'student: student', 'student: teacher', 'teacher']
    assert headings[1] == 'errors'
    assert rows[2][1] == '4 (1 seed)'


def test_without_a_report_section_a_table_has_the_metrics_that_there_are(loaded):
    study, results = loaded
    del study['report']
    for result in results['teacher'].values():
        result['last'] = {'valid': {'depth': {'count': 9, 'rmse': 0.25, 'hits': 0.5}}}
        stated = {'rmse': {'unit': 'metres', 'better': 'lower'}, 'hits': {'unit': 'fraction', 'better': 'higher'}}
        result['metrics'] = {'depth': {'count': {'unit': 'count', 'better': None}, **stated}}
    [table] = study_tables(study, {'teacher': results['teacher']})
    headings, rows = table_cells(table)[0], texts(table)
    assert headings == ['', 'rmse (metres)', 'hits (%)', 'seeds']
    assert rows == [['teacher', '0.250 ± 0.000', '50.00 ± 0.00', '3']]


def test_plain_numbers_of_a_column_have_equally_many_digits(loaded):
    study, results = loaded
    for run, nll in (('student', 0.02468), ('baseline', 2.5)):
        for result in results[run].values():
            result['last']['test']['student']['nll'] = nll
    study['report']['tables']['main']['columns'] = {'nll': 'last.test.student.nll'}
    study['report']['tables']['main']['rows'] = {'student': {}, 'baseline': {'paper': {'nll': 2}}}
    [table] = study_tables(study, results)
    assert texts(table) == [
        ['student', '0.0247 ± 0.0000', '+2.4753 ± 0.0000', '–', '–', '3'],
        ['baseline', '2.5000 ± 0.0000', 'baseline', '2', '+0.5000', '3'],
    ]


def marked(table):
    """The labels of the rows whose number in the first column is marked, by the mark."""
    return {mark: [row.label for row in table.rows if row.cells[0].mark == mark] for mark in ('best', 'level')}


def test_the_best_number_of_a_column_is_marked_and_what_cannot_be_told_from_it(loaded):
    study, results = loaded
    rows = study['report']['tables']['main']['rows']
    for name, errors in (('close', (8, 6, 9)), ('same', (8, 7, 6)), ('far', (9, 10, 11))):
        rows[name] = {}
        own = [
            {**results['student'][seed], 'last': {'test': {'student': {'errors': e}}}} for seed, e in enumerate(errors)
        ]
        results[name] = dict(enumerate(own))
    # From (6, 7, 8): 'same' has the same mean. 'close' is 2, -1, 1 behind: mean 2/3, sd 1.53, so the interval reaches
    # below zero. 'far' is 3, 3, 3 behind, and the baseline 4, 5, 6.
    [table] = study_tables(study, results)
    assert marked(table) == {'best': ['distilled', 'same'], 'level': ['close']}
    assert [cell.mark for cell in table.rows[1].cells] == ['', '']


def test_a_teacher_is_not_the_best_of_its_students(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['teacher'] = {}
    for result in results['student'].values():
        result['config']['networks'] = {'teacher': {'update': 'frozen', 'init': 'run:teacher@best/net'}, 'student': {}}
    [table] = study_tables(study, results)
    assert marked(table)['best'] == ['distilled']
    assert [row.role for row in table.rows] == ['', 'baseline', '', 'teacher']
    assert table.rows[3].cells[0].gained == '+8.0 ± 2.0'  # 4 instead of 10, 12, 14


def test_a_report_may_name_the_teachers(loaded):
    study, results = loaded
    main = study['report']['tables']['main']
    main['rows']['teacher'] = {}
    assert marked(study_tables(study, results)[0])['best'] == ['teacher']  # nothing says that it teaches
    main['teachers'] = ['teacher']
    [table] = study_tables(study, results)
    assert marked(table)['best'] == ['distilled']
    assert [row.role for row in table.rows] == ['', 'baseline', '', 'teacher']


def test_nothing_is_best_on_training_examples_or_without_a_better_way(loaded):
    study, results = loaded
    for seeds in results.values():
        for result in seeds.values():
            result['last']['train'] = result['last']['test']
    study['report']['tables']['main']['columns'] = {
        'train': 'last.train.student.errors',
        'images': 'last.test.student.count',
    }
    del study['report']['tables']['main']['rows']['student']['paper']
    del study['report']['tables']['main']['rows']['absent']
    [table] = study_tables(study, results)
    assert [column.better for column in table.columns] == [None, None]
    assert table.compared is None
    assert {cell.mark for row in table.rows for cell in row.cells} == {''}


def test_a_report_names_the_baseline_and_the_column_that_is_compared(loaded):
    study, results = loaded
    study['report']['tables']['main'] |= {'baseline': 'student', 'compare': 'accuracy'}
    [table] = study_tables(study, results)
    assert table.baseline.label == 'distilled'
    assert table.rows[1].cells[1].gained == '−5.00 ± 1.00'  # accuracies of 0.90, 0.88, 0.86 instead of 0.94, 0.93, 0.92
    assert table.rows[1].cells[0].gain is None


def test_runs_without_a_common_seed_gain_the_difference_of_their_means(loaded):
    study, results = loaded
    results['baseline'] = {seed + 10: result for seed, result in results['baseline'].items()}
    [table] = study_tables(study, results)
    assert table.rows[0].cells[0].gained == '+5.0'
    assert table.rows[0].cells[0].gain.by_seed is None


def test_counts_of_other_examples_are_not_compared(loaded):
    study, results = loaded
    rows = study['report']['tables']['main']['rows']
    rows['teacher'] = {}
    for result in results['student'].values():
        result['last']['test']['student']['count'] = 20  # errors 6, 7, 8 of 20 images; the others are of 100
    [table] = study_tables(study, results)
    assert [row[2] for row in texts(table)] == ['–', 'baseline', '–', '+8.0 ± 2.0']
    assert marked(table)['best'] == ['teacher']
    assert table.notes == ('errors of “distilled”: measured on other examples, so not compared with the others.',)
    # An accuracy is a share, which may be compared: 88 of 100, 93 of 100 and 96 of 100.
    assert [row.cells[1].mark for row in table.rows] == ['', '', '', 'best']


def test_numbers_of_another_split_or_metric_are_not_compared(loaded):
    study, results = loaded
    for result in results['student'].values():
        result['last'] = {'valid': result['last']['test']}
    rows = study['report']['tables']['main']['rows']
    valid = {'errors': 'last.valid.student.errors', 'accuracy': 'last.valid.student.accuracy'}
    rows['student']['columns'] = valid
    rows['teacher'] = {'columns': {'errors': 'last.test.student.accuracy'}}
    [table] = study_tables(study, results)
    assert table.compared is None
    assert marked(table) == {'best': [], 'level': []}
    assert table.notes == (
        'errors of “distilled”: measured on other examples, so not compared with the others.',
        'errors of “teacher”: another metric, so not compared with the others.',
        'accuracy of “distilled”: measured on other examples, so not compared with the others.',
    )
    del study['report']
    [table] = study_tables(study, results)  # 'student' has no test examples, and the two others have
    assert [row.cells[0].mark for row in table.rows] == ['', '', 'best']
    assert table.rows[1].cells[0].gain is None
    assert table.rows[2].cells[0].gained == '+8.0 ± 2.0'


def test_without_a_baseline_a_column_measures_what_most_of_its_rows_do(loaded):
    study, results = loaded
    rows = {'a': {'run': 'student', 'columns': {'errors': 'best.valid.student.errors'}}, 'b': {'run': 'student'}}
    study['report']['tables']['main']['rows'] = {**rows, 'teacher': {}}
    for result in results['student'].values():
        result['best'] = {'valid': {'student': {'count': 9, 'errors': 1}}}
    [table] = study_tables(study, results)
    assert marked(table)['best'] == ['teacher']
    assert table.notes == ('errors of “a”: measured on other examples, so not compared with the others.',)
