"""Rates of made-up rows, worked out by hand."""

import pytest

from benchmarks.accelerator.peaks import PEAKS, Peak
from benchmarks.accelerator.rates import as_text, with_rates

OURS = {
    'of': 'net', 'what': 'live teacher', 'library': 'kd_jax', 'dtype': 'bfloat16', 'steps': 4, 'images': 10,
    'flops': 6e12, 'seconds': [9.0, 2.0, 1.0],
}  # fmt: skip
THEIRS = {**OURS, 'library': 'PyTorch', 'flops': None, 'seconds': [4.0]}
PEAK = Peak(12e12, 6e12, 'made up')


def test_rates_are_those_of_the_median():
    (row,) = with_rates([OURS], PEAK)  # 4 steps in 2 s
    assert (row['ms a step'], row['images/s'], row['TFLOP/s'], row['share of peak']) == (500, 20, 3, 0.25)
    assert row['times PyTorch'] is None


def test_pytorch_is_held_against_the_same_work():
    ours, theirs = with_rates([OURS, THEIRS], PEAK)
    assert (theirs['images/s'], theirs['TFLOP/s'], theirs['share of peak']) == (10, 1.5, 0.125)
    assert (ours['times PyTorch'], theirs['times PyTorch']) == (2, None)


def test_rows_of_another_precision_or_teacher_are_not_compared():
    for other in ({'dtype': 'float32'}, {'what': 'cached teacher'}, {'of': 'other net'}):
        ours, theirs = with_rates([OURS, {**THEIRS, **other}], PEAK)
        assert ours['times PyTorch'] is None
        assert theirs['TFLOP/s'] is None
    assert with_rates([{**OURS, 'dtype': 'float32'}], PEAK)[0]['share of peak'] == 0.5


def test_an_unknown_card_has_rates_and_no_share():
    (row,) = with_rates([OURS], None)
    assert (row['TFLOP/s'], row['share of peak']) == (3, None)
    assert as_text([row]).splitlines()[1].split()[-4:] == ['20', '3', '–', '–']


def test_peaks_are_dense_and_tf32_has_half_the_rate_of_bfloat16():
    assert all(peak.bfloat16 / peak.float32 == pytest.approx(2, rel=0.02) for peak in PEAKS.values())
    assert max(peak.bfloat16 for peak in PEAKS.values()) < 1000e12  # 1,979 is NVIDIA's figure with sparsity
