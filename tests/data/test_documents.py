import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.documents import Document, check_like, checked, split_documents


def test_an_empty_text_is_refused():
    with pytest.raises(UserError, match='here: text is empty'):
        checked(Document('a', 'here'))


def test_documents_are_alike():
    first = Document('a', 'line 1', 'text', (), {'n': 1})
    check_like(Document('b', 'line 2', 'text', (), {'n': 2.5}), first, numbers=True)
    other = Document('b', 'line 2', 'text')
    check_like(other, first, numbers=False)
    with pytest.raises(UserError, match='line 2: all lines must be alike, but this one and the first have text and t'):
        check_like(other, first, numbers=True)
    pair = Document('c', 'line 3', '', (('prompt', 'a'), ('answer', 'b')))
    with pytest.raises(UserError, match=r'line 3: .* have prompt and answer and text'):
        check_like(pair, first, numbers=False)


def split_names(names, *how):
    """Splits documents that are called by one letter each: split -> the letters of its documents."""
    split = split_documents(np.array(list(names)), *how)
    return {name: ''.join(names[i] for i in own) for name, own in split.items()}


@pytest.mark.parametrize('by', ['random', 'position'])
def test_a_document_is_in_one_split_and_every_document_in_some(by):
    split = split_names('abcdefaghiaj', 3, 2, by)
    assert {name: len(set(own)) for name, own in split.items()} == {'train': 5, 'valid': 3, 'test': 2}
    assert sorted(''.join(split.values())) == sorted('abcdefaghiaj')
    assert sum(len(set(own)) for own in split.values()) == 10
    wanted = split_documents(np.array([ord(name) << 55 for name in 'abcdefaghiaj'], np.uint64), 3, 2, by)
    again = split_documents(np.array(list('abcdefaghiaj'), object), 3, 2, by)
    assert {name: own.tolist() for name, own in wanted.items()} == {name: own.tolist() for name, own in again.items()}


def test_the_last_documents_are_for_testing_and_those_before_for_validation():
    assert split_names('fbcdea', 2, 1, 'position') == {'train': 'fbc', 'valid': 'de', 'test': 'a'}


def test_the_test_documents_do_not_depend_on_the_number_for_validation():
    assert split_names('abcdefghij', 0, 3, 'random')['test'] == split_names('abcdefghij', 5, 3, 'random')['test']


@pytest.mark.parametrize(('valid', 'test'), [(2, 1), (0, 3), (-1, 0)])
def test_a_document_must_be_left_for_training(valid, test):
    with pytest.raises(UserError, match='but there are 3 documents and one must be left for training'):
        split_names('abc', valid, test, 'random')
