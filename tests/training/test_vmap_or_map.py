"""Tests of the choice between `vmap` and `lax.map`, with a fake clock that only the trials advance."""

import pytest

from kd_jax.training import vmap_or_map
from kd_jax.training.vmap_or_map import faster_of_both


@pytest.fixture
def clock(monkeypatch):
    """A fake clock that only `trials` advance."""
    now = [0.0]
    monkeypatch.setattr(vmap_or_map, '_fastest', [])
    monkeypatch.setattr(vmap_or_map.time, 'monotonic', lambda: now[0])
    return now


def trials(clock, compiling=1.0, temporary=10, **seconds):
    """A fake argument `trial` of `faster_of_both`, and the list of what it compiled.

    Args:
      clock: the fake clock.
      compiling: seconds that each compilation takes.
      temporary: bytes of temporary memory.
      **seconds: for 'vmap' and 'map', the seconds of one call for training steps and one for evaluation.
    """
    tried = []

    def trial(by):
        def part(number):
            clock[0] += seconds[by][number]

        clock[0] += compiling
        tried.append(by)
        return vmap_or_map.Trial(temporary, [(lambda: part(0), 100), (lambda: part(1), 5)])

    return trial, tried


def test_the_faster_way_is_the_one_that_takes_less_time_for_steps_and_evaluations_and_is_measured_once(clock):
    assert faster_of_both('a', trials(clock, vmap=(1.0, 9.0), map=(2.0, 9.0))[0]) == 'vmap'
    assert faster_of_both('b', trials(clock, vmap=(1.0, 9.0), map=(0.5, 9.0))[0]) == 'map'
    assert faster_of_both('c', trials(clock, vmap=(1.0, 9.0), map=(0.5, 18.0))[0]) == 'map'
    assert faster_of_both('d', trials(clock, vmap=(1.0, 9.0), map=(0.5, 19.1))[0]) == 'vmap'
    trial, tried = trials(clock, vmap=(1.0, 9.0), map=(0.5, 9.0))
    assert faster_of_both('a', trial) == 'vmap'
    assert tried == []


def test_vmap_is_not_compiled_where_that_would_take_longer_than_it_saves(clock):
    trial, tried = trials(clock, compiling=60.0, vmap=(0.1, 0.1), map=(1.0, 4.0))  # 100 * 1 + 5 * 4 = 2 * 60
    assert faster_of_both('a', trial) == 'map'
    assert tried == ['map']
    trial, tried = trials(clock, compiling=60.0, vmap=(0.1, 0.1), map=(1.0, 4.1))
    assert faster_of_both('b', trial) == 'vmap'


def test_vmap_is_not_run_where_it_needs_too_much_memory(clock):
    trial, tried = trials(clock, temporary=vmap_or_map.TEMPORARY_BYTES + 1, map=(1.0, 1.0))
    assert faster_of_both('a', trial) == 'map'
    assert tried == ['map', 'vmap']
