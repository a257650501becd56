"""A study that holds out validation examples and chooses nothing on them says so."""

import pytest

from kd_jax.report.contents import facts
from kd_jax.report.validation_use import unused_validation

SAID = '500 examples held out, and nothing was chosen on them'


def held_out(**config):
    last = {'test': {'net': {'errors': 3}}, 'valid': {'net': {'errors': 1}}}
    metrics = {'net': {'errors': {'unit': 'count', 'better': 'lower'}}}
    result = {'seed': 0, 'examples': {'train': 9, 'valid': 500, 'test': 9}, 'last': last, 'metrics': metrics}
    return {'a': {0: {**result, 'config': config}}}


def test_it_stands_among_the_facts():
    assert facts({'name': 'a'}, held_out())['validation'] == SAID
    table = {
        'columns': {'errors': 'last.test.net.errors'},
        'rows': {'a': {}},
        'title': 'Best of all: validated elsewhere',
    }
    assert unused_validation({'report': {'tables': {'t': table}}}, held_out()) == SAID
    assert unused_validation({}, held_out(networks={'t': {'init': 'run:a@last/net'}})) == SAID


def test_the_sentence_that_leads_the_report_may_choose_among_rows_on_validation():
    one = {'baseline': held_out()['a'], 'a': held_out()['a']}
    assert unused_validation({}, one) == SAID
    assert unused_validation({}, {**one, 'b': held_out()['a']}) == ''


@pytest.mark.parametrize(
    ('study', 'results'),
    [
        ({'search': 'result:a.last.valid.net.errors'}, held_out()),
        ({'report': {'tables': {'t': {'columns': {'chosen by': 'last.valid.net.errors'}}}}}, held_out()),
        ({'report': {'claims': {'c': {'value': 'a:best.test.net.errors'}}}}, held_out()),
        ({'report': {'figures': {'f': {'y': 'valid.net.errors'}}}}, held_out()),
        ({}, held_out(patience=3)),
        ({}, held_out(networks={'teacher': {'init': 'run:b@best/net'}})),
        ({}, held_out(transform={'of': ['run:b@best']})),
        ({}, held_out(networks={'teacher': {'init': 'runs/b-s0@best'}})),
        ({}, {'a': {0: {'examples': {'train': 9, 'test': 9}, 'last': {'test': {'net': {}}}}}}),
        ({}, {'a': {0: {'examples': {'valid': 9}, 'last': {'valid': {'net': {'errors': 1}}}}}}),
        ({}, {}),
    ],
)
def test_it_is_not_said_where_something_was_chosen_or_nothing_held_out(study, results):
    assert unused_validation(study, results) == ''
