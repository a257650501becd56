"""Every part runs on a CPU, with small networks and few steps."""

import math

import pytest

from benchmarks import cache, sweep
from benchmarks.accelerator import parts


@pytest.fixture(autouse=True)
def once(monkeypatch):
    monkeypatch.setattr(parts, 'REPEATS', 1)


def rows_of(lines):
    rows = [line['row'] for line in lines if 'row' in line]
    assert all(len(row['seconds']) == 1 and math.isfinite(row['seconds'][0]) for row in rows)
    return {row['what'] if row['images'] else row['dtype']: row for row in rows}


def test_versions_devices_and_the_rate_of_a_product():
    facts, *lines = list(parts.environment(tiny=True))
    assert facts['facts']['hardware']['backend'] == 'cpu'
    assert facts['facts']['versions']['jax']
    assert {name: row['flops'] for name, row in rows_of(lines).items()} == dict.fromkeys(
        ('bfloat16', 'float32'), 2 * 2 * 64**3
    )


def test_a_step_counts_the_teacher_once_and_the_student_three_times():
    row = next(parts.steps('resnet-bfloat16', tiny=True))['row']
    assert (row['what'], row['dtype']) == ('live teacher', 'bfloat16')
    # Multiply-adds for an image of 32 x 32: stem; three units of two convolutions; two shortcuts; 100 classes.
    stem, of_16, of_32, of_64 = 32 * 32 * 27 * 16, 32 * 32 * 9 * 16**2, 16 * 16 * 9 * 32**2, 8 * 8 * 9 * 64**2
    units = 2 * of_16 + 1.5 * of_32 + 1.5 * of_64  # the first convolution of two units has half as many channels
    forward = stem + units + 16 * 16 * 16 * 32 + 8 * 8 * 32 * 64 + 64 * 100
    assert row['flops'] == 2 * 4 * (4 * forward - stem)  # no gradient for the images


def test_on_a_card_the_shapes_are_those_of_imagenet():
    name, pair = parts.pair_of('resnet-float32', tiny=False)
    assert (name, pair.image, pair.config['compute_dtype']) == ('ResNet-50 to ResNet-18', (224, 224, 3), 'float32')
    assert [net['depth'] for net in pair.config['networks'].values()] == [50, 18]


def test_runs_in_a_group_do_the_same_work_as_one_after_another(monkeypatch):
    leave_out(monkeypatch, sweep.BATCHINGS, 'grouped, map')
    alone, grouped = rows_of(parts.sweep(tiny=True)).values()
    assert (alone['what'], grouped['what']) == ('one after another', 'grouped, vmap')
    assert alone['flops'] == grouped['flops'] > 0
    assert alone['images'] == grouped['images'] == 2 * 128


def test_the_pipeline_of_training_reads_a_recorded_teacher(monkeypatch):
    leave_out(monkeypatch, cache.SIDES, 'cached, in memory')
    live, cached = rows_of(parts.cache(tiny=True)).values()
    assert (live['what'], cached['what']) == ('live teacher', 'cached, batch by batch')
    teacher = 2 * 128 * (784 * 1200 + 1200 * 1200 + 1200 * 10)
    assert live['flops'] - cached['flops'] == 2 * teacher  # two steps


def leave_out(monkeypatch, sides, name):
    """Each side of a comparison takes seconds to compile."""
    assert name in sides
    monkeypatch.delitem(sides, name)
