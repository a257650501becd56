"""The command line: what it refuses, what it skips, what it resumes."""

import errno
import importlib.util
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from experiments import run
from kd_jax import metrics
from kd_jax.workdir import Workdir

ROOT = pathlib.Path(__file__).parents[1]
# The tests of killed processes ask Orbax for whatever is there.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
CONFIG = f'--config={pathlib.Path(__file__).with_name("tiny_config.py")}'


@pytest.fixture(autouse=True, scope='module')
def settings_as_before(tmp_path_factory):
    """`main` sets jax's cache and log levels for the process; the cache stays out of the home directory."""
    names = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
    before = {name: getattr(jax.config, name) for name in names}
    levels = {name: logging.getLogger(name).level for name in ('absl', 'kd_jax')}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HOME', str(tmp_path_factory.getbasetemp()))
        yield
    for name, value in before.items():
        jax.config.update(name, value)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr(run.report, 'build', lambda *_: None)
    monkeypatch.setattr(run.report, 'load', lambda *_: ())
    monkeypatch.setattr(run.report, 'print_tables', lambda *_: None)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """The work directory of a finished study; not to be written."""
    workdir = tmp_path_factory.mktemp('finished')
    assert run.main([CONFIG, f'--workdir={workdir}']) == 0
    return workdir


@pytest.fixture
def work(finished, tmp_path):
    """A copy of the finished study."""
    return shutil.copytree(finished, tmp_path / 'work')


def refusal(capsys, workdir, *arguments, code=2):
    """The one sentence that the command prints before it does anything."""
    assert run.main([f'--workdir={workdir}', *arguments]) == code
    out, err = capsys.readouterr()
    assert out.startswith('error: ')
    assert len(out.splitlines()) == (out + err).count('error:') == 1
    assert 'Traceback' not in out + err
    return out


@pytest.mark.parametrize(
    ('override', 'said'),
    [
        ('runs.student.networks.student.model=mpl', "no model 'mpl'. Did you mean 'mlp'? Known: "),
        ('runs.student.terms.soft.loss=kdd', "no loss 'kdd'. Did you mean 'kd'? Known: "),
        ('runs.student.terms.soft.target=teacher.logit', "Did you mean 'teacher.logits'? Known: batch."),
        ('runs.student.terms.soft.target=techer.logits', "Did you mean 'teacher'? Known: batch"),
        ('runs.student.terms.soft.target=student.hidden7', "term 'soft' reads 'student.hidden7'"),
        ('runs.student.terms.soft.target=logits', 'a path looks like'),
        ('runs.student.terms.soft.t=-1.0', "term 'soft'.t is -1, but it must be greater than 0"),
        ('runs.student.terms.soft.t=0.0', 'must be greater than 0'),
        ('runs.student.terms.soft.tau=1.0', "takes no 'tau'"),
        ('runs.student.optimizer.name=adm', "Did you mean 'adam'? Known: "),
        ('runs.student.optimizer.learning_rate=-0.1', 'must not be negative'),
        ("runs.student.optimizer={'name': 'sgd'}", 'needs a learning_rate'),
        ('runs.student.networks.student.num_classes=7', 'the student has 7 classes and the teacher 10'),
        ('runs.teacher.networks.teacher.num_classes=7', 'set networks.teacher.num_classes=10'),
        ('runs.student.networks.teacher.hidden=(32,)', 'dense1/bias is (16,) there and (32,) here'),
        ('runs.student.networks.teacher.init=run:techer', "Did you mean 'teacher'?"),
        ('runs.student.networks.teacher.init=run:teacher/studnt', "has no network 'studnt'"),
        ('runs.student.networks.teacher.init=/nowhere', '/nowhere holds no checkpoints'),
        ('runs.student.networks.teacher.init=', "starts from nothing"),
        ('runs.student.networks.teacher.init=3', "init is 3, but it must be one"),
        ("runs.student.networks.teacher.fresh=('haed',)", "no module 'haed'"),
        ('runs.teacher.networks.teacher.init=run:student', 'student, teacher need each other in a circle'),
        ('runs.student.data.source=minst', "Did you mean 'mnist'?"),
        ("runs.student.data={'source': 'npz', 'path': '/no.npz', 'num_classes': 10}", 'cannot be read'),
        ('runs.student.data.jitter=-1', 'data.jitter is -1, but it must be a whole number, 0'),
        ('runs.student.data.jitter=0.5', 'data.jitter is 0.5, but'),
        ("runs.student.data.augment={'mixup': 0.2}", "reads 'batch.label', but data.augment mixes the images"),
        ("runs.student.terms.hard.labels=batch.target", "'batch.target', which nothing gives"),
        ("runs.student.data.augment={'flip': 2}", 'data.augment.flip is 2, but it must be True or False'),
        ('runs.student.data.valid=many', "data.valid is 'many', but it must be a whole number"),
        ('runs.student.data.examples=-5', 'data.examples is -5'),
        ('runs.student.epochs=abc', "epochs is 'abc', but it must be a number, 0 or more"),
        ('runs.student.epochs=-1', 'epochs is -1'),
        ('runs.student.epochs=0.001', 'not even one step'),
        ('runs.student.epochs=1e999', 'epochs is inf'),
        ('runs.student.data.label_noise=2.0', 'data.label_noise is 2.0, but it must be a number, between 0 and 1'),
        ('runs.student.data.jitter=28', 'shifts images by up to 28 pixels, but they are [28, 28]'),
        ('runs.student.data.source=3', 'no data source 3'),
        ('runs.student.terms.soft.t=1e999', "term 'soft'.t is inf"),
        ("runs.student.terms.soft.t={'schedule': ['linear']}", "no schedule ['linear']"),
        ("runs.student.terms.soft.loss=['kd']", "no loss ['kd']"),
        ('runs.student.terms.soft.loss=kd_jax.losses:__all__', 'cannot be called'),
        ('runs.student.networks.student.model=3', 'no model 3'),
        ("runs.student.networks.student={'model': 'fractions:Fraction'}", 'a model has init and apply'),
        ('runs.student.networks.student.hidden=800', 'hidden is 800, but it must be whole numbers'),
        ('runs.student.networks.student.hidden=(0,)', 'must be whole numbers, 1 or more'),
        ('runs.student.networks.student.num_classes=10.0', 'num_classes is 10.0, but it must be a whole number'),
        ('runs.student.networks.student.dropout=1.5', 'dropout is 1.5, but it must lie between 0 and 1'),
        ('runs.student.networks.student.dropout=half', "dropout is 'half', which is not a number"),
        ('runs.student.networks.student.copies=two', "copies is 'two', but it must be a whole number"),
        ('runs.student.networks.student.update=1', 'no update 1'),
        ("runs.student.networks.student.of=['a']", "of is ['a'], but it must be the name"),
        ('runs.student.optimizer=adam', "optimizer is 'adam', but it must be a dictionary such as"),
        ('runs.student.optimizer.name=3', 'no optimizer 3'),
        ('runs.student.optimizer.learning_rate=fast', "learning_rate is 'fast', which is not a number"),
        ('runs.teacher.optimizer.momentum=9', 'momentum is 9, but it must lie between 0 and 1'),
        ('runs.teacher.optimizer.nesterov=yes', "nesterov is 'yes', but it must be True or False"),
        ('runs.student.eval_every=often', "eval_every is 'often'"),
        ('runs.student.batch_size=0', 'batch_size is 0, but it must be a whole number, 1 or more'),
        ('runs.student.batch_size=1000', 'batch_size is 1000, but an epoch has only 300 examples'),
        ('runs.student.mesh={"data": 7}', "'student'.mesh (data=7, fsdp=1, stack=1) does not fit 1 device: choose"),
        ('runs.student.epoch=3', "no option 'epoch'. Did you mean 'epochs'?"),
        ('runs.student.networks=3', 'networks is 3, but it must be a dictionary'),
        ('runs.student.terms.soft=kd', "terms.soft is 'kd', but it must be a dictionary"),
        ('runs.student.terms={}', 'has no terms'),
        ('runs.student=3', "run 'student' is 3"),
        ('runs=3', 'has no runs'),
        ('run.student.epochs=3', "Did you mean 'runs'?"),
        ('runs.student.epochs', 'write --config.runs.student.epochs=VALUE'),
        ('seeds=0', 'seeds is 0'),
        ('name=', 'has no name'),
        ('name=3', 'has no name: set config.name, a string'),
        ('seeds=True', 'seeds is True'),
        ('sedes=1', "Did you mean 'seeds'?"),
        ("runs.student.resources={'gpus': 1}", "there is no 'gpus'. Did you mean 'gpu'?"),
        ("runs.student.resources={'cpu': -1}", 'resources.cpu is -1, but it must be a number, 0 or more'),
        ("runs.student.analyses={'a': {'analysis': 'soft_target'}}", "Did you mean 'soft_targets'?"),
    ],
)  # fmt: skip
def test_a_bad_config_is_refused_in_one_sentence_before_anything_is_written(override, said, tmp_path, capsys):
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, f'--config.{override}')
    assert said in sentence
    assert not (tmp_path / 'work').exists()


def test_labels_out_of_range_are_refused_with_the_first_of_them(tmp_path, capsys):
    image, label = np.zeros((50, 4, 4), np.uint8), np.arange(50) % 10
    np.savez(tmp_path / 'own.npz', train_image=image, train_label=label, test_image=image, test_label=label)
    data = {'source': 'npz', 'path': str(tmp_path / 'own.npz'), 'num_classes': 5}
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, f'--config.runs.teacher.data={data}')
    assert 'training labels: 5 (example 5, 25 in all) is not in [0, 5)' in sentence
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('changed', 'said'),
    [
        ({'train_label': np.arange(50) % 5 / 1}, 'training labels are float64 of shape [50], but they must be whole'),
        ({'train_label': np.eye(5, dtype=int)[np.arange(50) % 5]}, 'training labels are int64 of shape [50, 5]'),
        ({'test_label': np.array(['cat'] * 50)}, 'test labels are <U3 of shape [50], but they must be whole'),
        ({'train_image': np.full((50, 4, 4), np.nan)}, 'of the training images some are not finite numbers'),
        ({'test_image': np.zeros((50, 5, 4))}, 'an image is [4, 4] in training and [5, 4] in testing'),
        ({'test_label': np.int64(3)}, "'test_label': 'one number'"),
    ],
)
def test_arrays_that_a_run_would_stumble_over_are_refused_before_it_starts(changed, said, tmp_path, capsys):
    image, label = np.zeros((50, 4, 4), np.uint8), np.arange(50) % 5
    arrays = {'train_image': image, 'train_label': label, 'test_image': image, 'test_label': label}
    np.savez(tmp_path / 'own.npz', **{**arrays, **changed})
    data = {'source': 'npz', 'path': str(tmp_path / 'own.npz'), 'num_classes': 5}
    assert said in refusal(capsys, tmp_path / 'work', CONFIG, f'--config.runs.teacher.data={data}')
    assert not (tmp_path / 'work').exists()


def test_the_number_of_classes_of_a_file_is_a_whole_number(tmp_path, capsys):
    image, label = np.zeros((9, 4, 4), np.uint8), np.zeros(9, int)
    np.savez(tmp_path / 'own.npz', train_image=image, train_label=label, test_image=image, test_label=label)
    data = {'source': 'npz', 'path': str(tmp_path / 'own.npz'), 'num_classes': 'five'}
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, f'--config.runs.teacher.data={data}')
    assert "data.num_classes is 'five', but it must be a whole number" in sentence


def test_time_left_counts_from_the_start_when_a_pack_finishes_all_at_once():
    now = 0.0
    display, whole = run.progress_display(15, lambda: now)
    now = 100.0
    for _ in range(3):
        display.advance(whole)
        now += 1e-3
    assert display.tasks[whole].time_remaining == pytest.approx(12 * 100 / 3, rel=0.01)


def test_an_unknown_file_variant_glob_or_argument_is_refused(tmp_path, capsys):
    assert "Did you mean 'tiny_config.py'?" in refusal(capsys, tmp_path / 'work', CONFIG.replace('tiny', 'tinny'))
    assert "no variant 'papre'" in refusal(capsys, tmp_path / 'work', f'{CONFIG}:papre')
    assert "Did you mean 'student'?" in refusal(capsys, tmp_path / 'work', CONFIG, '--only=studnt')
    unknown = refusal(capsys, tmp_path / 'work', CONFIG, '--workdri=x')
    assert 'unknown argument --workdri=x (did you mean --workdir?)' in unknown
    assert "invalid int value: 'two'" in refusal(capsys, tmp_path / 'work', CONFIG, '--workers=two')
    assert '--only= names no run' in refusal(capsys, tmp_path / 'work', CONFIG, '--only=')
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--executor=processes', '--workers=0'], '--workers=0: it is how many runs are trained at once, 1 or more'),
        (['--executor=ray', '--ray_address=127.0.0.1:1'], 'no Ray cluster answers at 127.0.0.1:1 ([Errno 111]'),
        (['--executor=ray', '--ray_address=head'], "--ray_address=head is neither 'auto' nor 'host:port'"),
    ],
)
def test_an_executor_that_cannot_be_had_is_refused_before_anything_is_written(arguments, said, tmp_path, capsys):
    if '--executor=ray' in arguments:
        pytest.importorskip('ray')
    assert said in refusal(capsys, tmp_path / 'work', CONFIG, *arguments)
    assert not (tmp_path / 'work').exists()


def test_ray_that_is_not_installed_is_refused_with_the_way_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, '--executor=ray')
    assert "Ray, which is not installed: pip install 'kd_jax[ray]'" in sentence


def test_a_teacher_that_was_never_trained_is_a_missing_checkpoint(tmp_path, capsys):
    (tmp_path / 'other' / 'checkpoints').mkdir(parents=True)
    init = f'--config.runs.student.networks.teacher.init={tmp_path / "other"}'
    assert 'holds no checkpoint to start from' in refusal(capsys, tmp_path / 'work', CONFIG, init)


def test_a_foreign_checkpoint_is_refused_before_training(finished, tmp_path, capsys):
    init = f'--config.runs.student.networks.teacher.init={finished / "runs" / "student-s0"}'
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, init)
    assert 'params/dense1/bias is (8,) there and (16,) here' in sentence
    assert not (tmp_path / 'work').exists()


def test_a_work_directory_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert 'cannot be written (Not a directory)' in refusal(capsys, tmp_path / 'file' / 'work', CONFIG)


def test_a_second_process_on_the_same_work_directory_is_refused(work, capsys):
    with Workdir(work).locked():
        assert f'another process is at work in {work}' in refusal(capsys, work, CONFIG)


def test_a_finished_study_trains_nothing_and_is_reported_again(work, capsys, monkeypatch):
    monkeypatch.setattr(run.train, 'train_together', lambda *_, **__: pytest.fail('trained again'))
    (work / 'report.html').unlink()
    assert run.main([CONFIG, f'--workdir={work}']) == 0
    assert '2 of 2 runs are already finished' in capsys.readouterr().out
    assert (work / 'report.html').stat().st_size > 0


def test_a_plan_tells_the_size_of_what_would_be_recorded(tmp_path, capsys):
    cached = ['--config.runs.student.cache=True', '--config.runs.student.data.views=2']
    assert run.main([CONFIG, f'--workdir={tmp_path}', *cached, '--plan']) == 0
    # 2 views * 300 examples * 10 classes * 4 bytes
    assert 'caches of up to 0.024 MB each' in ' '.join(capsys.readouterr().out.split())


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


def test_a_changed_config_is_refused_with_the_leaves_that_differ(work, capsys):
    before = {path: path.stat().st_mtime_ns for path in work.rglob('*')}
    sentence = refusal(capsys, work, CONFIG, '--config.runs.student.terms.soft.t=2.0')
    assert '1 of the runs differ, student-s0 in terms.soft.t: 4.0 -> 2.0. Use --fresh' in sentence
    assert {path: path.stat().st_mtime_ns for path in work.rglob('*')} == before | {
        work / '.lock': (work / '.lock').stat().st_mtime_ns
    }


def test_a_changed_teacher_is_noticed_when_only_its_student_is_run(work, capsys):
    sentence = refusal(capsys, work, CONFIG, '--only=student', '--config.runs.teacher.batch_size=30')
    assert 'teacher-s0 in batch_size: 25 -> 30' in sentence


@pytest.mark.parametrize('only', ['*', 'student'])
@pytest.mark.parametrize(('changed', 'again'), [('student', ['student-s0']), ('teacher', ['teacher-s0', 'student-s0'])])
def test_fresh_trains_anew_what_changed_and_what_depends_on_it(changed, again, only, work, monkeypatch, without_report):
    trained = []

    def noted(tasks, *_, **__):
        trained.extend(task.directory for task in tasks)
        return [{'last': {'test': {}}, 'seconds': 0.0} for _ in tasks]

    monkeypatch.setattr(run.study.train, 'train_together', noted)
    arguments = [CONFIG, f'--workdir={work}', '--fresh', f'--only={only}', f'--config.runs.{changed}.batch_size=30']
    assert run.main(arguments) == 0
    assert [directory.name for directory in trained] == again
    assert not any((directory / 'checkpoints').exists() for directory in trained)
    assert (work / 'runs' / 'teacher-s0' / 'checkpoints').exists() == ('teacher-s0' not in again)


def test_a_damaged_result_is_named(work, capsys):
    path = work / 'results' / 'teacher-s0.json'
    path.write_bytes(path.read_bytes()[:100])
    assert f'{path} is damaged' in refusal(capsys, work, CONFIG)
    path.write_bytes(b'\xff\xfe\x00')
    assert f'{path} is damaged' in refusal(capsys, work, CONFIG)


def start(workdir):
    """The teacher alone, in a process of its own, once its first evaluation is written."""
    command = [sys.executable, '-m', 'experiments.run', CONFIG, f'--workdir={workdir}', '--only=teacher']
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    rows = workdir / 'runs' / 'teacher-s0' / 'metrics.jsonl'
    while not (rows.exists() and rows.stat().st_size):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    return process


def final_state(workdir):
    directory = workdir / 'runs' / 'teacher-s0' / 'checkpoints'
    with ocp.training.Checkpointer(directory.absolute()) as checkpointer:
        newest = max(checkpoint.step for checkpoint in checkpointer.checkpoints)
        return jax.tree.map(np.asarray, checkpointer.load_checkpointables(newest)['state'] | {'key': 0})


def assert_ends_alike(workdir, finished):
    jax.tree.map(np.testing.assert_array_equal, final_state(workdir), final_state(finished))
    rows, wanted = (
        [row | {'seconds': 0} for row in metrics.read_history(path / 'runs' / 'teacher-s0' / 'metrics.jsonl')]
        for path in (workdir, finished)
    )
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
    assert 'of 24; run the same command to go on.' in out
    assert 'Traceback' not in out
    assert run.main([CONFIG, f'--workdir={tmp_path}', '--only=teacher']) == 0
    assert_ends_alike(tmp_path, finished)


def test_an_interrupt_outside_the_loop_is_one_sentence(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.study, 'execute_unit', interrupted)
    assert run.main([CONFIG, f'--workdir={tmp_path}']) == 130
    assert capsys.readouterr().out == 'stopped between checkpoints; run the same command to go on.\n'


def test_a_disk_that_fills_up_is_one_sentence(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run.metrics, 'write_json', full)
    assert 'the disk is full: free some space' in refusal(capsys, tmp_path, CONFIG)


def test_files_that_can_grow_no_more_are_told_without_a_traceback(tmp_path):
    limited = ['bash', '-c', 'ulimit -f 20; exec "$0" "$@"', sys.executable]  # KiB: less than the teacher's weights
    done = subprocess.run(
        [*limited, '-m', 'experiments.run', CONFIG, f'--workdir={tmp_path / "work"}'],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert 'the disk is full: free some space and run the same command again' in done.stdout
    assert 'Traceback' not in done.stdout + done.stderr


def test_a_plan_of_many_runs_is_whole_on_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run.console, '_width', 80)
    config = f'--config={ROOT / "configs" / "hinton_mnist.py"}:paper'
    assert run.main([config, f'--workdir={tmp_path / "work"}', '--plan', '--only=w800_t2_5-s0,combined-s0']) == 0
    out = capsys.readouterr().out
    assert '…' not in out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if '-s0' in line}
    assert rows['teacher-s0'][1:3] == ['2,395,210', '46,800']
    assert rows['w800_t2_5-s0'][-1] == 'teacher'
    assert max(map(len, out.splitlines())) <= 80
