"""The descriptions of options that the code and docs/options.md share."""

import pytest

from kd_jax.config.described import REQUIRED, Described
from kd_jax.core import optimizers
from kd_jax.data import splits
from kd_jax.evaluation import evaluations
from kd_jax.prepare import check_analyses, network_options, parse_terms, parse_transform, run_options
from kd_jax.studies import search_space, study
from kd_jax.teacher_cache import cache_options

TABLES = (
    study.STUDY_OPTIONS, run_options.RUN_OPTIONS, run_options.RESOURCES, splits.OPTIONS, parse_terms.TERM_OPTIONS,
    network_options.NETWORK_OPTIONS, optimizers.OURS, evaluations.OPTIONS, check_analyses.OPTIONS,
    cache_options.OPTIONS, parse_transform.TRANSFORM_OPTIONS, search_space.SEARCH_OPTIONS,
)  # fmt: skip


def test_an_option_without_a_default_is_not_an_option_that_must_be_given():
    assert Described('x').default is None
    assert REQUIRED is not None


@pytest.mark.parametrize('options', TABLES)
def test_every_option_has_a_meaning_that_ends_without_a_full_stop(options):
    for name, option in options.items():
        assert len(option.meaning) > 3, name
        assert not option.meaning.endswith('.'), name
