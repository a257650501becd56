import json

import pytest

from experiments.report import main


@pytest.fixture(autouse=True)
def one_figure(study_dir):
    path = study_dir / 'study.json'
    study = json.loads(path.read_text())
    study['report']['figures'] = {'curves': {'kind': 'curves', 'runs': 'student', 'y': 'test.student.errors'}}
    path.write_text(json.dumps(study))


def _tree(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob('*') if path.is_file()}


def test_the_report_is_written_beside_the_results(study_dir, capsys):
    assert main([f'--workdir={study_dir}']) == 0
    assert (study_dir / 'report.html').is_file()
    assert '7.0 ± 1.0' in capsys.readouterr().out


def test_the_copied_evidence_rebuilds_itself(study_dir, tmp_path):
    out = tmp_path / 'evidence'
    assert main([f'--workdir={study_dir}', f'--out={out}']) == 0
    first = _tree(out)
    assert len([path for path in first if path.parts[0] == 'results']) == 9
    assert main([f'--workdir={out}', f'--out={out}']) == 0
    assert _tree(out) == first


def test_directories_of_this_machine_do_not_come_along(study_dir, tmp_path):
    paths = study_dir / 'study.json', study_dir / 'results' / 'student-s0.json'
    for path in paths:
        command = 'python -m experiments.run --config=configs/a.py --only=a/b --workdir=/home/me/runs/a --x /b/c'
        path.write_text(json.dumps(json.loads(path.read_text()) | {'command': command}))
    out = tmp_path / 'evidence'
    assert main([f'--workdir={study_dir}', f'--out={out}']) == 0
    for path in paths:
        before, after = json.loads(path.read_text()), json.loads((out / path.relative_to(study_dir)).read_text())
        assert after.pop('command') == 'python -m experiments.run --config=configs/a.py --only=a/b --workdir=a --x c'
        before.pop('command')
        assert after == before
    assert not any(
        '/home/me' in path.read_text() for path in out.rglob('*') if path.suffix in ('.json', '.md', '.html')
    )


def test_results_that_are_gone_leave_the_evidence_too(study_dir, tmp_path):
    out = tmp_path / 'evidence'
    main([f'--workdir={study_dir}', f'--out={out}'])
    (study_dir / 'results' / 'student-s2.json').unlink()
    main([f'--workdir={study_dir}', f'--out={out}'])
    assert not (out / 'results' / 'student-s2.json').exists()


def test_another_studys_evidence_is_not_overwritten(study_dir, tmp_path, capsys):
    out = tmp_path / 'evidence'
    out.mkdir()
    (out / 'study.json').write_text(json.dumps({'name': 'other'}))
    assert main([f'--workdir={study_dir}', f'--out={out}']) == 2
    assert "holds study 'other', not 'small'" in capsys.readouterr().err
    assert _tree(out).keys() == {(out / 'study.json').relative_to(out)}


@pytest.mark.parametrize('content', ['{', '[]', '{"study": "other", "run": "a", "seed": 0}', '{"study": "small"}'])
def test_a_bad_result_file_is_one_sentence_and_exit_code_2(study_dir, capsys, content):
    (study_dir / 'results' / 'bad.json').write_text(content)
    assert main([f'--workdir={study_dir}']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert 'bad.json' in error


def test_a_directory_without_a_study_is_one_sentence_and_exit_code_2(tmp_path, capsys):
    assert main([f'--workdir={tmp_path}']) == 2
    assert 'there is no study.json here' in capsys.readouterr().err
