"""JSON files and flat names."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.checked_json import read_checked
from kd_jax.config.errors import UserError
from kd_jax.config.json_files import flat, json_value, parse_json, write_json


def test_arrays_become_lists():
    tree = {'a': np.array([[1, 2]]), 'b': (jnp.array([0.5, jnp.nan]),), 'c': jnp.int32(3)}
    assert json_value(tree) == {'a': [[1, 2]], 'b': [[0.5, None]], 'c': 3}


def test_numbers_that_json_does_not_know_become_none():
    tree = {
        1: [np.float32(np.nan), np.inf, 2.5],
        'b': (np.int64(3), -np.inf),
        'c': 'nan',
        'd': {'e': None, 'f': True},
    }
    known = {'1': [None, None, 2.5], 'b': [3, None], 'c': 'nan', 'd': {'e': None, 'f': True}}
    assert json_value(tree) == known
    assert json.loads(json.dumps(json_value(tree), allow_nan=False)) == known


def test_a_json_file_is_written_whole(tmp_path):
    write_json(tmp_path / 'result.json', {'a': np.float32(1.5), 'b': float('nan')})
    assert json.loads((tmp_path / 'result.json').read_text()) == {'a': 1.5, 'b': None}
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']


def test_a_failed_write_leaves_the_old_file_and_no_part_of_a_new_one(tmp_path):
    write_json(tmp_path / 'result.json', {'a': 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / 'result.json', {'a': 2, 'b': object()})
    assert json.loads((tmp_path / 'result.json').read_text()) == {'a': 1}
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']


def test_leaves_are_named_by_their_path():
    assert flat({'a': {'b': {'c': 1}, 'd': 2}, 'e': 3}) == {'a/b/c': 1, 'a/d': 2, 'e': 3}


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'{"a": 1', 'damaged'),
        (b'', 'damaged'),
        (b'\xff\xfe', 'not UTF-8'),
        (b'[' * 101 + b']' * 101, 'nested more than 100 deep'),
        (b'[' * 100_000, 'nested more than 100 deep'),
        (b'{"a": ' * 20_000 + b'1' + b'}' * 20_000, 'nested more than 100 deep'),
        (b'{"a": ' + b'9' * 400 + b'}', 'an integer of 400 digits'),
        (b'[-18446744073709551616]', 'an integer of 20 digits'),
        (b'{"a": NaN}', 'NaN is not JSON'),
        (b'{"a": 1e999}', 'the number 1e999 is too large'),
        (rb'{"a": "\ud800"}', 'surrogates not allowed'),
    ],
)
def test_what_no_honest_json_file_holds_is_a_sentence(tmp_path, content, reason):
    path = tmp_path / 'file.json'
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'{path}.*{reason}.*; delete it.$'):
        read_checked(path, Any, 'delete it')


def test_what_is_written_is_read(tmp_path):
    deep = 1.5
    for _ in range(100):
        deep = [deep]
    value = {'a': [1, -(2**63), 2**64 - 1, 1e300, None, True], 'ü': '\U0001f600', 'deep': deep[0]}
    write_json(tmp_path / 'file.json', value)
    assert parse_json((tmp_path / 'file.json').read_text('utf-8')) == value
