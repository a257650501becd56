"""Units that analyses state."""

from kd_jax import analyses
from kd_jax.analyses.units import states_units, units_of


def test_a_stated_unit_belongs_to_the_analysis_and_changes_nothing_else():
    @states_units(errors='count', accuracy='fraction')
    def analysis(x):
        return {'errors': x}

    assert units_of(analysis) == {'errors': 'count', 'accuracy': 'fraction'}
    assert analysis(3) == {'errors': 3}


def test_an_analysis_that_states_nothing_has_no_units():
    assert units_of(lambda x: x) == {}


def test_every_unit_of_our_analyses_is_one_that_reports_know():
    stated = {unit for name in analyses.__all__ for unit in units_of(getattr(analyses, name)).values()}
    assert 'fraction' in stated
    assert stated <= {'count', 'fraction', 'nats', 'number', 'seconds'}
