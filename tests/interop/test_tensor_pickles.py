"""Pickles of data and tensors."""

import collections
import io
import pickle

import pytest

from kd_jax.interop.tensor_pickles import Refused, Storage, Tensor, load_pickle


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read_as_python_reads_them(protocol):
    shared = [1, -5, 2**40, -(2**70), 0.1, 'ü', None, True, False]
    value = {'a': shared, 'b': (shared, (), (1,), (1, 2), (1, 2, 3, 4)), 3: {'deep': {}}, 'ordered': [{}, []]}
    found, storages = load_pickle(io.BytesIO(pickle.dumps(value, protocol)))
    assert (found, storages) == (value, {})
    assert found['a'] is found['b'][0]


def test_an_ordered_dictionary_becomes_a_dictionary_and_loses_its_attributes():
    ordered = collections.OrderedDict([('b', 1), ('a', 2)])
    ordered._metadata = {'': {'version': 1}}
    for protocol in (2, 4):
        found, _ = load_pickle(io.BytesIO(pickle.dumps(ordered, protocol)))
        assert list(found.items()) == [('b', 1), ('a', 2)]
        assert type(found) is dict


def test_a_tensor_is_described_and_its_storage_is_named():
    storage = b'(X\x07\0\0\0storagectorch\nHalfStorage\nX\x01\0\0\0kX\x03\0\0\0cpuK\x08tQ'
    tensor = b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + b'K\x02K\x02K\x03\x86K\x03K\x01\x86\x89NtR.'
    found, storages = load_pickle(io.BytesIO(b'\x80\x02' + tensor + b'the next pickle'))
    assert found == Tensor(Storage('k', 'float16'), 2, (2, 3), (3, 1))
    assert storages == {'k': found.storage}


def test_the_file_stays_at_the_end_of_the_pickle():
    file = io.BytesIO(pickle.dumps([1], 2) + b'rest')
    assert load_pickle(file)[0] == [1]
    assert file.read() == b'rest'


@pytest.mark.parametrize('value', [len, {1, 2}, collections.Counter(), 1j, Storage, range(3), bytearray(2)])
def test_every_other_class_or_function_is_refused(value):
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        with pytest.raises(Refused):
            load_pickle(io.BytesIO(pickle.dumps(value, protocol)))


@pytest.mark.parametrize(
    'content', [b'', b'.', b'N', b']N', b'(.', b'h\x05.', b'NNs.', b'N(NNu.', b'Ne.', b'\x85.', b'NQ.', b'\xff']
)
def test_a_damaged_pickle_raises_an_error(content):
    with pytest.raises((pickle.UnpicklingError, ValueError, LookupError)):
        load_pickle(io.BytesIO(content))
