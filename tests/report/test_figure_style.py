"""The places of labels."""

import pytest

from kd_jax.report.figure_style import file_stem, power_of_ten, spread


def test_labels_are_pushed_apart_and_stay_centred():
    assert spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])
    assert spread([0.50, 0.55, 0.62], 0.1) == pytest.approx([0.4567, 0.5567, 0.6567], abs=1e-4)


def test_a_figure_that_no_report_named_has_a_name_for_a_file():
    assert file_stem('sweep-terms.soft.t-../x y') == 'sweep-terms-soft-t-x-y'


def test_a_tick_at_a_power_of_ten_is_written_as_one():
    assert [power_of_ten(tick) for tick in (1.0, 0.01, 1e-12, 1000.0, 0.02, 0.0)] == [
        '10⁰',
        '10⁻²',
        '10⁻¹²',
        '10³',
        '',
        '',
    ]
