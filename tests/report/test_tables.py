"""The tables of a report."""

from kd_jax.report.tables import study_tables, table_cells, table_legend


def test_our_number_stands_beside_the_papers_with_the_difference(loaded):
    [table] = study_tables(*loaded)
    headings, rows = table_cells(table)
    assert headings == ['', 'errors', 'paper', 'difference', 'accuracy (%)', 'seeds']
    assert rows[0] == ['distilled', '7.0 ± 1.0', '5', '+2.0', '93.00 ± 1.00', '3']  # errors 6, 7, 8
    assert rows[1] == ['baseline', '12.0 ± 2.0', '–', '–', '88.00 ± 2.00', '3']


def test_a_run_that_is_missing_says_so_and_keeps_the_papers_number(loaded):
    [table] = study_tables(*loaded)
    assert table_cells(table)[1][2] == ['to come', 'not run yet', '3', '–', '–', '–']


def test_a_cell_measured_on_fewer_seeds_says_on_how_many(loaded):
    study, results = loaded
    results['student'][2]['last']['test']['student']['errors'] = None
    [table] = study_tables(study, results)
    assert table_cells(table)[1][0][1] == '6.5 ± 0.7 (2 seeds)'


def test_a_row_may_read_other_paths_of_a_run_named_in_it(loaded):
    study, results = loaded
    rows = {'twice': {'run': 'student', 'columns': {'errors': 'last.test.student.count', 'accuracy': None}}}
    study['report']['tables']['main']['rows'] = rows
    [table] = study_tables(study, results)
    assert table_cells(table)[1] == [['twice', '100.0 ± 0.0', '–', '3']]


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
    headings, rows = table_cells(table)
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
    headings, rows = table_cells(study_tables(study, {'teacher': results['teacher']})[0])
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
    assert table_cells(table)[1] == [
        ['student', '0.0247 ± 0.0000', '–', '–', '3'],
        ['baseline', '2.5000 ± 0.0000', '2', '+0.5000', '3'],
    ]


def test_the_legend_describes_only_what_the_tables_show(loaded):
    study, results = loaded
    assert table_legend(study_tables(study, results)).startswith('Our numbers are the mean ± standard deviation')
    del study['report']
    single = {run: {0: seeds[0]} for run, seeds in results.items()}
    legend = table_legend(study_tables(study, single))
    assert legend == 'Our numbers come from one seed, so they have no standard deviation.'
