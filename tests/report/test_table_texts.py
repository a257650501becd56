"""The texts of tables, and their legend."""

from kd_jax.report.table_texts import row_labels, table_legend
from kd_jax.report.tables import study_tables


def test_the_legend_describes_only_what_the_tables_show(loaded):
    study, results = loaded
    legend = table_legend(study_tables(study, results))
    assert legend.startswith('Numbers are the mean ± standard deviation over seeds. Bold: the best mean of its column.')
    assert 'The gain says' in legend
    assert 'Ours − paper is' in legend
    assert '≈' not in legend
    del study['report']
    single = {'student': {0: results['student'][0]}}
    legend = table_legend(study_tables(study, single))
    assert legend == 'Numbers come from one seed, so they have no standard deviation.'


def test_a_number_has_the_label_of_the_first_row_that_shows_it(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['again'] = {'run': 'student', 'label': 'once more'}
    labels = row_labels(study_tables(study, results))
    assert labels['student', 'last.test.student.errors'] == 'distilled'
    assert ('student', 'seconds') not in labels
