"""What is known of a result before training."""

import pytest

from kd_jax.report.expected_results import why_not_expected
from tests.report.conftest import STATED

CONFIG = {'terms': {'soft': {'t': 4.0}}, 'shares': ('result:a.seconds', None, [{'deep': 1}])}
EXPECTED = {
    'config': CONFIG, 'metrics': {'net': STATED}, 'analysis_units': {'dark': {}}, 'examples': {'train': 9, 'test': 5},
}  # fmt: skip


@pytest.mark.parametrize(
    'path',
    [
        'seconds', 'oversampling', 'parameters.net', 'config', 'config.terms.soft.t', 'config.shares.2.0.deep',
        'last.test.net.errors', 'test.net.errors', 'analyses.dark.anything', 'history.0.test.net.nll',
        'config.shares.0.1',  # taken from another result: not known yet
        'config.shares.1.more',  # no value, which a report shows as a gap
    ],
)  # fmt: skip
def test_a_value_that_the_result_will_have_or_may_have(path):
    assert why_not_expected(EXPECTED, path) == ''


@pytest.mark.parametrize(
    ('path', 'said'),
    [
        ('second', "Did you mean 'seconds'?"),
        ('config.term.soft.t', "Its config has no 'term' there. Did you mean 'terms'?"),
        ('config.terms.soft.t.x', "Its config has no 'x' there. Known: none."),
        ('config.shares.3', "Its config has no '3' there. Known: 0, 1, 2."),
        ('last.test.nte.errors', "Did you mean 'last.test.net.errors'?"),
        ('last.valid.net.errors', 'Its data has no such split. Known: train, test.'),
        (
            'best.test.net.errors',
            'The best epoch is that on validation examples, and the run has none: set data.valid.',
        ),
        ('analyses.drak', "Did you mean 'analyses.dark'?"),
    ],
)
def test_a_value_that_the_result_will_not_have(path, said):
    assert why_not_expected(EXPECTED, path).startswith(said)
