"""Paths: how they are written, what they read, and what is said of one that does not exist."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.paths import Path, check_paths, parse_paths, read_path


def test_a_list_of_paths_is_stacked_on_a_new_leading_axis():
    context = {'a': {'x': jnp.zeros((2, 3))}, 'b': {'x': jnp.ones((2, 3))}}
    read = read_path(context, (Path('a', 'x'), Path('b', 'x')))
    np.testing.assert_array_equal(read[:, 0, 0], [0.0, 1.0])


@pytest.mark.parametrize(
    ('text', 'path'),
    [
        ('batch.label', Path('batch', 'label')),
        ('~peer.block1.out', Path('peer', 'block1.out', stop=True)),
    ],
)
def test_a_path_is_written_as_it_is_read(text, path):
    assert Path.parse(text, 'here') == path
    assert str(path) == text


def test_several_paths_are_a_tuple():
    assert parse_paths('a.x', 'here') == Path('a', 'x')
    assert parse_paths(['a.x', '~b.x'], 'here') == (Path('a', 'x'), Path('b', 'x', stop=True))


@pytest.mark.parametrize('wrong', ['logits', 3, None])
def test_what_is_no_path_is_refused(wrong):
    with pytest.raises(UserError) as error:
        Path.parse(wrong, 'here')
    assert str(error.value) == f"here: a path looks like 'student.logits' or 'batch.label', not {wrong!r}."


@pytest.mark.parametrize(('stop', 'slope'), [(False, 6.0), (True, 0.0)])
def test_no_gradient_passes_a_stopped_path(stop, slope):
    def squared(x):
        return read_path({'a': {'x': x}}, Path('a', 'x', stop)) ** 2

    assert jax.grad(squared)(3.0) == slope


def test_a_path_that_does_not_exist_is_told_with_the_nearest_and_all_known_ones():
    context = {'batch': {'label': 0}, 'student': {'logits': 0}}
    check_paths([Path('student', 'logits', stop=True)], context, 'here')
    for path, nearest in ((Path('student', 'logit'), 'student.logits'), (Path('bacth', 'label'), 'batch.label')):
        with pytest.raises(UserError) as error:
            check_paths([path], context, 'here')
        said = f"here reads '{path}', which does not exist. Did you mean '{nearest}'? "
        assert str(error.value) == said + 'Known: batch.label, student.logits.'
