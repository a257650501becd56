"""Names sorted by what they need."""

import pytest

from kd_jax.config.dependency_order import in_dependency_order
from kd_jax.config.errors import UserError


def test_a_name_comes_after_all_that_it_needs():
    needs = {'student': ['teacher', 'hint'], 'hint': ['teacher'], 'teacher': []}
    assert in_dependency_order(needs, '') == ['teacher', 'hint', 'student']


def test_names_that_are_ready_together_keep_their_order_and_unknown_needs_are_ignored():
    assert in_dependency_order({'z': ['batch'], 'c': ['z'], 'a': []}, '') == ['z', 'a', 'c']


@pytest.mark.parametrize('needs', [{'a': ['b'], 'b': ['a'], 'c': []}, {'b': ['a'], 'a': ['b'], 'c': []}])
def test_a_circle_is_refused_with_its_names(needs):
    with pytest.raises(UserError, match=r'^a, b read each other$'):
        in_dependency_order(needs, '{} read each other')


def test_a_name_that_needs_itself_is_a_circle():
    with pytest.raises(UserError, match=r'^a reads itself$'):
        in_dependency_order({'a': ['a']}, '{} reads itself')
