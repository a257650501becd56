"""Runs whose config has changed since they were trained, and forgetting them."""

import os
import pathlib
import shutil
import types

import numpy as np
import pytest
from safetensors.numpy import save_file

from kd_jax.config.checked_json import write_checked
from kd_jax.config.errors import UserError
from kd_jax.studies.execute import execute_group
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.stale_runs import changed_leaves, forget_runs, record_config
from kd_jax.studies.study import select_runs
from kd_jax.studies.workdir import Workdir
from tests.small_studies import RUNS, begin, finish, ids, parsed


def prepared(data='', weights=None):
    return types.SimpleNamespace(splits=types.SimpleNamespace(checksum=data), weight_checksums=weights or {})


def test_only_leaves_that_differ_are_differences(workdir):
    before = parsed({'a': {'batch_size': 8, 'networks': {'n': {'hidden': (3, 4), 'copies': 2}}}})
    begin(workdir, before)
    assert changed_leaves(before, workdir, before.runs) == {}
    after = parsed({'a': {'batch_size': 8, 'networks': {'n': {'hidden': (3, 5)}}, 'epochs': 1}})
    assert changed_leaves(after, workdir, after.runs) == {
        'a-s0': [
            "epochs: 'absent' -> 1",
            "networks.n.copies: 2 -> 'absent'",
            'networks.n.hidden: [3, 4] -> [3, 5]',
        ]
    }


def test_a_run_with_checkpoints_whose_recorded_config_is_lost_counts_as_changed(workdir):
    planned = parsed()
    begin(workdir, planned)
    path = workdir.directory('peer-s0') / 'config.json'
    path.unlink()
    (leaf,) = changed_leaves(planned, workdir, planned.runs)['peer-s0']
    assert leaf.startswith(f'{path}: it is missing')
    shutil.rmtree(workdir.directory('peer-s0') / 'checkpoints')
    assert changed_leaves(planned, workdir, planned.runs) == {}


def test_a_run_of_which_only_the_result_is_left_is_compared_by_the_config_in_the_result(workdir):
    run = {'epochs': 3, 'networks': {'n': {'like': 'run:teacher', 'hidden': (3, 4)}}, 'seeds': 1}
    made = {'epochs': 3, 'networks': {'n': {'model': 'mlp', 'hidden': [3, 4]}}}  # a result has the model, not `like`
    planned = parsed({'a': run, 'teacher': {}})
    finish(workdir, 'teacher-s0')
    finish(workdir, 'a-s0', config=made, data_checksum='crc32:1')

    def changed(study, now=''):
        return changed_leaves(study, workdir, study.runs, {'a': prepared(now)})

    assert changed(planned) == changed(planned, 'crc32:1') == {}
    assert changed(planned, 'crc32:2') == {
        'a-s0': ['data: the source gives other arrays than when the run was started']
    }
    after = parsed({'a': run | {'epochs': 1}, 'teacher': {}})
    assert changed(after) == {'a-s0': ['epochs: 3 -> 1']}
    forget_runs(after, workdir, ['a-s0'])
    assert workdir.result('a-s0') is None
    assert changed(after) == {}


def test_an_edited_digit_of_a_recorded_config_is_no_change_of_the_config(workdir):
    planned = parsed({'a': {'epochs': 12}})
    path = workdir.directory('a-s0') / 'config.json'
    (path.parent / 'checkpoints' / '7').mkdir(parents=True)
    write_checked(path, {'epochs': 12})
    assert changed_leaves(planned, workdir, planned.runs) == {}
    path.write_text(path.read_text().replace('12', '13', 1))
    with pytest.raises(UserError, match=r'config.json is damaged: its content does not have its checksum'):
        changed_leaves(planned, workdir, planned.runs)


def test_other_data_count_as_a_change_if_both_checksums_are_known(workdir):
    planned = parsed({'a': {'epochs': 12}})
    path = workdir.directory('a-s0') / 'config.json'
    (path.parent / 'checkpoints' / '7').mkdir(parents=True)

    def changed(recorded, now):
        record_config(path, {'epochs': 12}, prepared(recorded))
        return changed_leaves(planned, workdir, planned.runs, {'a': prepared(now)})

    assert changed('crc32:1', 'crc32:1') == changed('', 'crc32:1') == changed('crc32:1', '') == {}
    assert changed('crc32:1', 'crc32:2') == {
        'a-s0': ['data: the source gives other arrays than when the run was started']
    }


@pytest.mark.parametrize('of_result', [False, True], ids=['config', 'result'])
def test_other_weights_count_as_a_change_if_both_checksums_are_known(workdir, of_result):
    planned = parsed({'a': {'epochs': 12}})
    path = workdir.directory('a-s0') / 'config.json'
    if not of_result:
        (path.parent / 'checkpoints' / '7').mkdir(parents=True)

    def changed(recorded, now):
        if of_result:
            finish(workdir, 'a-s0', config={'epochs': 12}, weight_checksums=recorded)
        else:
            record_config(path, {'epochs': 12}, prepared(weights=recorded))
        return changed_leaves(planned, workdir, planned.runs, {'a': prepared(weights=now)})

    one, other = {'teacher': 'crc32:1', 'student': 'crc32:3'}, {'teacher': 'crc32:2', 'student': 'crc32:3'}
    assert changed(one, one) == changed({}, one) == changed({'teacher': ''}, one) == changed(one, {'teacher': ''}) == {}
    assert changed(one, other) == {
        'a-s0': ['networks.teacher.init: it has other weights than when the run was started']
    }


def test_a_run_whose_file_of_weights_was_replaced_is_noticed_with_its_checkpoints_or_its_result(tmp_path):
    def write_teacher(head):
        arrays = {'dense1.weight': np.ones((4, 2)), 'head.weight': np.full((2, 4), head)}
        biases = {'dense1.bias': np.zeros(4), 'head.bias': np.zeros(2)}
        save_file(
            {name: a.astype(np.float32) for name, a in {**arrays, **biases}.items()}, tmp_path / 'teacher.safetensors'
        )

    write_teacher(1.0)
    np.savez(tmp_path / 'data.npz', train_image=np.ones((8, 1, 2), np.float32), train_label=np.arange(8) % 2)
    model = {'model': 'mlp', 'hidden': (4,), 'num_classes': 2}
    teacher = {**model, 'update': 'frozen', 'init': f'torch:{tmp_path / "teacher.safetensors"}'}
    run = {
        'data': {'source': 'npz', 'path': str(tmp_path / 'data.npz'), 'num_classes': 2}, 'batch_size': 8, 'epochs': 1,
        'networks': {'teacher': teacher, 'student': model}, 'optimizer': {'learning_rate': 0.1},
        'terms': {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0}},
    }  # fmt: skip
    study, workdir = parsed({'a': run}), Workdir(tmp_path / 'work')
    (workdir.path / 'results').mkdir(parents=True)
    (result,) = execute_group(study, study.runs, workdir, lambda *_: None)
    assert isinstance(result, dict), result
    assert changed_leaves(study, workdir, study.runs, prepare_study(study)) == {}
    write_teacher(2.0)
    os.utime(tmp_path / 'teacher.safetensors', (0, 0))  # a clock may not have moved on since it was written first
    noticed = {'a-s0': ['networks.teacher.init: it has other weights than when the run was started']}
    assert changed_leaves(study, workdir, study.runs, prepare_study(study)) == noticed
    shutil.rmtree(workdir.directory('a-s0'))
    assert changed_leaves(study, workdir, study.runs, prepare_study(study)) == noticed


def test_a_difference_in_a_run_that_is_needed_counts_and_in_another_does_not(workdir):
    begin(workdir, parsed())
    finish(workdir, 'teacher-s0')
    after = parsed(RUNS | {'teacher': {'epochs': 2}, 'peer': {'epochs': 2}})
    assistant = select_runs(after, ['assistant'], workdir)
    assert list(changed_leaves(after, workdir, assistant)) == ['teacher-s0']


def test_a_run_that_is_forgotten_takes_with_it_what_depends_on_it_at_its_seed(workdir):
    planned = parsed(seeds=2)
    begin(workdir, planned)
    finish(workdir, *ids(planned.runs))
    forget_runs(planned, workdir, ['teacher-s0'])
    left = [run.id for run in planned.runs if workdir.result(run.id) is not None]
    assert sorted(left) == ['assistant-s1', 'peer-s0', 'peer-s1', 'student-s1', 'teacher-s1']
    for run in planned.runs:
        assert (workdir.directory(run.id) / 'checkpoints').exists() == (run.id in left)
        assert (workdir.directory(run.id) / 'config.json').exists() == (run.id in left)


@pytest.mark.parametrize('survived', range(14))
def test_forgetting_that_was_killed_is_found_again_by_the_next_call(survived, workdir, monkeypatch):
    before, after = parsed(), parsed(RUNS | {'teacher': {'epochs': 2}})
    begin(workdir, before)
    finish(workdir, *ids(before.runs))
    deleted = []
    unlink, rmtree = pathlib.Path.unlink, shutil.rmtree

    def until_killed(delete):
        def deleting(path, *args, **kwargs):
            if len(deleted) == survived:
                raise KeyboardInterrupt
            deleted.append(path)
            delete(path, *args, **kwargs)

        return deleting

    monkeypatch.setattr(pathlib.Path, 'unlink', until_killed(unlink))
    monkeypatch.setattr(shutil, 'rmtree', until_killed(rmtree))
    with pytest.raises(KeyboardInterrupt):
        forget_runs(after, workdir, ['teacher-s0'])
    monkeypatch.undo()
    assert list(changed_leaves(after, workdir, after.runs)) == ['teacher-s0']


def test_a_run_that_ended_before_its_first_checkpoint_has_not_begun_so_any_config_may_start_it(workdir):
    before, after = parsed({'a': {'epochs': 2}}), parsed({'a': {'epochs': 1}})
    begin(workdir, before)
    (leaf,) = changed_leaves(after, workdir, after.runs)['a-s0']
    assert leaf == 'epochs: 2 -> 1'
    (workdir.directory('a-s0') / 'checkpoints' / '7').rmdir()
    assert changed_leaves(after, workdir, after.runs) == {}
    finish(workdir, 'a-s0')
    assert list(changed_leaves(after, workdir, after.runs)) == ['a-s0']


def test_resources_are_no_part_of_the_experiment(tmp_path):
    before, after = parsed({'a': {'resources': {'cpu': 1}}}), parsed({'a': {'resources': {'cpu': 2}}})
    begin(Workdir(tmp_path), before)
    assert changed_leaves(after, Workdir(tmp_path), after.runs) == {}


def test_forgetting_a_run_never_empties_a_directory_behind_a_link(workdir, tmp_path_factory):
    planned, precious = parsed(), tmp_path_factory.mktemp('precious')
    begin(workdir, planned)
    (precious / 'file').write_text('mine')
    directory = workdir.directory('student-s0')
    (directory / 'link').symlink_to(precious)
    forget_runs(planned, workdir, ['student-s0'])
    assert list(directory.iterdir()) == []
    directory.rmdir()
    directory.symlink_to(precious)
    with pytest.raises(UserError, match='student-s0 is a symbolic link'):
        forget_runs(planned, workdir, ['student-s0'])
    assert (precious / 'file').read_text() == 'mine'


@pytest.mark.parametrize('content', [b'', b'[1]', b'{"a": ', b'\xff', b'[' * 5000])
def test_a_config_of_a_run_that_cannot_be_read_is_named(content, workdir):
    planned = parsed()
    begin(workdir, planned)
    (workdir.directory('peer-s0') / 'config.json').write_bytes(content)
    with pytest.raises(UserError, match=r'peer-s0/config.json .*; delete .*peer-s0 and the result of this run'):
        changed_leaves(planned, workdir, planned.runs)
