import json
import os

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


def test_a_directory_that_cannot_be_written_is_one_sentence_after_the_tables(study_dir, capsys):
    (study_dir / 'figures').write_text('')  # what a test that runs as root can do against writing
    assert main([f'--workdir={study_dir}']) == 2
    said, error = capsys.readouterr()
    assert '7.0 ± 1.0' in said
    assert error == f'error: {study_dir} cannot be written (File exists): give another directory with --out.\n'


def test_a_read_only_study_is_reported_elsewhere(study_dir, tmp_path):
    before = _tree(study_dir)
    assert main([f'--workdir={study_dir}', f'--out={tmp_path / "out"}']) == 0
    assert _tree(study_dir) == before


def test_a_missing_directory_one_without_results_and_one_without_runs_are_sentences(study_dir, tmp_path, capsys):
    assert main([f'--workdir={tmp_path / "nowhere"}']) == 2
    assert 'nowhere: there is no such directory; give the directory in which' in capsys.readouterr().err
    for path in (study_dir / 'results').iterdir():
        path.unlink()
    assert main([f'--workdir={study_dir}']) == 0
    assert 'No run has finished yet.' in capsys.readouterr().out
    study = json.loads((study_dir / 'study.json').read_text())
    (study_dir / 'study.json').write_text(json.dumps({**study, 'runs': {'a': {}, 'b': {}}, 'seeds': 2}))
    assert main([f'--workdir={study_dir}']) == 0
    assert 'none of the 4 results that the study asks for is there yet.' in capsys.readouterr().out
    (study_dir / 'results').rmdir()
    assert main([f'--workdir={study_dir}']) == 0
    (study_dir / 'study.json').write_text(json.dumps({**study, 'runs': {}}))
    capsys.readouterr()
    assert main([f'--workdir={study_dir}']) == 2
    assert f'{study_dir / "study.json"} is damaged: runs: expected object of length >= 1' in capsys.readouterr().err


def test_control_characters_in_names_are_shown_by_the_command(study_dir, tmp_path, capsys):
    for path in (study_dir / 'results').glob('student-*.json'):
        path.write_text(json.dumps({**json.loads(path.read_text()), 'run': 'x\x1b[31m[bold]:one:'}))
    study = json.loads((study_dir / 'study.json').read_text())
    (study_dir / 'study.json').write_text(json.dumps({**study, 'report': {}, 'title': '\x1b]0;title\x07'}))
    assert main([f'--workdir={study_dir}']) == 0
    said = capsys.readouterr().out
    assert r'x\x1b[31m[bold]:one:' in said
    pages = [(study_dir / name).read_text() for name in ('report.md', 'report.html')]
    assert all('\x1b' not in text and '\x07' not in text for text in (said, *pages))
    (study_dir / 'study.json').write_text(json.dumps({'name': '\x1b[31m'}))
    assert main([f'--workdir={study_dir}']) == 2
    assert '\x1b' not in capsys.readouterr().err


def test_the_copied_evidence_rebuilds_itself(study_dir, tmp_path):
    out = tmp_path / 'evidence'
    assert main([f'--workdir={study_dir}', f'--out={out}']) == 0
    first = _tree(out)
    assert len([path for path in first if path.parts[0] == 'results']) == 9
    assert main([f'--workdir={out}', f'--out={out}']) == 0
    assert _tree(out) == first


def test_copies_get_a_checksum_and_the_report_tells_which_results_have_none(study_dir, tmp_path):
    out = tmp_path / 'evidence'
    assert main([f'--workdir={study_dir}']) == 0
    assert main([f'--workdir={study_dir}', f'--out={out}']) == 0
    for name, other in (('report.md', '| not checked |'), ('report.html', '>not checked<')):
        right = other.replace('not checked', 'right')
        counts = [[(at / name).read_text().count(text) for text in (other, right)] for at in (study_dir, out)]
        assert counts == [[9, 0], [0, 9]]


def test_an_edited_digit_is_named_with_its_file(study_dir, tmp_path, capsys):
    out = tmp_path / 'evidence'
    assert main([f'--workdir={study_dir}', f'--out={out}']) == 0
    path = out / 'results' / 'student-s0.json'
    path.write_text(path.read_text().replace('"errors": 6', '"errors": 5', 1))
    capsys.readouterr()
    assert main([f'--workdir={out}']) == 2
    assert f'{path} is damaged: its content does not have its checksum' in capsys.readouterr().err


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
        assert after.pop('checksum').startswith('crc32:')
        assert after == before
    assert not any(
        '/home/me' in path.read_text() for path in out.rglob('*') if path.suffix in ('.json', '.md', '.html')
    )


@pytest.mark.parametrize('path', ['results/methods.json', 'figures/mine.png'])
def test_files_of_something_else_are_not_removed(path, study_dir, tmp_path, capsys):
    own = tmp_path / 'out' / path
    own.parent.mkdir(parents=True)
    own.write_text('mine')
    assert main([f'--workdir={study_dir}', f'--out={tmp_path / "out"}']) == 2
    assert f'has no study.json, so {own} may belong to something else' in capsys.readouterr().err
    assert _tree(tmp_path / 'out') == {own.relative_to(tmp_path / 'out'): b'mine'}


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


@pytest.mark.parametrize('name', ['results', 'figures'])
def test_nothing_is_written_or_removed_behind_a_link(name, study_dir, tmp_path, capsys):
    out, precious = tmp_path / 'out', tmp_path / 'precious'
    out.mkdir()
    precious.mkdir()
    for suffix in ('json', 'png'):
        (precious / f'mine.{suffix}').write_text('mine')
    (out / name).symlink_to(precious)
    assert main([f'--workdir={study_dir}', f'--out={out}']) == 2
    assert f'{name} is a symbolic link' in capsys.readouterr().err
    assert sorted(path.name for path in precious.iterdir()) == ['mine.json', 'mine.png']


def test_links_to_files_are_replaced_and_their_targets_stay(study_dir, tmp_path):
    (tmp_path / 'precious').write_text('mine')
    (study_dir / 'figures').mkdir(exist_ok=True)
    names = ('report.md', 'report.html', 'figures/curves.png')
    for name in names:
        (study_dir / name).unlink(missing_ok=True)
        (study_dir / name).symlink_to(tmp_path / 'precious')
    assert main([f'--workdir={study_dir}']) == 0
    assert (tmp_path / 'precious').read_text() == 'mine'
    assert not any((study_dir / name).is_symlink() for name in names)


def test_what_is_no_directory_or_no_ordinary_file_is_one_sentence(study_dir, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert main([f'--workdir={study_dir}', f'--out={tmp_path / "file"}']) == 2
    assert capsys.readouterr().err == f'error: {tmp_path / "file"} is a file, not a directory; choose another --out.\n'
    path = study_dir / 'results' / 'student-s0.json'
    path.unlink()
    os.mkfifo(path)
    assert main([f'--workdir={study_dir}']) == 2
    assert capsys.readouterr().err == f'error: {path} is a FIFO, not an ordinary file.\n'


def test_a_network_out_of_a_file_never_names_a_file_elsewhere(study_dir, tmp_path):
    for path in study_dir.glob('results/student-*.json'):
        path.write_text(path.read_text().replace('"student":', '"/x":'))
    study = json.loads((study_dir / 'study.json').read_text())
    (study_dir / 'study.json').write_text(json.dumps({**study, 'report': {}}))
    (study_dir / 'figures').mkdir(exist_ok=True)
    (study_dir / 'figures' / 'curves-test-').symlink_to(tmp_path)
    assert main([f'--workdir={study_dir}']) == 0  # the file has a name of its own
    assert list((study_dir / 'figures').glob('curves-test-x-errors-*.png'))
    assert not list(tmp_path.glob('x*'))


@pytest.mark.parametrize('used', ['runs', '.lock'])
def test_the_results_of_another_work_directory_are_not_replaced(used, study_dir, tmp_path, capsys):
    other = tmp_path / 'other'
    assert main([f'--workdir={study_dir}', f'--out={other}']) == 0
    (other / used).mkdir()
    (study_dir / 'results' / 'student-s2.json').unlink()
    before = _tree(other)
    assert main([f'--workdir={study_dir}', f'--out={other}']) == 2
    assert f'{other} is a work directory, whose results would be replaced' in capsys.readouterr().err
    assert _tree(other) == before


@pytest.mark.parametrize('inside', ['results', 'results/copy', 'evidence'])
def test_results_are_not_copied_into_the_work_directory(inside, study_dir, capsys):
    before = _tree(study_dir)
    assert main([f'--workdir={study_dir}', f'--out={study_dir / inside}']) == 2
    assert f'{study_dir / inside} lies in the work directory {study_dir}' in capsys.readouterr().err
    assert _tree(study_dir) == before
