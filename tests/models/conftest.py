import pytest


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
    """All modules here are such."""
