"""Errors of a full or unwritable disk."""

import errno
import os
import pathlib

import pytest

from kd_jax.config.disk_errors import disk_errors
from kd_jax.config.errors import UserError


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
