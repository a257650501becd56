"""Options of a run: names, types and ranges."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.run_options import check_dictionary, check_options


@pytest.mark.parametrize(
    'config',
    [
        {},
        {'batch_size': 1, 'epochs': 0, 'eval_every': 0.5, 'data': {'label_noise': 1.0, 'valid': 0}},
        {'resources': {'cpu': 2, 'gpu': 0.5}, 'networks': {'a': {}}, 'terms': {}},
        {'data': {'examples': 'result:first.count'}},
    ],
)
def test_what_is_right_passes(config):
    check_options(config, 'here')


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        ({'epoch': 3}, "here: there is no option 'epoch'. Did you mean 'epochs'?"),
        ({'terms': 3}, 'here.terms is 3, but it must be a dictionary.'),
        ({'networks': {'a': 'mlp'}}, "here.networks.a is 'mlp', but it must be a dictionary."),
        ({'data': 'mnist'}, "here.data is 'mnist', but it must be a dictionary."),
        ({'resources': {'gpus': 1}}, "here.resources: there is no 'gpus'. Did you mean 'gpu'?"),
        ({'resources': {'cpu': -1}}, 'here: resources.cpu is -1, but it must be a number, 0 or more.'),
        ({'batch_size': 0}, 'here: batch_size is 0, but it must be a whole number, 1 or more.'),
        ({'batch_size': 2.0}, 'here: batch_size is 2.0, but it must be a whole number, 1 or more.'),
        ({'accumulate': True}, 'here: accumulate is True, but it must be a whole number, 1 or more.'),
        ({'epochs': float('inf')}, 'here: epochs is inf, but it must be a number, 0 or more.'),
        ({'epochs': 'abc'}, "here: epochs is 'abc', but it must be a number, 0 or more."),
        (
            {'epochs': 'result:a.best.epoch'},
            "here: epochs is 'result:a.best.epoch', but it must be a number, 0 or more. Only options of data",
        ),
        ({'batch_size': 'result:a.size'}, "here: batch_size is 'result:a.size', but it must be a whole number"),
        ({'data': {'label_noise': 2.0}}, 'here: data.label_noise is 2.0, but it must be a number, between 0 and 1.'),
        ({'networks': {'a.b': {}}}, "here.networks: 'a.b' cannot be the name of a network"),
        ({'terms': {'a/b': {}}}, "here.terms: 'a/b' cannot be the name of a term"),
        ({'evaluate': {'': {}}}, "here.evaluate: '' cannot be the name of an evaluation"),
        ({'networks': {'batch': {}}}, "here.networks: 'batch' has another meaning in every run; choose another name."),
        ({'terms': {'loss': {}}}, "here.terms: 'loss' has another meaning in every run; choose another name."),
        ({'epochs': 1e30}, 'here: epochs is 1e+30, but it must be a number, at most 1e+09.'),
        ({'batch_size': 2**31}, 'here: batch_size is 2147483648, but it must be a whole number, at most 2.14748e+09.'),
        (
            {'data': {'workers': 10**6}},
            'here: data.workers is 1000000, but it must be a whole number, between 0 and 256.',
        ),
        ({'eval_every': 0}, 'here: eval_every is 0, but it must be a number, greater than 0.'),
        ({'data': {'valid': None}}, 'here: data.valid is None, but it must be a whole number, 0 or more.'),
    ],
)
def test_a_mistake_is_one_sentence(config, said):
    with pytest.raises(UserError) as error:
        check_options(config, 'here')
    assert str(error.value).startswith(said)


def test_a_dictionary_is_returned_as_it_is():
    options = {'a': 1}
    assert check_dictionary(options, 'here') is options
