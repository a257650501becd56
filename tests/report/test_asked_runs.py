"""Which results a study asks for: others count nowhere, and what is missing is named."""

import copy
import json

import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.asked_runs import asked_results, missing_seeds, ranges, said_missing, said_unfinished
from kd_jax.report.build import build_report
from kd_jax.report.contents import facts
from kd_jax.report.result_files import load_results
from kd_jax.report.table_texts import table_cells
from kd_jax.report.tables import study_tables
from tests.report.conftest import result

TAUGHT = {'networks': {'teacher': {'init': 'run:teacher', 'update': 'frozen'}}}


def found(**configs):
    """Results of one seed by run, with these configs."""
    return {run: {0: {'config': config}} for run, config in configs.items()}


def reasons(asked, there, seeds=1):
    _, left_aside = asked_results({'runs': asked, 'seeds': seeds}, there)
    return {aside.run: aside.reason for aside in left_aside}


@pytest.fixture
def asking(edit_study):
    """`asking(**changes)` makes study.json ask for the runs of the small study, changed as given."""

    def ask(seeds=3, runs=('teacher', 'student', 'baseline'), **changes):
        configs = {run: {**result(run, 0, 0)['config'], **changes.get(run, {})} for run in runs}
        edit_study(lambda study: study.update(runs=configs, seeds=seeds))

    return ask


def errors_of(study_dir):
    [table] = study_tables(*load_results(study_dir)[:2])
    return {row[0].text: (row[1].text, row[-1].text) for row in table_cells(table)[1]}


def test_results_of_another_config_count_nowhere(study_dir, asking, tmp_path):
    path = study_dir / 'results' / 'student-s2.json'
    other = json.loads(path.read_text())
    other['config']['t'] = 1.0
    other['last']['test']['student']['errors'] = 300
    path.write_text(json.dumps(other))
    asking()
    # errors 6 and 7 of seeds 0 and 1; with the 300 of another temperature the mean would be 104.3
    assert errors_of(study_dir)['distilled'] == ('6.5 ± 0.7', '2 of 3')
    report = build_report(study_dir, tmp_path / 'out')
    [aside] = report.left_aside
    assert aside == ('student', 2, 'it has another config: t is 1.0 in the result and 4.0 in the study')
    for page in ('report.md', 'report.html'):
        text = (tmp_path / 'out' / page).read_text()
        assert 'it has another config: t is 1.0 in the result and 4.0 in the study' in text
        assert '1 of the 9 results that the study asks for is missing: student (seed 2).' in text


def test_results_on_other_data_count_nowhere(study_dir, asking, edit_study):
    asking()
    edit_study(lambda study: study.update(data_checksums={'student': 'crc32:1', 'teacher': 'crc32:1'}))
    for run, seed, data in (('student', 0, 'crc32:1'), ('student', 1, 'crc32:2'), ('teacher', 0, '')):
        path = study_dir / 'results' / f'{run}-s{seed}.json'
        path.write_text(json.dumps(json.loads(path.read_text()) | {'data_checksum': data}))
    [aside] = load_results(study_dir).left_aside
    assert aside == ('student', 1, 'it was trained on other data: the arrays of its source have changed since')


def test_seeds_and_runs_that_the_study_no_longer_asks_for_count_nowhere(study_dir, asking):
    asking(seeds=2, runs=('student', 'teacher'))
    study, results, left_aside = load_results(study_dir)
    assert {run: list(seeds) for run, seeds in results.items()} == {'student': [0, 1], 'teacher': [0, 1]}
    assert {(aside.run, aside.seed): aside.reason for aside in left_aside} == {
        **{('baseline', seed): 'the study has no run of this name' for seed in range(3)},
        **{(run, 2): 'the study asks for the seeds 0 to 1 alone' for run in ('student', 'teacher')},
    }
    assert facts(study, results, left_aside)['left aside'] == '5 results, listed below'
    assert said_missing(study, results) == ''


def test_a_run_with_seeds_of_its_own_asks_for_these(study_dir, asking):
    asking(seeds=1, student={'seeds': 4}, teacher={'seeds': 2})
    study, results, left_aside = load_results(study_dir)
    assert missing_seeds(study, results) == {
        'student': [3]
    }  # the config of the results has no seeds, which is no difference
    assert said_missing(study, results).startswith('Not finished: 1 of the 7 results')
    assert {(aside.run, aside.seed) for aside in left_aside} == {('baseline', 1), ('baseline', 2), ('teacher', 2)}
    assert errors_of(study_dir)['distilled'][1] == '3 of 4'


def test_runs_stand_in_the_order_of_the_study(study_dir, asking, edit_study):
    asking()
    edit_study(lambda study: study.pop('report'))
    assert list(load_results(study_dir).results) == ['teacher', 'student', 'baseline']
    assert list(errors_of(study_dir)) == ['teacher', 'student', 'baseline']


def test_the_runs_that_miss_results_are_named_among_those_that_are_asked_about():
    study, results = {'seeds': 2, 'runs': {'a': {}, 'b': {}, 'c': {'seeds': 1}}}, {'a': {0: {}, 1: {}}, 'b': {0: {}}}
    assert said_unfinished(study, results, ['a']) == ''
    assert said_unfinished(study, results, ['c', 'a']) == 'c has not been run yet'
    assert said_unfinished(study, results, ['a', 'b', 'c', 'gone']) == 'b (seed 1), c have not been run yet'
    assert said_unfinished({}, results, ['a', 'c']) == ''  # an older study, which did not name its runs
    many = {'runs': {f'r{i}': {} for i in range(10)}}
    assert said_unfinished(many, {}, many['runs']).endswith('r7, and 2 more runs have not been run yet')


def test_a_partial_study_says_what_is_missing(study_dir, asking, edit_study, tmp_path):
    asking()
    edit_study(lambda study: study.pop('report'))
    for name in ('teacher-s0', 'teacher-s1', 'teacher-s2', 'student-s1'):
        (study_dir / 'results' / f'{name}.json').unlink()
    said = '4 of the 9 results that the study asks for are missing: teacher, student (seed 1).'
    report = build_report(study_dir, tmp_path / 'out')
    assert said in report.missing
    assert said in (tmp_path / 'out' / 'report.md').read_text()
    assert errors_of(study_dir)['teacher'] == ('not run yet', '–')
    assert errors_of(study_dir)['student'] == ('7.0 ± 1.4', '2 of 3')  # errors 6 and 8
    assert errors_of(study_dir)['baseline'] == ('12.0 ± 2.0', '3')


def test_many_missing_runs_are_counted_at_the_top_and_all_named_among_the_facts():
    study = {'name': 'many', 'seeds': 1, 'runs': {f'run{i}': {} for i in range(12)}}
    results = {'run0': {0: {'seed': 0}}}
    assert said_missing(study, results).endswith('run7, run8, and 3 more runs.')
    assert facts(study, results)['missing'].count(',') == 10
    assert said_missing(study, {}) == 'Not finished: none of the 12 results that the study asks for is there yet.'


def test_a_study_that_does_not_name_its_runs_counts_all_results():
    there = found(b={}, a={})
    assert asked_results({'seeds': 1}, there) == (there, [])
    assert missing_seeds({'seeds': 3}, there) == {}
    assert said_missing({'seeds': 3}, there) == ''


def test_what_was_made_from_a_result_that_is_left_aside_is_left_aside_too():
    asked = {
        'student': {'networks': {'assistant': {'init': 'run:assistant'}}},
        'assistant': TAUGHT,
        'teacher': {'t': 2},
    }
    there = found(student=asked['student'], assistant=TAUGHT, teacher={'t': 1})
    assert reasons(asked, there) == {
        'teacher': 'it has another config: t is 1 in the result and 2 in the study',
        'assistant': 'it was made from teacher, seed 0, which is left aside',
        'student': 'it was made from assistant, seed 0, which is left aside',
    }


def test_a_transform_over_all_seeds_is_left_aside_with_any_of_them():
    asked = {'net': {'epochs': 1}, 'soup': {'transform': {'of': 'run:net', 'seeds': [0, 1]}}}
    there = {'net': {0: {'config': {'epochs': 1}}, 1: {'config': {'epochs': 2}}}, 'soup': {}}
    there['soup'] = {seed: {'config': asked['soup']} for seed in (0, 1)}
    kept, left_aside = asked_results({'runs': asked, 'seeds': 2}, there)
    assert {run: list(seeds) for run, seeds in kept.items()} == {'net': [0]}
    assert {aside[:2] for aside in left_aside} == {('net', 1), ('soup', 0), ('soup', 1)}


def test_what_a_run_takes_over_from_others_is_no_difference():
    asked = {
        'base': {'networks': {'student': {'model': 'mlp', 'hidden': [16]}}},
        'tuned': {
            'networks': {'student': {'like': 'run:base', 'init': 'run:base'}},
            'terms': {'soft': {'t': 'result:base.t'}},
            'data': {'subset': 'result:base.classes'},
        },
        'soup': {'transform': {'of': ['run:tuned']}},
    }
    there = found(**copy.deepcopy(asked))
    there['tuned'][0]['config'] = {
        'networks': {'student': {'init': 'run:base', 'model': 'mlp', 'hidden': [16]}},
        'terms': {'soft': {'t': 2.5}},
        'data': {'subset': [1, 2]},
        'resources': {'cpu': 2},
    }
    there['soup'][0]['config']['networks'] = {'student': {'model': 'mlp'}}
    assert reasons(asked, there) == {}
    there['tuned'][0]['config']['networks']['student']['init'] = 'run:other'
    assert 'networks.student.init is ' in reasons(asked, there)['tuned']


def test_several_differences_are_counted():
    said = reasons({'a': {'epochs': 2, 'data': {'valid': 5}}}, found(a={'epochs': 1, 'batch_size': 3}))['a']
    assert said == 'it has another config: epochs is 1 in the result and 2 in the study (and 2 more)'
    said = reasons({'a': {'data': {}}}, found(a={'data': {'valid': None}}))['a']
    assert said == 'it has another config: data.valid is None in the result and absent in the study'


def test_ranges_of_seeds():
    assert ranges([0, 1, 2, 5]) == '0 to 2, 5'
    assert ranges([0, 1, 3]) == '0, 1, 3'


WHOLE = {
    'teacher': {'networks': {'teacher': {'model': 'mlp', 'hidden': [3, 4]}}, 'resources': {'cpu': 1}},
    'student': {
        'networks': {'teacher': {'like': 'run:teacher'}, 's': {'init': 'run:teacher'}},
        'x': 'result:teacher.t',
    },
    'soup': {'transform': {'of': ['run:student/s'], 'seeds': [0]}, 'data': {}},
}


def places(tree, path=()):
    yield path
    for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(part, (*path, key))


def changed(tree, path, value):
    if not path:
        return value
    made = copy.copy(tree)
    made[path[0]] = changed(tree[path[0]], path[1:], value)
    return made


@pytest.mark.parametrize('value', [None, [], {}, 'run:teacher@x', 3, [[1]]])
def test_whatever_stands_in_a_config_is_a_difference_and_no_error(value):
    def reason(asked, there):
        try:
            return asked_results({'runs': asked, 'seeds': 1}, found(**there))[1]
        except UserError:  # a reference to a checkpoint that no run has
            return ['refused']

    for path in list(places(WHOLE))[1:]:
        other = changed(WHOLE, path, value)
        is_same = other == WHOLE or 'resources' in path or path[-1] == 'like'  # a result holds the model instead
        assert bool(reason(WHOLE, other)) != (is_same or path[-1] == 'x'), path
        assert bool(reason(other, WHOLE)) or is_same, path
