"""Errors inside models and losses become sentences."""

import jax
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.forward import ReturnsNoArrays
from kd_jax.core.paths import Path
from kd_jax.core.shape_errors import explain_shape_errors, shown_paths


def test_paths_are_shown_with_their_shapes():
    context = {'batch': {'label': jax.ShapeDtypeStruct((4,), 'int32')}, 'a': {'x': jax.ShapeDtypeStruct((4, 2), 'f4')}}
    assert shown_paths([Path('a', 'x'), Path('batch', 'label')], context) == 'a.x [4, 2], batch.label [4]'


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (ValueError('shapes\ndiffer.'), r'^the term does not fit: ValueError: shapes \(tests.*, line \d+\)\.$'),
        (KeyError('x'), r"^the term does not fit: KeyError: 'x' \(tests.*, line \d+\)\.$"),
        (ZeroDivisionError('by zero'), r'by zero \(tests.*\); does a layer have size 0\?$'),
        (SystemExit(3), r'^the term does not fit: SystemExit: 3 \(tests.*, line \d+\)\.$'),
        (
            TypeError("f() got an unexpected keyword argument 'train'"),
            r'declare __call__\(self, x, \*, train=False\)\.$',
        ),
        (UserError('the mask has another shape.'), r'^the term does not fit: the mask has another shape\.$'),
    ],
)
def test_an_error_becomes_one_sentence_that_starts_with_the_message(error, said):
    with pytest.raises(UserError, match=said), explain_shape_errors('the term does not fit'):
        raise error


def test_what_a_model_returns_is_not_a_matter_of_shapes():
    with pytest.raises(ReturnsNoArrays, match=r'^a tuple$'), explain_shape_errors('the model does not take'):
        raise ReturnsNoArrays('a tuple')
