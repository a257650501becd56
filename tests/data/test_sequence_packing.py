import numpy as np

from kd_jax.data.sequence_packing import (
    OPEN_ROWS,
    Stretch,
    TokenSequence,
    cut_and_fill,
    fill_rows,
    fit_whole,
    next_tokens,
    one_a_row,
)


def counted(first, size):
    """The positions of the tokens first, first + 1, ...; even tokens count, and token n has n bytes."""
    ids = np.arange(first, first + size, dtype=np.int32)
    return next_tokens(ids, ids % 2 == 0, ids)


def test_each_token_but_the_first_is_predicted_from_the_one_before():
    found = counted(10, 4)
    assert found.tokens.tolist() == [10, 11, 12]
    assert found.label.tolist() == [11, 12, 13]
    assert found.mask.tolist() == [False, True, False]  # of the label, not of the token
    assert found.bytes.tolist() == [11, 12, 13]


def test_rows_are_full_and_a_document_goes_on_in_the_next_row():
    assert list(cut_and_fill([3, 6, 1], 4)) == [
        Stretch(0, 0, 3, 0, 0), Stretch(1, 0, 1, 0, 3), Stretch(1, 1, 5, 1, 0), Stretch(1, 5, 6, 2, 0),
        Stretch(2, 0, 1, 2, 1),
    ]  # fmt: skip


def test_whole_documents_go_into_the_first_row_that_has_room():
    assert list(fit_whole([3, 3, 1, 2, 4], 4)) == [
        Stretch(0, 0, 3, 0, 0), Stretch(1, 0, 3, 1, 0), Stretch(2, 0, 1, 0, 3), Stretch(3, 0, 2, 2, 0),
        Stretch(4, 0, 4, 3, 0),
    ]  # fmt: skip
    late = list(fit_whole([3] * (OPEN_ROWS + 1) + [1], 4))[-1]
    assert late == Stretch(OPEN_ROWS + 1, 0, 1, 1, 3)  # the first row is closed, though it has room


def test_a_document_in_a_row_of_its_own_loses_what_is_longer():
    assert list(one_a_row([3, 6], 4)) == [Stretch(0, 0, 3, 0, 0), Stretch(1, 0, 4, 1, 0)]


def test_the_arrays_of_rows_are_those_written_by_hand():
    sequences = [counted(10, 4), counted(20, 7)]  # 3 and 6 positions
    found = fill_rows(sequences, list(cut_and_fill([3, 6], 5)), 5)
    wanted = {
        'tokens': [[10, 11, 12, 20, 21], [22, 23, 24, 25, 0]],
        'label': [[11, 12, 13, 21, 22], [23, 24, 25, 26, 0]],  # 22 is predicted at the end of the row, not lost
        'mask': [[0, 1, 0, 0, 1], [0, 1, 0, 1, 0]],
        'bytes': [[11, 12, 13, 21, 22], [23, 24, 25, 26, 0]],
        'segment': [[1, 1, 1, 2, 2], [1, 1, 1, 1, 0]],
        'position': [[0, 1, 2, 0, 1], [0, 1, 2, 3, 0]],
    }
    assert {name: array.astype(int).tolist() for name, array in found.items()} == wanted
    assert {name: array.dtype for name, array in found.items()} == {
        name: np.dtype(bool if name == 'mask' else np.int32) for name in wanted
    }


def test_packed_and_alone_hold_the_same_predictions():
    """Attention within segments sees in a packed row exactly what it sees in a row of one document."""
    sequences = [counted(10, 3), counted(20, 5), counted(30, 4)]
    sizes = [len(one.tokens) for one in sequences]
    for lay in (fit_whole, one_a_row):
        found = fill_rows(sequences, list(lay(sizes, 7)), 7)
        seen = set()
        for row in range(len(found['tokens'])):
            for at in range(7):
                same = (found['segment'][row] == found['segment'][row, at]) & (np.arange(7) <= at)
                if found['segment'][row, at]:
                    words, places = (tuple(found[name][row][same].tolist()) for name in ('tokens', 'position'))
                    seen.add((words, places, int(found['label'][row, at]), bool(found['mask'][row, at])))
        assert len(seen) == sum(sizes)
        if lay is fit_whole:
            packed = seen
    assert packed == seen


def test_a_split_without_documents_has_no_rows():
    assert fill_rows([], [], 4)['tokens'].shape == (0, 4)
    assert isinstance(counted(0, 2), TokenSequence)
