"""The study of recipes shows every run, by what recipes are chosen by."""

from configs.hinton import recipes


def test_every_run_has_a_row_and_is_compared_on_validation_images():
    tables = recipes.get_report()['tables']
    students, teachers = tables['students'], tables['teachers']
    assert {*students['rows'], *teachers['rows']} == set(recipes.get_config()['runs'])
    assert students['columns'][students['compare']] == 'last.valid.student.kl'
    assert [path.split('.')[1] for path in students['columns'].values()] == ['valid', 'valid', 'valid', 'test']
