"""Plain configs: nothing shared, string keys, leaves that a file can hold."""

import functools
import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from kd_jax.config.errors import UserError
from kd_jax.config.plain_config import plain_config


def test_a_config_is_rebuilt_without_shared_parts():
    part = {'t': (1, [2.0])}
    made = plain_config(ConfigDict({'a': part, 'b': [part, part]}), 'config')
    assert made == {'a': {'t': (1, [2.0])}, 'b': [{'t': (1, [2.0])}, {'t': (1, [2.0])}]}
    made['a']['t'][1].append(3)
    made['b'][0]['t'] = None
    assert made['b'][1] == part == {'t': (1, [2.0])}


def test_numbers_of_numpy_and_paths_become_plain():
    made = plain_config({'n': np.int64(3), 'x': np.float32(0.5), 'yes': np.True_, 'path': pathlib.Path('a') / 'b'}, 'c')
    assert made == {'n': 3, 'x': 0.5, 'yes': True, 'path': 'a/b'}
    assert [type(leaf) for leaf in made.values()] == [int, float, bool, str]


def test_functions_stay_as_they_are():
    assert plain_config({'loss': len, 'none': None}, 'c') == {'loss': len, 'none': None}


ENDLESS = {'a': {}}
ENDLESS['a']['b'] = ENDLESS


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        ({'runs': {1: {}}}, "config.runs: the key 1 is not a string; write '1'."),
        ({'runs': {None: {}}}, "config.runs: the key None is not a string; write 'None'."),
        ({'a': [{'b': {2.5: 1}}]}, "config.a[0].b: the key 2.5 is not a string; write '2.5'."),
        ({'a': {'b': {1, 2}}}, 'config.a.b is {1, 2}, a set; a config holds numbers, texts, True, False, None, func'),
        ({'a': np.zeros(3)}, 'config.a is array([0., 0., 0.]), a ndarray; a config holds'),
        ({'a': b'x'}, "config.a is b'x', a bytes; a config holds"),
        (
            {'loss': functools.partial(max, 3)},
            'config.loss is a partial, which has no name that a result file could state; define a function',
        ),
        ({'t': 2**64}, 'config.t is an integer beyond 64 bits, which no result file can hold; write a float.'),
        ({'a': '\udcff'}, "config.a: '\\udcff' is not Unicode text, so no file can hold it."),
        ({'a': {'\udcff': 1}}, "config.a: the key '\\udcff' is not Unicode text"),
        (ENDLESS, 'there are more than 64 levels; does a dictionary or a list hold itself?'),
    ],
)
def test_what_no_config_can_hold_is_refused_with_its_place(config, said):
    with pytest.raises(UserError) as error:
        plain_config(config, 'config')
    assert said in str(error.value)
