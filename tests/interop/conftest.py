import pytest

from tests.interop.reference_weights import expected_outputs


@pytest.fixture(scope='session')
def expected():
    return expected_outputs()
