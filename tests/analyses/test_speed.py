"""How fast a network is, by a clock of the test."""

import time

import pytest

from kd_jax.analyses.speed import speed
from kd_jax.config.errors import UserError


@pytest.fixture
def seconds(monkeypatch):
    """The seconds that each prediction takes; the first one compiles."""
    taken, now = [90.0, 4.0, 2.0, 8.0], [0.0]
    monkeypatch.setattr(time, 'perf_counter', lambda: now[0])

    def predict(count):
        now[0] += taken.pop(0)
        return range(min(count, 100))

    return predict, taken


def test_the_fastest_pass_counts_and_compilation_does_not(seconds):
    predict, left = seconds
    # 100 examples, although 256 were asked for, in 2 seconds
    assert speed({'test': predict}, repeats=3) == {'examples_per_second': 50.0, 'seconds': 2.0, 'examples': 100}
    assert not left


def test_a_split_that_is_not_there_is_one_sentence(seconds):
    with pytest.raises(UserError, match=r"speed: output has no split 'test'; it has valid\."):
        speed({'valid': seconds[0]})
