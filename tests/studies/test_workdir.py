"""The work directory: results, references to them, and locks."""

import errno
import os
import pathlib
import sys

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies import workdir as workdir_module
from kd_jax.studies.workdir import Workdir
from tests.small_studies import finish


def test_results_of_other_runs_at_the_same_seed_stand_in_for_their_names(workdir):
    finish(workdir, 'a-s0', analyses={'clusters': [[1, 2], [3]]}, oversampling=2.5)
    finish(workdir, 'a-s1', analyses={'clusters': [[4, 5], [6]]}, oversampling=3.5)
    tree = {'data': {'subset': 'result:a.analyses.clusters.1'}, 'x': ('result:a.oversampling', 'run:a', 7)}
    assert workdir.resolve(tree, 0, 'here') == {'data': {'subset': [3]}, 'x': (2.5, 'run:a', 7)}
    assert workdir.resolve(tree, 1, 'here') == {'data': {'subset': [6]}, 'x': (3.5, 'run:a', 7)}


@pytest.mark.parametrize(
    ('reference', 'said'),
    [
        ('result:a.analysis.clusters', "has no 'analysis'. Did you mean 'analyses'?"),
        ('result:a.analyses.clusters.5', "has no '5'. Known: 0, 1."),
        ('result:a.analyses.clusters.first', "has no 'first'. Known: 0, 1."),
        ('result:a.seconds.x', "has no 'x'. Known: none."),
    ],
)
def test_a_result_that_is_not_there_is_refused_with_what_there_is(reference, said, workdir):
    finish(workdir, 'a-s0', analyses={'clusters': [[1, 2], [3]]}, seconds=1.0)
    with pytest.raises(UserError) as error:
        workdir.resolve(reference, 0, "here: run 'b'")
    assert str(error.value).startswith(f"here: run 'b': '{reference}': the result of run 'a' {said}")


def test_a_second_holder_of_the_lock_is_refused_until_the_first_is_done(tmp_path):
    second = pytest.raises(UserError, match='another process is using')
    with Workdir(tmp_path).locked(), second, Workdir(tmp_path).locked():
        pass
    with Workdir(tmp_path).locked():
        pass


@pytest.mark.parametrize('text', ['', '{"run": ', '\x00'])
def test_a_damaged_result_is_named(text, workdir):
    workdir.result_path('a-s0').write_text(text)
    with pytest.raises(UserError, match=r'results/a-s0.json is damaged .* delete it and run the study again'):
        workdir.result('a-s0')


def test_a_study_and_a_search_do_not_share_a_work_directory_but_two_searches_do(tmp_path):
    work, said = Workdir(tmp_path), 'another process is using'
    with work.locked(shared=True), work.locked(shared=True), pytest.raises(UserError, match=said), work.locked():
        pass
    with work.locked(), pytest.raises(UserError, match=said), work.locked(shared=True):
        pass


@pytest.mark.parametrize(
    'name', ['.lock', 'study.json', 'report.html', 'results', 'runs', 'runs/a-s0', 'runs/a-s0/checkpoints',
             'runs/a-s0/metrics.jsonl', 'runs/a-s0/.lock', 'caches', 'caches/x/manifest.json', 'figures', 'search/id'],
)  # fmt: skip
def test_a_link_inside_a_work_directory_is_refused_and_its_target_stays(name, tmp_path):
    target, link = tmp_path / 'target', tmp_path / 'work' / name
    target.mkdir()
    (target / 'file').write_text('mine')
    link.parent.mkdir(parents=True)
    link.symlink_to(target / 'file' if '.' in name.split('/')[-1] else target)
    with pytest.raises(UserError, match=f'{link} is a symbolic link'), Workdir(tmp_path / 'work').locked():
        pass
    assert [(path.name, path.read_text()) for path in target.iterdir()] == [('file', 'mine')]


def test_a_work_directory_may_be_a_link_itself_and_its_neighbours_may_be_links(tmp_path):
    (tmp_path / 'there').mkdir()
    (tmp_path / 'there' / 'my_data').symlink_to(tmp_path)
    (tmp_path / 'work').symlink_to(tmp_path / 'there')
    with Workdir(tmp_path / 'work').locked(), Workdir(tmp_path / 'work').alone('a-s0'):
        assert (tmp_path / 'there' / 'runs' / 'a-s0' / '.lock').exists()


def test_a_fifo_or_a_file_where_a_directory_belongs_is_a_sentence(tmp_path):
    os.mkfifo(tmp_path / '.lock')
    with pytest.raises(UserError, match=r'\.lock is a FIFO'), Workdir(tmp_path).locked():
        pass
    (tmp_path / 'file').write_text('')
    for path in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(UserError, match=r'file is a file, not a directory; choose another --workdir'):
            Workdir(path)._lock(shared=False)


@pytest.mark.skipif(sys.platform != 'linux', reason='the limit is that of Linux')
def test_a_path_that_would_be_too_long_is_refused_before_anything_is_written(tmp_path):
    long = pathlib.Path(tmp_path, *['a' * 100] * 40)
    with pytest.raises(UserError, match=r'paths of 4,\d\d\d bytes, .* at most 3,796 are possible'):
        Workdir(long).check_paths(['student-s0'])
    Workdir(pathlib.Path('/', *['a' * 100] * 36)).check_paths(['student-s0'])
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_files_cannot_have_here_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsencode', lambda path: str(path).encode('ascii'))
    with pytest.raises(UserError, match=r'ü-s0. cannot be a path, .* encoding ascii here; set PYTHONUTF8=1'):
        Workdir(tmp_path).check_paths(['a-s0', 'ü-s0'])


def test_a_current_directory_that_was_removed_is_one_sentence(tmp_path, monkeypatch):
    gone = tmp_path / 'gone'
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UserError, match='the current directory no longer exists'):
        Workdir(pathlib.Path('runs')).check_paths(['a-s0'])


@pytest.mark.parametrize(
    ('number', 'said'), [(errno.ENOSPC, 'the disk is full: free some space'), (errno.EROFS, 'choose another --workdir')]
)
def test_another_directory_is_advised_only_where_it_would_help(number, said, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(workdir_module, 'open_to_change', fails)
    with pytest.raises(UserError, match=said), Workdir(tmp_path).locked():
        pass


@pytest.mark.parametrize(('names', 'some'), [(['5'], True), (['5.damaged', 'newest.json'], False), ([], False)])
def test_a_run_has_checkpoints_if_one_is_there_from_which_it_can_continue(names, some, workdir):
    for name in names:
        (workdir.directory('a-s0') / 'checkpoints' / name).mkdir(parents=True)
    assert workdir.has_checkpoints('a-s0') == some


def test_a_report_goes_before_a_result_that_it_may_show(workdir, monkeypatch):
    finish(workdir, 'a-s0', 'b-s0')
    for name in ('report.md', 'report.html'):
        (workdir.path / name).write_text('a')
    gone, unlink = [], pathlib.Path.unlink
    monkeypatch.setattr(pathlib.Path, 'unlink', lambda path, **kw: (gone.append(path.name), unlink(path, **kw)))
    workdir.remove_result('a-s0')
    assert sorted(gone[:2]) == ['report.html', 'report.md']
    assert gone[2:] == ['a-s0.json']
    assert workdir.result('a-s0') is None
    assert workdir.result('b-s0') is not None
