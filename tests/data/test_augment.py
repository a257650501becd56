import functools

import jax
import numpy as np
import pytest

from kd_jax.data import augment, pipeline

jitter = jax.jit(augment.jitter, static_argnames='pixels')
SHIFTS = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]


def shifted(image, down, right):
    """The image moved by loops, zeros where nothing moves in."""
    out = np.zeros_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if 0 <= i - down < image.shape[0] and 0 <= j - right < image.shape[1]:
                out[i, j] = image[i - down, j - right]
    return out


@pytest.mark.parametrize('shape', [(5, 6), (5, 6, 3)])
def test_an_image_moves_as_a_whole_and_zeros_move_in(shape):
    image = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    keys = jax.random.split(jax.random.key(0), 20)
    for moved in np.asarray(jitter(np.stack([image] * 20), keys, pixels=2)):
        assert sum(np.array_equal(moved, shifted(image, *shift)) for shift in SHIFTS) == 1


def test_all_shifts_are_equally_likely():
    dot = np.zeros((5000, 5, 5), np.float32)
    dot[:, 2, 2] = 1.0
    keys = augment.example_keys(jax.random.key(1), 0, np.arange(5000))
    counts = np.asarray(jitter(dot, keys, pixels=2)).sum(axis=0)
    # 200 expected in each of the 25 places, with a standard deviation of 14.
    assert counts.sum() == 5000
    assert np.all(np.abs(counts - 200) < 70)


BATCH = {
    'image': np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8),
    'label': np.arange(40),
    'id': np.arange(100, 140, dtype=np.int32),
}
view = jax.jit(functools.partial(pipeline.view, jitter=2))


def seen(rows, seed=0, epoch=0):
    return np.asarray(
        view({name: a[rows] for name, a in BATCH.items()}, jax.random.key(seed), np.int32(epoch))['image']
    )


def test_a_view_depends_on_seed_epoch_and_example_alone():
    first, second = np.arange(0, 30), np.random.default_rng(1).permutation(40)[:30]
    views = dict(zip(first, seen(first), strict=True))
    shared = [(views[row], image) for row, image in zip(second, seen(second), strict=True) if row in views]
    assert len(shared) >= 20
    for one, other in shared:
        np.testing.assert_array_equal(one, other)


def test_another_seed_or_epoch_gives_other_views():
    rows = np.arange(30)
    for other in (seen(rows, seed=1), seen(rows, epoch=1)):
        changed = np.any(seen(rows) != other, axis=(1, 2))
        # One in 25 keeps its shift by chance.
        assert changed.mean() > 0.7


def test_images_are_seen_between_0_and_1_and_in_place_without_jitter():
    plain = pipeline.view(BATCH, jax.random.key(0), 0, 0)
    np.testing.assert_allclose(plain['image'], BATCH['image'] / 255, rtol=1e-6)
    np.testing.assert_array_equal(plain['label'], BATCH['label'])
    floats = {**BATCH, 'image': np.full((2, 3, 3), 7.0, np.float32)}
    np.testing.assert_array_equal(pipeline.plain_view(floats)['image'], floats['image'])
