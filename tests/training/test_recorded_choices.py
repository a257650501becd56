"""A study that is tried again on the same machine takes the recorded choice between `vmap` and `lax.map`."""

import types

import jax
import pytest

from kd_jax.training import vmap_or_map
from kd_jax.training.recorded_choices import record_choice, record_path, recorded_choice
from kd_jax.training.stacked_runs import Shared


@pytest.fixture
def kept(tmp_path):
    """The directory of compiled programs."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update('jax_compilation_cache_dir', str(tmp_path / 'xla'))
    yield tmp_path
    jax.config.update('jax_compilation_cache_dir', before)


def test_the_first_choice_holds_and_a_damaged_record_does_not(kept):
    path = record_path('program')
    assert recorded_choice(path) == ''
    assert record_choice(path, 'map') == 'map'
    assert record_choice(path, 'vmap') == 'map'
    assert recorded_choice(path) == 'map'
    path.write_text('nonsense')
    assert recorded_choice(path) == ''
    assert record_choice(path, 'vmap') == 'vmap'
    assert recorded_choice(path) == 'vmap'
    assert list(path.parent.iterdir()) == [path]


def test_a_program_is_known_again_by_what_it_is_and_not_by_where_it_lies_in_memory(kept):
    def made():
        def loss():
            pass

        return loss

    assert record_path({'loss': made(), 'size': 2}) == record_path({'loss': made(), 'size': 2})
    assert record_path({'loss': made(), 'size': 2}) != record_path({'loss': made(), 'size': 3})


def test_where_no_compiled_programs_are_kept_nothing_is_recorded(kept):
    jax.config.update('jax_compilation_cache_dir', None)
    assert record_path('program') is None
    assert record_choice(None, 'vmap') == 'vmap'
    assert recorded_choice(None) == ''


def test_a_cache_that_cannot_be_written_is_no_error(kept):
    (kept / 'vmap_or_map').write_text('a file in the way')
    assert record_choice(record_path('program'), 'vmap') == 'vmap'


def test_a_repeated_study_takes_the_recorded_way_whatever_the_clock_says(kept, monkeypatch):
    clock = ['vmap', 'map']  # the second try, in a new process, would find the other one faster
    monkeypatch.setattr(vmap_or_map, 'program_identity', lambda config, where: config)
    monkeypatch.setattr(vmap_or_map, 'faster_of_both', lambda key, trial: clock.pop(0))

    def choose(epochs):
        prepared = types.SimpleNamespace(
            config={'epochs': epochs}, where='', total_steps=1000, mesh=types.SimpleNamespace(shape={'stack': 1}),
            convolves_on_cpu=False,
        )  # fmt: skip
        runs = [
            types.SimpleNamespace(prepared=prepared, position={'grouped': []}, ended=False, step=0) for _ in range(2)
        ]
        by = vmap_or_map.choose_vmap_or_map(runs, types.SimpleNamespace(shared=Shared(frozenset('ab'))), 'auto')
        assert all(run.position['grouped'] == [{'from_step': 0, 'by': by, 'runs': 2}] for run in runs)
        return by

    assert [choose(1), choose(1), choose(2), choose(1)] == ['vmap', 'vmap', 'map', 'vmap']
    assert clock == []
