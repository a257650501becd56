"""Types, defaults and meanings out of signatures and docstrings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from experiments.option_tables import (
    Row,
    described,
    entries,
    escaped,
    kind_of,
    reads_and_gives,
    rows_of,
    shown,
    source,
    summary,
    table,
)
from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.hyperparameters import Below1, Count, Fraction, NonNegative, Positive, Repeats, Temperature


def area(image: Any, mask: Any = None, *_others: int, t: Positive = 2.0, by: Literal['a', 'b'] = 'a') -> float:
    """The first line
    of two.

    More.

    Args:
      image, mask: arrays, [batch];
        of one shape.
      t: temperature.
      by: 'a | b'.
    Returns:
      by: not an option.
    """
    return 0.0


@pytest.mark.parametrize(
    ('annotation', 'words'),
    [
        (float, 'number'), (int, 'whole number'), (bool, 'True, False'), (int | None, 'whole number or None'),
        (Positive, 'number greater than 0'), (NonNegative, 'number, 0 or more'), (Fraction, 'number between 0 and 1'),
        (Below1, 'number, at least 0 and less than 1'), (Count, 'whole number, 1 or more'),
        (Repeats, 'whole number, 1 or more, at most 2000'), (Literal['code', 'paper'], "'code', 'paper'"),
        (Temperature, 'number greater than 0, between 1e-6 and 1e6'), (Mapping[str, Any], 'dictionary'),
        (int | Sequence[int], 'whole number or tuple of whole numbers'), (tuple[float, ...], 'tuple of numbers'),
    ],
)  # fmt: skip
def test_a_type_in_words(annotation, words):
    assert kind_of(annotation) == words


def test_rows_have_what_signature_and_docstring_say():
    assert rows_of(area, paths={'mask': 'batch.mask'}) == [
        Row('image', 'path', 'required', 'arrays, [batch]; of one shape'),
        Row('mask', 'path', "`'batch.mask'`", 'arrays, [batch]; of one shape'),
        Row('t', 'number greater than 0', '`2`', 'temperature'),
        Row('by', "'a', 'b'", "`'a'`", "'a | b'"),
    ]
    assert [row.name for row in rows_of(area, left_out=('t', 'by'))] == ['image', 'mask']
    assert summary(area) == 'The first line of two.'


def test_a_parameter_that_is_not_explained_is_an_error():
    def one(*, width: int = 1) -> None:
        """Args: nothing."""

    with pytest.raises(KeyError, match="one: the docstring does not explain 'width'"):
        rows_of(one)


def test_sections_of_a_docstring_end_where_the_next_begins():
    doc = 'x\n\nAttributes:\n  a: one.\n  *rest: two\n      more: three.\nRaises:\n  b: four.'
    assert entries(doc) == {'a': 'one', 'rest': 'two more: three'}


def test_a_described_default_is_code_words_or_nothing():
    options = {
        'a': Described('one', REQUIRED, 'text'), 'b': Described('two', 'that of the run', 'text'),
        'c': Described('three', None), 'd': Described('four', 0.5, 'number'),
    }  # fmt: skip
    assert described(options, {'c': 'whole number'}) == [
        Row('a', 'text', 'required', 'one'), Row('b', 'text', 'that of the run', 'two'),
        Row('c', 'whole number', '–', 'three'), Row('d', 'number', '`0.5`', 'four'),
    ]  # fmt: skip
    assert shown(1e-8) == '`1e-08`'


def test_markdown_shows_the_text_as_it_is():
    assert escaped('a * b | `c * d` <e> ~f g_h _i') == r'a \* b \| `c * d` \<e> \~f g_h \_i'
    assert table([Row('n', 'text', "`'|'`", 'x|y')]).splitlines()[2] == r"| `n` | text | `'\|'` | x\|y |"


def test_what_a_model_reads_and_gives_is_one_line():
    class Net:
        def __call__(self, x):
            """Args: x: [batch].

            Returns:
              logits,
              [batch].
            """

    assert reads_and_gives(Net.__call__) == 'Reads x: [batch]. Gives logits, [batch].'


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('Hinton et al. (2015), section 2. The factor', 'Source: Hinton et al. (2015), section 2.'),
        ('As in Ba & Caruana (2014): z.', 'Source: Ba & Caruana (2014).'),
        ('Sums. Chen et al. (2019, DAFL), equation 6 (entropy).', 'Source: Chen et al. (2019, DAFL), equation 6.'),
        ('Oord et al. (2018), equations 4 and 5.', 'Source: Oord et al. (2018).'),
        ('Nothing (see there) of 2015.\n\nArgs:\n  t: Lee (2018).', ''),
        ('Args:\n  t: Lee (2018).', ''),
    ],
)
def test_the_source_of_a_loss_is_the_paper_that_its_docstring_cites(text, said):
    def loss():
        pass

    loss.__doc__ = f'In the first line, Smith (1999) does not count.\n\n{text}'
    assert source(loss) == said
