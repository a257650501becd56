"""A work directory without any run."""

import pytest

from kd_jax.studies.workdir import Workdir


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / 'results').mkdir()
    return Workdir(tmp_path)
