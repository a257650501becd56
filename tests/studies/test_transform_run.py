"""The study of docs/studies.md: training, a soup of the weights, and training on from there."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

from experiments import export, run
from kd_jax.config.checked_json import write_checked
from kd_jax.core.paths import Path
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies import transform_run
from kd_jax.studies.finished_runs import load_trained
from kd_jax.studies.workdir import Workdir
from tests import soup

pytestmark = pytest.mark.usefixtures('settings_as_before')
CONFIG = f'--config={soup.__file__}'
ALIKE = '--config.group_runs=False'  # then all runs are the same program, which is compiled once
OWN = {
    'transform': {'name': 'tests.own_transforms:strongest_units', 'of': 'run:base'},
    'data': {'source': 'mnist', 'examples': 100},
    'networks': {'teacher': {'like': 'run:base', 'init': 'run:base', 'update': 'frozen'}},
    'evaluate': {'student': {'logits': 'student.logits', 'teacher': 'teacher.logits'}},
}
TAUGHT = {**soup.get_config().runs.base.to_dict(), 'networks': {'student': {'like': 'run:own', 'init': 'run:own'}}}
WITH_OWN = [CONFIG, ALIKE, f'--config.runs.own={OWN}', f'--config.runs.taught={TAUGHT}']


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """The work directory of the finished study; not to be written."""
    workdir = tmp_path_factory.mktemp('soup')
    assert run.main([CONFIG, ALIKE, f'--workdir={workdir}']) == 0
    return workdir


@pytest.fixture
def work(finished, tmp_path):
    """A copy of the finished study."""
    return shutil.copytree(finished, tmp_path / 'work')


def loaded(workdir, run_id):
    """A finished run, prepared, and the variables of its network."""
    result = Workdir(workdir).result(run_id)
    prepared = prepare_run(result['config'], result['seed'], run_id)
    network = prepared.recipe.network('student')
    return prepared, load_trained(prepared, network, Workdir(workdir).directory(run_id))


def test_the_checkpoint_of_the_soup_is_the_mean_of_the_weights(finished):
    soup, slow, fast = (loaded(finished, run_id)[1] for run_id in ('soup-s0', 'slow-s0', 'fast-s0'))
    jax.tree.map(lambda mean, a, b: np.testing.assert_allclose(mean, (a + b) / 2, rtol=1e-6), soup, slow, fast)
    assert np.ptp(slow['params']['head']['kernel'] - fast['params']['head']['kernel']) > 0.01


def test_the_result_of_the_soup_is_the_evaluation_of_the_mean(finished):
    prepared, variables = loaded(finished, 'soup-s0')
    result = Workdir(finished).result('soup-s0')
    for split in ('train', 'valid', 'test'):
        measured = prepared.evaluator.measure({'student': variables}, prepared.splits.arrays[split])
        assert result['last'][split] == measured
    assert result['best']['valid'] == result['last']['valid']
    assert result['parameters'] == {'student': 784 * 16 + 16 + 16 * 10 + 10}
    assert (result['run'], result['seed'], result['steps']) == ('soup', 0, 0)
    assert result['seconds'] > 0
    assert set(result) == set(Workdir(finished).result('slow-s0'))


def test_a_later_run_starts_from_the_soup_and_has_its_model(finished):
    student = Workdir(finished).result('student-s0')
    assert student['config']['networks']['student'] == {'model': 'mlp', 'hidden': [16], 'init': 'run:soup/student'}
    losses = [Workdir(finished).result(f'{name}-s0')['last']['train']['student']['nll'] for name in ('base', 'student')]
    assert losses[1] < losses[0]


def test_the_report_has_a_row_for_the_soup(finished):
    page = (finished / 'report.md').read_text()
    assert re.search(r'\| *soup *\|', page)


def test_the_network_of_a_soup_is_exported_like_any_other(finished, tmp_path, capsys):
    assert export.main([f'--workdir={finished}', '--run=soup-s0', f'--out={tmp_path}']) == 0
    assert '12,730 parameters' in capsys.readouterr().out


def test_a_plan_shows_the_soup_and_what_it_needs(finished, capsys):
    assert run.main([CONFIG, ALIKE, f'--workdir={finished}', '--config.seeds=2', '--plan']) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if '-s' in line}
    assert rows['soup-s0'][1:4] == ['12,730', '0', 'finished,']
    assert rows['soup-s1'][1:4] == ['12,730', '0', 'to']
    assert rows['soup-s1'][-2:] == ['slow,', 'fast']


@pytest.mark.parametrize('executor', [(), ('--executor=processes', '--workers=1')])
def test_a_soup_that_was_stopped_is_made_again_the_same(executor, work, finished, assert_bitwise, monkeypatch):
    whole = Workdir(finished).result('soup-s0')
    Workdir(work).result_path('soup-s0').unlink()  # as after a kill between the checkpoint and the result
    (work / 'runs' / 'soup-s0' / 'metrics.jsonl').write_text('{"step": 0, "seco')
    assert run.main([CONFIG, ALIKE, f'--workdir={work}', *executor]) == 0
    again = Workdir(work).result('soup-s0')
    assert again['finished'] > whole['finished'] or again['seconds'] != whole['seconds']
    assert again['last'] == whole['last']
    assert len(again['history']) == 1
    assert_bitwise(loaded(work, 'soup-s0')[1], loaded(finished, 'soup-s0')[1])


def test_a_changed_run_makes_the_soup_and_what_follows_anew(work, monkeypatch):
    made = []
    monkeypatch.setattr(run, 'execute', lambda planned, runs, groups, *_: made.extend(groups))
    slower = [CONFIG, ALIKE, f'--workdir={work}', '--config.runs.slow.optimizer.learning_rate=0.02']
    assert run.main(slower) == 2
    assert run.main([*slower, '--fresh']) == 0
    assert [[one.id for one in group] for group in made] == [['slow-s0'], ['soup-s0'], ['student-s0']]


def test_a_run_that_trains_on_for_longer_makes_the_soup_and_what_follows_anew(work, monkeypatch):
    made = []
    monkeypatch.setattr(run, 'execute', lambda planned, runs, groups, *_: made.extend(groups))
    assert run.main([CONFIG, ALIKE, f'--workdir={work}', '--config.runs.slow.epochs=3']) == 0
    assert [[one.id for one in group] for group in made] == [['slow-s0'], ['soup-s0'], ['student-s0']]
    assert not (work / 'runs' / 'soup-s0' / 'checkpoints').exists()


def test_a_run_behind_a_transform_of_unknown_shapes_is_not_trained_on(work, capsys):
    (Workdir(work).directory('taught-s0') / 'checkpoints' / '7').mkdir(parents=True)
    (work / 'runs' / 'taught-s0' / 'config.json').write_text(json.dumps(TAUGHT))
    assert run.main([*WITH_OWN, '--config.runs.taught.epochs=3', f'--workdir={work}']) == 2
    assert 'taught-s0 in epochs: 2 -> 3. Use --fresh' in capsys.readouterr().out


def test_a_finished_soup_is_not_made_again(work, monkeypatch):
    monkeypatch.setattr(transform_run, 'finish_with_weights', lambda *_: pytest.fail('made again'))
    assert run.main([CONFIG, ALIKE, f'--workdir={work}']) == 0


def test_a_run_follows_a_transform_whose_shapes_depend_on_the_weights(work, capsys):
    arguments = [*WITH_OWN, f'--workdir={work}']
    assert run.main([*arguments, '--plan']) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if '-s' in line}
    assert rows['own-s0'][1:3] == rows['taught-s0'][1:3] == ['?', '?']
    assert run.main(arguments) == 0
    base, own, taught = (loaded(work, run_id) for run_id in ('base-s0', 'own-s0', 'taught-s0'))
    width = own[1]['params']['dense1']['bias'].shape[0]
    assert 0 < width < 16
    assert taught[1]['params']['dense1']['bias'].shape == (width,)
    variables, test = {'teacher': base[1], 'student': own[1]}, own[0].splits.arrays['test']
    paths = Path.parse('teacher.logits', ''), Path.parse('student.logits', '')
    choices = [logits.argmax(-1) for logits in own[0].evaluator.predict(variables, test, paths)]
    agreement = Workdir(work).result('own-s0')['last']['test']['student']['agreement']
    assert agreement == pytest.approx(np.mean(choices[0] == choices[1]))
    assert 0.1 < agreement < 1
    assert json.loads((work / 'results' / 'taught-s0.json').read_text())['config']['networks']['student'] == {
        'model': 'mlp', 'hidden': [width], 'init': 'run:own',
    }  # fmt: skip


def test_what_does_not_fit_is_found_when_the_transform_is_done(work, capsys):
    override = '--config.runs.taught.networks.student.hidden=(16,)'
    assert run.main([*WITH_OWN, override, f'--workdir={work}']) == 2
    assert "run 'taught', network 'student' does not fit" in capsys.readouterr().out.replace('\n', ' ')
    assert Workdir(work).result('own-s0') is not None
    assert Workdir(work).result('taught-s0') is None


@pytest.mark.parametrize('unfinished', ['slow', 'soup'])
def test_a_model_in_a_result_that_the_config_does_not_name_is_not_imported(unfinished, work, capsys):
    named = 'base' if unfinished == 'slow' else 'slow'
    path = work / 'results' / f'{named}-s0.json'
    text = path.read_text().replace('"mlp"', '"tests.own_transforms:no_network"')
    write_checked(path, json.loads(text))
    (work / 'results' / f'{unfinished}-s0.json').unlink()
    assert run.main([CONFIG, ALIKE, f'--workdir={work}']) == 2
    said = capsys.readouterr().out.replace('\n', ' ')
    assert "names the model 'tests.own_transforms:no_network'" in said
    assert 'Name tests.own_transforms:no_network in your config' in said
