"""An exported program is compared with what its study measured."""

import dataclasses

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.interop.stablehlo import flat_weights, network_program
from kd_jax.studies.check_export import check_program
from kd_jax.studies.evaluated_network import one_copy
from tests.studies.test_evaluated_network import opened


@pytest.fixture
def test_split(chain_study):
    with np.load(chain_study / 'data.npz') as file:
        return {'test': {name[5:]: file[name] for name in file.files if name.startswith('test_')}}


def compared(found, arrays, change=lambda out: out):
    copies = [one_copy(found, i) for i in range(found.network.copies)] or [found]
    program = network_program(copies[0].networks, copies[0].owners, copies[0].variables, found.path)
    weights = [flat_weights(copy.owners, copy.variables) for copy in copies]
    return check_program(found, lambda *inputs: change(program(*inputs)), weights, arrays)


@pytest.mark.parametrize('name', ['simkd', 'average', 'second', 'depth', 'tags'])
@pytest.mark.parametrize('checkpoint', ['last', 'best'])
def test_the_program_measures_what_the_study_says(name, checkpoint, chain_study, test_split):
    assert compared(opened(chain_study, name, checkpoint), test_split).startswith('checked: ')


@pytest.mark.parametrize('name', ['simkd', 'second', 'depth', 'tags'])
def test_a_program_that_measures_something_else_is_refused(name, chain_study, test_split):
    with pytest.raises(UserError, match=r'the exported program measures .* on test, but the study says'):
        compared(opened(chain_study, name), test_split, lambda out: -out)


def test_the_weights_of_the_best_evaluation_do_not_pass_for_the_last(chain_study, test_split):
    best = opened(chain_study, 'pair', 'best')
    last = dataclasses.replace(best, checkpoint='last')
    assert compared(best, test_split) == 'checked: 10 errors on test, as in the study'
    with pytest.raises(UserError, match='measures 10 errors on test, but the study says 16 errors, so nothing was'):
        compared(last, test_split)


def test_what_cannot_be_compared_says_so(chain_study):
    found = opened(chain_study, 'simkd')
    assert compared(found, {}) == 'not checked: the result states no number of a split that the data has'
