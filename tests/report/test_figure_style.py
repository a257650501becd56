"""The places of labels."""

import pytest

from kd_jax.report.figure_style import spread


def test_labels_are_pushed_apart_and_stay_centred():
    assert spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])
    assert spread([0.50, 0.55, 0.62], 0.1) == pytest.approx([0.4567, 0.5567, 0.6567], abs=1e-4)
