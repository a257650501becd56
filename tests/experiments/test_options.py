"""docs/options.md is what the code says, and what it says of defaults is true."""

import inspect
import re

import pytest

from experiments import options
from kd_jax import report
from kd_jax.data.splits import OPTIONS, load_splits
from kd_jax.prepare import run_options
from kd_jax.report.check_report import CLAIMS, FIGURES, SECTIONS, WORDS

PAGE = options.PAGE.read_text()


def test_the_committed_page_is_the_one_that_the_code_gives():
    assert options.with_parts(PAGE) == PAGE, 'run python -m experiments.options'


def test_each_part_stands_on_the_page_once():
    assert sorted(re.findall('<!-- from the code: (.*) -->', PAGE)) == sorted(options.PARTS)
    assert PAGE.count('<!-- end -->') == len(options.PARTS)


def test_a_part_is_replaced_between_its_markers():
    page = 'a\n<!-- from the code: search -->\nold\n<!-- end -->\nb\n'
    once = options.with_parts(page)
    assert 'old' not in once
    assert once.startswith('a\n<!-- from the code: search -->\n\n| option |')
    assert once.endswith('|\n\n<!-- end -->\nb\n')
    assert options.with_parts(once) == once


def test_every_range_belongs_to_an_option():
    known = {*run_options.RUN_OPTIONS, *(f'data.{key}' for key in OPTIONS)}
    assert set(run_options.NUMBERS) <= known | {f'resources.{key}' for key in run_options.RESOURCES}


def test_every_key_of_a_report_is_explained():
    text = inspect.getdoc(report)
    keys = {key for kinds in (FIGURES, CLAIMS) for needed, more in kinds.values() for key in (*needed, *more)}
    for key in {*FIGURES, *CLAIMS, *keys, *SECTIONS, *WORDS}:
        assert re.search(rf'\b{key}\b', text), key


def test_data_with_the_stated_defaults_written_out_is_the_same_data():
    given = {'source': 'mnist', 'valid': 100}
    stated = {key: option.default for key, option in OPTIONS.items() if option.default is not None}
    plain, full = load_splits(given, 0), load_splits(stated | given, 0)
    assert plain.arrays.keys() == full.arrays.keys()
    assert all(plain.arrays[split]['label'] is full.arrays[split]['label'] for split in plain.arrays)
    assert (plain.subset, plain.augment, plain.resident) == (full.subset, full.augment, full.resident)


@pytest.mark.parametrize('name', ['kd', 'mlp', 'npz', 'adamw', 'regression', 'cka', 'average_weights'])
def test_a_reader_who_searches_for_a_name_finds_its_entry(name):
    assert len(re.findall(rf'^### \w+ `{name}`$', PAGE, re.MULTILINE)) == (2 if name == 'cka' else 1)
