"""Checkpoints of two steps."""

import pytest

from kd_jax.training.checkpoints import Checkpoints
from tests.training.saved_states import position, state


@pytest.fixture
def saved(tmp_path):
    """A directory with the checkpoints of steps 1 and 2."""
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    for step in (1, 2):
        checkpoints.save(state(step), position(step))
    checkpoints.close()
    return tmp_path
