"""The command line and runs whose config has changed: what it refuses, restarts and removes, and what it says."""

import shutil

import pytest

from experiments import run
from kd_jax.report.result_files import load_results
from kd_jax.studies.executors import local
from tests.finished_runs import files_in
from tests.refusals import CONFIG, refusal

pytestmark = pytest.mark.usefixtures('settings_as_before')


def test_a_changed_config_is_refused_with_the_leaves_that_differ(work, capsys):
    before = {path: path.stat().st_mtime_ns for path in work.rglob('*')}
    sentence = refusal(capsys, work, CONFIG, '--config.runs.student.terms.soft.t=2.0')
    assert '1 of the runs differ, student-s0 in terms.soft.t: 4.0 -> 2.0. Use --fresh' in sentence
    assert {path: path.stat().st_mtime_ns for path in work.rglob('*')} == before | {
        work / '.lock': (work / '.lock').stat().st_mtime_ns
    }


def test_a_changed_config_is_refused_and_restarted_if_only_the_results_are_left(work, capsys, trained):
    shutil.rmtree(work / 'runs')
    assert run.main([CONFIG, f'--workdir={work}']) == 0
    assert '2 of 2 runs are already finished' in capsys.readouterr().out
    raised = '--config.runs.student.epochs=9.0'
    said = refusal(capsys, work, CONFIG, raised)
    assert '1 of the runs differ, student-s0 in epochs: 2.0 -> 9.0. Use --fresh' in said
    assert (work / 'results' / 'student-s0.json').exists()
    assert run.main([CONFIG, f'--workdir={work}', '--fresh', raised]) == 0
    assert [directory.name for directory in trained] == ['student-s0']


def test_results_that_a_changed_study_no_longer_asks_for_are_left_aside(work, capsys):
    arguments = [CONFIG, f'--workdir={work}', '--only=teacher', '--config.runs.student.terms.soft.t=2.0']
    assert run.main(arguments) == 0
    out = ' '.join(capsys.readouterr().out.split())
    assert 'Not finished: 1 of the 2 results that the study asks for is missing: student.' in out
    assert 'Left aside: student, seed 0: it has another config: terms.soft.t is 4.0 in the result and 2.0 in ' in out
    assert run.main([CONFIG, f'--workdir={work}', '--only=teacher']) == 0
    assert load_results(work).left_aside == []


def test_a_changed_teacher_is_noticed_when_only_its_student_is_run(work, capsys):
    sentence = refusal(capsys, work, CONFIG, '--only=student', '--config.runs.teacher.batch_size=30')
    assert 'teacher-s0 in batch_size: 25 -> 30' in sentence


def test_a_plan_with_fresh_says_what_would_restart_and_removes_nothing(work, capsys):
    before = files_in(work)
    for changed, again in (('student', 'student-s0'), ('teacher', 'teacher-s0, student-s0')):
        plan = [CONFIG, f'--workdir={work}', '--plan', '--fresh', f'--config.runs.{changed}.batch_size=30']
        assert run.main(plan) == 0
        assert f'Start anew (--fresh): {again}.' in capsys.readouterr().out
    assert files_in(work) == before


@pytest.mark.parametrize('only', ['*', 'student'])
@pytest.mark.parametrize(('changed', 'again'), [('student', ['student-s0']), ('teacher', ['teacher-s0', 'student-s0'])])
def test_fresh_trains_anew_what_changed_and_what_depends_on_it(changed, again, only, work, trained):
    arguments = [CONFIG, f'--workdir={work}', '--fresh', f'--only={only}', f'--config.runs.{changed}.batch_size=30']
    assert run.main(arguments) == 0
    assert [directory.name for directory in trained] == again
    assert not any((directory / 'checkpoints').exists() for directory in trained)
    assert (work / 'runs' / 'teacher-s0' / 'checkpoints').exists() == ('teacher-s0' not in again)


def test_if_a_run_fails_the_report_shows_the_others_and_a_smaller_rate_may_start_it(work, capsys):
    rate = '--config.runs.student.optimizer.learning_rate={}'.format
    assert (work / 'report.md').exists()
    assert run.main([CONFIG, f'--workdir={work}', '--fresh', rate(1e30), '--config.seeds=1']) == 2
    out = capsys.readouterr().out
    assert "run 'student': term" in out.split('error: ')[1]
    assert 'Not finished: 1 of the 2 results that the study asks for is missing: student.' in ' '.join(out.split())
    page = (work / 'report.md').read_text()
    assert 'the study asks for is missing: student.' in page
    assert 'has another config' not in page
    assert run.main([CONFIG, f'--workdir={work}', rate(0.01)]) == 0
    assert (work / 'results' / 'student-s0.json').exists()


def test_a_report_is_gone_once_a_result_that_it_shows_is_gone(work, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(local, 'execute_group', interrupted)
    assert run.main([CONFIG, f'--workdir={work}', '--config.runs.student.batch_size=30', '--fresh']) == 130
    assert not (work / 'results' / 'student-s0.json').exists()
    assert not (work / 'report.md').exists()
    assert not (work / 'report.html').exists()
