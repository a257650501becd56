"""Names of runs and networks."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.config.names import LONGEST, check_name


@pytest.mark.parametrize('name', ['student', 'T', 'ü', 'a b', 't4_lr0_1', '[16, 8]', '-x', 'x~', 'n' * LONGEST])
def test_ordinary_names_pass(name):
    check_name(name, 'run', 'here')


@pytest.mark.parametrize(
    ('name', 'better'),
    [
        ('a.b', 'a_b'), ('/etc/a', '_etc_a'), ('../a', '___a'), ('a@best', 'a_best'), ('a\nb', 'a_b'),
        ('a\x1b[1mb', 'a_[1mb'), ('~peer', 'peer'), ('', 'my_run'), (' ', 'my_run'), ('.', 'my_run'), ('..', 'my_run'),
        ('\ud800', 'my_run'), ('n' * 300, 'n' * LONGEST), ('ü' * 150, 'ü' * 100),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_the_name_of_a_file_is_refused_with_a_better_one(name, better):
    with pytest.raises(UserError, match=r'here: .* cannot be the name of a run: names are parts') as error:
        check_name(name, 'run', 'here')
    assert str(error.value).endswith(f'write, for example, {better!r}.')
    check_name(better, 'run', 'here')


def test_a_name_is_a_string():
    with pytest.raises(UserError, match='here: the name of a network is 3, but it must be a string'):
        check_name(3, 'network', 'here')


def test_the_name_of_a_study_may_have_dots_inside_but_lead_nowhere():
    check_name('study_1.5', 'study', 'here', dots=True)
    for name in ('..', '.', '/tmp/x', '../x'):
        with pytest.raises(UserError, match='cannot be the name of a study'):
            check_name(name, 'study', 'here', dots=True)
