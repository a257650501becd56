"""The command line: what it skips, what it resumes, what it shows."""

import errno
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments import run
from kd_jax.studies import execute
from kd_jax.studies.executors import local
from kd_jax.studies.workdir import Workdir
from kd_jax.training.run_log import read_history
from tests.finished_runs import files_in, final_state, raw, without_seconds
from tests.refusals import CONFIG, refusal

ROOT = pathlib.Path(__file__).parents[2]
# The tests of killed processes ask Orbax for whatever is there.
pytestmark = [
    pytest.mark.usefixtures('settings_as_before'),
    pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning'),
]


def test_long_names_in_a_plan_are_never_cut(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run.console, '_width', 80)
    config = tmp_path / 'long.py'
    config.write_text(
        'from tests import tiny_config\n'
        'def get_config(variant):\n'
        '    c = tiny_config.get_config()\n'
        "    return dict(name='[bold]long', runs={'teacher_' * 6 + end: c.runs.teacher for end in ('t1', 't10')})\n"
    )
    assert run.main([f'--config={config}', f'--workdir={tmp_path / "[red]:one:"}', '--plan']) == 0
    out = capsys.readouterr().out
    assert '…' not in out
    assert '[red]:one:' in ''.join(out.split())
    whole = ''.join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    assert 't10-s0' in whole


def test_a_foreign_checkpoint_is_refused_before_training(finished, tmp_path, capsys):
    init = f'--config.runs.student.networks.teacher.init={finished / "runs" / "student-s0"}'
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, init)
    assert 'params/dense1/bias is (8,) there and (16,) here' in sentence
    assert not (tmp_path / 'work').exists()


def test_a_second_process_on_the_same_work_directory_is_refused(work, capsys):
    with Workdir(work).locked():
        assert f'another process is using {work}' in refusal(capsys, work, CONFIG)


def test_a_finished_study_trains_nothing_and_is_reported_again(work, capsys, monkeypatch):
    monkeypatch.setattr(execute, 'train_group', lambda *_, **__: pytest.fail('trained again'))
    (work / 'report.html').unlink()
    assert run.main([CONFIG, f'--workdir={work}']) == 0
    assert '2 of 2 runs are already finished' in capsys.readouterr().out
    assert (work / 'report.html').stat().st_size > 0


def test_a_plan_tells_the_size_of_what_would_be_recorded(tmp_path, capsys):
    cached = ['--config.runs.student.cache=True', '--config.runs.student.data.views=2']
    assert run.main([CONFIG, f'--workdir={tmp_path}', *cached, '--plan']) == 0
    # 2 views * 300 examples * 10 classes * 4 bytes
    assert 'caches of up to 0.024 MB each' in ' '.join(capsys.readouterr().out.split())


def test_a_plan_tells_how_many_bytes_a_token_of_text_takes(tmp_path, capsys):
    assert run.main(['--config=configs/smollm2.py:tiny', f'--workdir={tmp_path}', '--only=kd', '--plan']) == 0
    # 17 log-probabilities, a temperature and two layers of 32 channels in bfloat16, and 16 tokens of 2 bytes.
    assert 'MB each (196 bytes a token)' in ' '.join(capsys.readouterr().out.split())


def test_a_plan_shows_what_is_finished_begun_and_to_do_and_writes_nothing(work, capsys):
    plan = [CONFIG, f'--workdir={work}', '--config.seeds=2', '--plan']
    (work / 'results' / 'student-s0.json').unlink()
    before = sorted(work.rglob('*'))
    assert run.main(plan) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if '-s' in line}
    assert sorted(work.rglob('*')) == before
    assert 'finished' in rows['teacher-s0']
    assert 'begun' in rows['student-s0']
    assert 'to do' in rows['teacher-s1']
    assert 'to do' in rows['student-s1']
    assert '1: 2 ' in rows['student-s0']
    assert '1: 2 ' in rows['student-s1']
    assert '1: ' not in rows['teacher-s0'] + rows['teacher-s1']
    assert rows['student-s0'].split()[-1] == 'teacher'
    assert '12,730' in rows['teacher-s0']  # 784 * 16 + 16 weights and biases, then 16 * 10 + 10
    assert '6,370' in rows['student-s0']  # 784 * 8 + 8, then 8 * 10 + 10; the frozen teacher is not trained


@pytest.mark.parametrize('plan', [(), ('--plan',), ('--fresh',)])
def test_another_study_in_a_used_work_directory_is_refused_before_anything_is_written(plan, work, capsys):
    before = files_in(work)
    said = refusal(capsys, work, CONFIG, '--config.name=other', '--config.runs.teacher.epochs=1.0', *plan)
    assert "holds the study 'tiny', and this is 'other'" in said
    assert 'choose another --workdir' in said
    assert files_in(work) == before
    (work / 'study.json').unlink()
    assert "belongs to study 'tiny', not to 'other'" in refusal(capsys, work, CONFIG, '--config.name=other', *plan)
    assert files_in(work).keys() == before.keys() - {work / 'study.json'}


def test_a_damaged_result_is_named(work, capsys):
    path = work / 'results' / 'teacher-s0.json'
    path.write_bytes(path.read_bytes()[:100])
    assert f'{path} is damaged' in refusal(capsys, work, CONFIG)
    path.write_bytes(b'\xff\xfe\x00')
    assert f'{path} is not UTF-8 text' in refusal(capsys, work, CONFIG)


def start(workdir):
    """The teacher alone, in a process of its own, once its first evaluation is written."""
    command = [sys.executable, '-m', 'experiments.run', CONFIG, f'--workdir={workdir}', '--only=teacher']
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    rows = workdir / 'runs' / 'teacher-s0' / 'metrics.jsonl'
    while not (rows.exists() and rows.stat().st_size):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    return process


def assert_ends_alike(workdir, finished):
    directories = [path / 'runs' / 'teacher-s0' for path in (workdir, finished)]
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(raw, final_state(path)) for path in directories))
    rows, wanted = (without_seconds(read_history(path / 'metrics.jsonl')) for path in directories)
    assert rows == wanted
    result, whole = (json.loads((path / 'results' / 'teacher-s0.json').read_text()) for path in (workdir, finished))
    assert result['last'] == whole['last']
    assert len(result['history']) == len(wanted) == 4


def test_a_run_killed_at_any_instant_ends_where_an_uninterrupted_one_ends(finished, tmp_path, without_report):
    process = start(tmp_path)
    time.sleep(random.uniform(0.0, 0.3))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / 'results' / 'teacher-s0.json').exists()
    assert run.main([CONFIG, f'--workdir={tmp_path}', '--only=teacher']) == 0
    assert_ends_alike(tmp_path, finished)


def test_a_preempted_run_says_where_it_stopped_and_goes_on_from_there(finished, tmp_path, without_report):
    process = start(tmp_path)
    process.terminate()
    out, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM == 143
    assert "run 'teacher' stopped at step " in out
    assert 'of 24; run the same command to continue.' in out
    assert 'Traceback' not in out
    assert run.main([CONFIG, f'--workdir={tmp_path}', '--only=teacher']) == 0
    assert_ends_alike(tmp_path, finished)


def test_an_interrupt_outside_the_loop_is_one_sentence(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(local, 'execute_group', interrupted)
    assert run.main([CONFIG, f'--workdir={tmp_path}']) == 130
    assert capsys.readouterr().out == 'stopped between checkpoints; run the same command to continue.\n'


def test_a_disk_that_fills_up_is_one_sentence(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run, 'write_checked', full)
    assert 'the disk is full: free some space' in refusal(capsys, tmp_path, CONFIG)


def test_files_that_can_grow_no_more_are_told_without_a_traceback(tmp_path):
    limited = ['bash', '-c', 'ulimit -f 20; exec "$0" "$@"', sys.executable]  # KiB: less than the teacher's weights
    done = subprocess.run(
        [*limited, '-m', 'experiments.run', CONFIG, f'--workdir={tmp_path / "work"}'],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert 'a file may not become that large: raise the limit' in done.stdout
    assert 'Traceback' not in done.stdout + done.stderr


def test_a_plan_of_many_runs_is_whole_on_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run.console, '_width', 80)
    config = f'--config={ROOT / "configs" / "hinton" / "temperature.py"}'
    assert run.main([config, f'--workdir={tmp_path / "work"}', '--plan', '--only=w800_t*']) == 0
    out = capsys.readouterr().out
    assert '…' not in out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if '-s0' in line}
    assert rows['teacher-s0'][1:3] == ['2,395,210', '17,160']
    assert rows['w800_t1_5-s0'][-1] == 'teacher'
    assert max(map(len, out.splitlines())) <= 80
