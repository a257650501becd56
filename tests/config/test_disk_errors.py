"""Errors of a full or unwritable disk."""

import errno
import os
import pathlib

import pytest

from kd_jax.config.disk_errors import check_readable, disk_errors
from kd_jax.config.errors import MachineError, UserError


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_by_its_number_and_by_its_text(number):
    for error in (OSError(number, ''), ValueError(f'INTERNAL: write failed: {os.strerror(number)}')):
        with pytest.raises(UserError, match='the disk is full'), disk_errors(pathlib.Path('here')):
            raise error


def test_other_errors_of_the_disk_become_a_sentence_and_other_errors_stay():
    with (
        pytest.raises(UserError, match=r'could not be written.*Permission'),
        disk_errors(pathlib.Path('here')),
    ):
        raise PermissionError(errno.EACCES, 'Permission denied')
    with pytest.raises(ZeroDivisionError), disk_errors(pathlib.Path('here')):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ('number', 'says'),
    [
        (errno.ENOSPC, 'the disk is full: free some space'),
        (errno.EFBIG, 'a file may not become that large: raise the limit'),
        (errno.EMFILE, r'too many files are open, .*ulimit -n 4096'),
        (errno.EROFS, r'Read-only file system\): make it writable'),
    ],
)
def test_what_holds_for_every_run_is_an_error_of_the_machine_with_its_own_advice(number, says):
    for error in (OSError(number, os.strerror(number)), ValueError(f'INTERNAL: {os.strerror(number)}')):
        with pytest.raises(MachineError, match=says), disk_errors(pathlib.Path('here')):
            raise error


def test_a_path_that_is_too_long_is_no_error_of_the_machine():
    with pytest.raises(UserError, match='too long: choose a shorter one') as caught, disk_errors(pathlib.Path('here')):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    assert not isinstance(caught.value, MachineError)


def test_a_file_that_cannot_be_opened_is_not_taken_for_a_damaged_one():
    with pytest.raises(MachineError, match='here could not be read because too many files are open'):
        check_readable(ValueError(f'RESOURCE_EXHAUSTED: {os.strerror(errno.EMFILE)}'), pathlib.Path('here'))
    with pytest.raises(UserError, match=r'Permission denied\): make it readable'):
        check_readable(PermissionError(errno.EACCES, 'Permission denied'), pathlib.Path('here'))
    check_readable(FileNotFoundError(errno.ENOENT, 'No such file or directory'), pathlib.Path('here'))
    check_readable(ValueError('checksum'), pathlib.Path('here'))
