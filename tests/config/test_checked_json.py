"""JSON files with a checksum and a schema."""

import json
import zlib
from typing import Required, TypedDict

import numpy as np
import pytest

from kd_jax.config.checked_json import checksum, misfit, read_checked, with_checksum, write_checked
from kd_jax.config.errors import UserError

MEND = 'delete it'
CONTENT = {'name': 'small', 'numbers': [1, 2.5, None], 'deep': {'seed': 12}}


class Schema(TypedDict, total=False):
    name: Required[str]
    numbers: list[float | None]
    deep: dict[str, int]
    checksum: str


@pytest.fixture
def path(tmp_path):
    write_checked(tmp_path / 'a.json', CONTENT)
    return tmp_path / 'a.json'


def test_a_checksum_is_the_crc_of_the_content_with_sorted_keys_and_without_spaces():
    assert checksum({'b': 1, 'a': [True, None]}) == f'crc32:{zlib.crc32(b"""{"a":[true,null],"b":1}"""):08x}'


def test_what_was_written_is_read_and_has_a_checksum(path):
    assert read_checked(path, Schema, MEND) == (CONTENT, True)


def test_a_checksum_is_that_of_the_values_in_the_file():
    assert with_checksum({'a': np.float32(0.5), 'b': float('nan')}) == with_checksum({'b': None, 'a': 0.5})
    assert with_checksum(with_checksum(CONTENT)) == with_checksum(CONTENT)


def test_spaces_and_the_order_of_keys_do_not_matter(path):
    written = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(written.items()))))
    assert read_checked(path, Schema, MEND) == (CONTENT, True)


def test_a_file_without_a_checksum_is_read_and_marked(path):
    path.write_text(json.dumps(CONTENT))
    assert read_checked(path, Schema, MEND) == (CONTENT, False)


def test_whoever_edits_a_file_on_purpose_removes_the_checksum(path):
    edited = json.loads(path.read_text()) | {'name': 'mine'}
    path.write_text(json.dumps(edited))
    with pytest.raises(UserError, match="If you edited it on purpose, remove its 'checksum'"):
        read_checked(path, Schema, MEND)
    del edited['checksum']
    path.write_text(json.dumps(edited))
    assert read_checked(path, Schema, MEND).content == {**CONTENT, 'name': 'mine'}


def test_an_edited_digit_is_named_with_the_file_and_the_way_out(path):
    path.write_text(path.read_text().replace('12', '13'))
    with pytest.raises(UserError, match=r'a\.json is damaged: its content does not have its checksum crc32:.*; delete'):
        read_checked(path, Schema, MEND)


BROKEN = {
    '[]': r'a\.json is damaged: expected object, got array; delete it\.',
    '3': r'a\.json is damaged: expected object, got int',
    '{}': r'a\.json is damaged: object missing required field name',
    '{"name": null}': r'a\.json is damaged: name: expected str, got null',
    '{"name": "a", "numbers": [1, "b"]}': r'a\.json is damaged: numbers\[1\]: expected float \| null, got str',
    '{"name": "a", "numbers": [1e999]}': r'a\.json is damaged \(the number 1e999 is too large\); delete it\.',
    '{"name": NaN}': r'a\.json is damaged \(NaN is not JSON\)',
    '{"name": "a"': r'a\.json is damaged \(.*\); delete it\.',
    '': r'a\.json is damaged \(.*\); delete it\.',
}


@pytest.mark.parametrize('text', BROKEN)
def test_what_does_not_fit_the_schema_is_one_sentence_with_its_place(text, path):
    path.write_text(text)
    with pytest.raises(UserError, match=BROKEN[text]):
        read_checked(path, Schema, MEND)


def test_a_misfit_names_the_keys_of_dictionaries():
    schema = dict[str, list[dict[str, dict[str, int]]]]
    value = {'a': [{'b': {'c': 1}}], 'd': [{}, {'e': {'f': 1}, 'g.h': {'i': 1, 'j': 'k'}}]}
    assert misfit(value, schema) == 'd[1].g.h.j: expected int, got str'
    assert value['d'][1]['g.h'] == {'i': 1, 'j': 'k'}
    value['d'][1]['g.h']['j'] = 2
    assert misfit(value, schema) == ''
