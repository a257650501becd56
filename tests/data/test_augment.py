import functools
import re

import jax
import numpy as np
import pytest
import scipy.stats

from kd_jax.config.errors import UserError
from kd_jax.data import augment
from kd_jax.data.augment import parse_augmentations, place_moves
from kd_jax.data.batches import evaluation_view, training_view

crop = jax.jit(augment.crop, static_argnames='padding')
flip = jax.jit(augment.flip)
mix = jax.jit(augment.mix, static_argnames=('mixup', 'cutmix'))
SHIFTS = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]


def shifted(image, down, right):
    """Shifts the image with plain loops and fills with zeros."""
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
    for moved in np.asarray(crop(np.stack([image] * 20), keys, padding=2)):
        assert sum(np.array_equal(moved, shifted(image, *shift)) for shift in SHIFTS) == 1


def test_all_shifts_are_equally_likely():
    dot = np.zeros((5000, 5, 5), np.float32)
    dot[:, 2, 2] = 1.0
    keys = augment.example_keys(jax.random.key(1), 0, np.arange(5000))
    counts = np.asarray(crop(dot, keys, padding=2)).sum(axis=0)
    # 200 expected in each of the 25 places, with a standard deviation of 14.
    assert counts.sum() == 5000
    assert np.all(np.abs(counts - 200) < 70)


def test_every_second_image_is_flipped_and_twice_is_not_at_all():
    images = np.random.default_rng(0).normal(size=(5000, 2, 3, 2)).astype(np.float32)
    keys = augment.example_keys(jax.random.key(1), 0, np.arange(5000))
    flipped = np.asarray(flip(images, keys))
    changed = np.any(flipped != images, axis=(1, 2, 3))
    # 2500 expected, with a standard deviation of 35.
    assert abs(changed.sum() - 2500) < 140
    np.testing.assert_array_equal(flipped[changed], images[changed][:, :, ::-1])
    np.testing.assert_array_equal(flip(flipped, keys), images)


def mixed(count=2000, size=(32, 32, 1), seed=0, **alphas):
    """Mixes images that hold their own index; returns images, mixed images, and the share each keeps of its class."""
    images = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None, None], (count, *size))
    target = np.eye(2, dtype=np.float32)[np.arange(count) % 2]
    keys = augment.example_keys(jax.random.key(seed), 0, np.arange(count))
    out, target = (np.asarray(a) for a in mix(images, target, keys, **alphas))
    np.testing.assert_allclose(target.sum(axis=1), 1.0, rtol=1e-6)
    return images, out, target[np.arange(count), np.arange(count) % 2]


def test_mixup_is_the_convex_combination_of_neighbours_in_the_share_of_their_labels():
    images, out, share = mixed(mixup=0.4)
    share = share[:, None, None, None]
    np.testing.assert_allclose(out, share * images + (1 - share) * np.roll(images, 1, axis=0), rtol=1e-5)


def test_the_share_of_mixup_follows_its_beta_distribution():
    share = mixed(mixup=0.4)[2]
    # Beta(a, a) is symmetric about 1/2. A right distribution fails the Kolmogorov-Smirnov test for 1 seed in 1000.
    assert scipy.stats.kstest(share, scipy.stats.beta(0.4, 0.4).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(1 - share, scipy.stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_cutmix_puts_one_box_of_the_neighbour_in_the_share_of_its_label():
    images, out, share = mixed(cutmix=1.0)
    foreign = (out != images)[..., 0]
    np.testing.assert_array_equal(out[..., 0][foreign], np.roll(images, 1, axis=0)[..., 0][foreign])
    np.testing.assert_array_equal(share, np.float32(1) - foreign.sum(axis=(1, 2), dtype=np.float32) / np.float32(1024))
    rows, columns = foreign.any(axis=2), foreign.any(axis=1)
    np.testing.assert_array_equal(foreign, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):
        assert np.all(np.abs(np.diff(np.pad(side, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1) <= 2)
    # Some boxes reach each border, so they are not all in the middle.
    assert all(foreign[:, row, column].any() for row in (0, -1) for column in (0, -1))


def test_boxes_of_cutmix_cover_what_the_beta_distribution_leaves_before_they_are_cut_off():
    out = mixed(cutmix=1.0)[1]
    foreign = out[..., 0] != np.arange(2000)[:, None, None]
    high, wide = foreign.any(axis=2).sum(axis=1), foreign.any(axis=1).sum(axis=1)
    # A side is 32 r with r = sqrt(1 - s) and s uniform, and its centre is uniform. The mean length inside the image is
    # 32 (r - r^2 / 4), integrated over the centre by hand; E r = 2/3 and E r^2 = 1/2.
    for side in (high, wide):
        assert abs(side.mean() / 32 - (2 / 3 - 1 / 8)) < 0.04


def test_with_mixup_and_cutmix_each_image_is_mixed_one_way():
    images, out, share = mixed(mixup=1.0, cutmix=1.0)
    neighbours = np.roll(images, 1, axis=0)
    cut = np.all((out == images) | (out == neighbours), axis=(1, 2, 3))
    # 1000 expected, with a standard deviation of 22.
    assert abs(cut.sum() - 1000) < 90
    share = share[~cut][:, None, None, None]
    np.testing.assert_allclose(out[~cut], share * images[~cut] + (1 - share) * neighbours[~cut], rtol=1e-5)


BATCH = {
    'image': np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8),
    'label': np.arange(40),
    'id': np.arange(100, 140, dtype=np.int32),
}
view = jax.jit(functools.partial(training_view, options={'crop': 2, 'flip': True}, num_classes=40))


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
        # By chance, 1 image in 50 gets the same shift and flip again.
        assert changed.mean() > 0.7


def test_an_example_keeps_its_share_of_a_mixture_wherever_it_stands_in_the_batch():
    draw = jax.jit(functools.partial(training_view, options={'mixup': 1.0, 'cutmix': 1.0}, num_classes=40))
    shares = []
    for rows in (np.arange(40), np.random.default_rng(1).permutation(40)):
        batch = {name: a[rows] for name, a in BATCH.items()}
        target = np.asarray(draw(batch, jax.random.key(0), np.int32(3))['target'])
        shares.append(dict(zip(batch['id'].tolist(), target[np.arange(40), batch['label']].tolist(), strict=True)))
    assert shares[0] == shares[1]
    assert len(set(shares[0].values())) > 20


def test_half_of_the_images_that_a_crop_moved_right_are_flipped():
    batch = {'image': np.zeros((4000, 3, 3), np.float32), 'label': np.zeros(4000, int), 'id': np.arange(4000)}
    batch['image'][:, 1, 1] = 1.0
    batch['label'][::2] = 1
    options = {'crop': 1, 'flip': True}
    out = np.asarray(training_view(batch, jax.random.key(0), 0, options, 2)['image'])
    alone = np.asarray(training_view(batch, jax.random.key(0), 0, {'crop': 1}, 2)['image'])
    right = alone[:, :, 2].any(axis=1)
    assert 1200 < right.sum() < 1467
    flipped = out[right][:, :, 0].any(axis=1)
    # Half of the images that moved right are flipped: 667 expected, with a standard deviation of 18.
    assert abs(flipped.mean() - 0.5) < 0.06


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'flp': True}, "c: there is no augmentation 'flp'. Did you mean 'flip'?"),
        ({'crop': 1.5}, 'c.crop is 1.5, but it must be a whole number.'),
        ({'crop': True}, 'c.crop is True, but it must be a whole number.'),
        ({'flip': 1}, 'c.flip is 1, but it must be True or False.'),
        ({'crop': -1}, 'c.crop is -1, but it must be between 0 and 1000.'),
        ({'mixup': 'a'}, "c.mixup is 'a', but it must be a number."),
        ({'mixup': float('nan')}, 'c.mixup is nan, but it must be between 0 and 1000.'),
        ({'resized_crop': 2}, 'c.resized_crop is 2, but it must be between 0 and 1.'),
        ('crop', "c is 'crop', but it must be a dictionary"),
    ],
)
def test_wrong_augmentations_are_refused(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse_augmentations(options, 'c')


MAPS = {
    'image': BATCH['image'],
    'mask': BATCH['image'].astype(np.int32) % 3,
    'depth': BATCH['image'][..., None] / np.float32(7),
    'small': np.zeros((40, 3, 3)),
    'vector': np.zeros((40, 6)),
    'id': BATCH['id'],
}


def test_arrays_of_the_height_and_width_of_the_image_move_with_it_unless_moves_names_others():
    on = {'crop': 2}
    assert place_moves(on, MAPS, 'c') == {'crop': 2, 'moves': {'mask': 0, 'depth': 0}}
    assert place_moves({**on, 'moves': ('mask',)}, MAPS, 'c') == {'crop': 2, 'moves': {'mask': 0}}
    assert place_moves({**on, 'moves': {'mask': 255}}, MAPS, 'c') == {'crop': 2, 'moves': {'mask': 255}}
    assert place_moves({**on, 'moves': ()}, MAPS, 'c') == on
    assert parse_augmentations({'flip': False, 'moves': ('mask',)}, 'c') == {}


@pytest.mark.parametrize(
    ('moves', 'message'),
    [
        (
            ('maks',),
            "c.moves names 'maks', which does not exist; arrays that move with the image are [examples, height, ",
        ),
        ('small', "c.moves names 'small', which has shape [40, 3, 3]; arrays"),
        (3, 'c.moves is 3, but it must be a list of names of arrays, or a dictionary.'),
        ({'mask': 0.5}, 'c.moves: mask of type int32 cannot be padded with 0.5.'),
        ({'mask': 'x'}, "c.moves: mask of type int32 cannot be padded with 'x'."),
    ],
)
def test_wrong_moves_are_refused(moves, message):
    with pytest.raises(UserError, match=re.escape(message)):
        place_moves({'crop': 2, 'moves': moves}, MAPS, 'c')


def test_maps_move_exactly_as_their_image_and_keep_their_type():
    options = place_moves({'crop': 2, 'flip': True, 'moves': {'mask': 9, 'depth': 0}}, MAPS, 'c')
    out = jax.jit(functools.partial(training_view, options=options, num_classes=None))(MAPS, jax.random.key(0), 4)
    for name in ('small', 'vector', 'id'):
        np.testing.assert_array_equal(out[name], MAPS[name])
    np.testing.assert_allclose(out['depth'][..., 0] * 7, out['image'] * 255, rtol=1e-6)
    assert out['mask'].dtype == np.int32
    # Pixels that are not 0 come from the image itself; what moved in at the borders is 9 in the mask.
    pixels = np.rint(np.asarray(out['image']) * 255).astype(int)
    inside = pixels > 0
    np.testing.assert_array_equal(out['mask'][inside], pixels[inside] % 3)
    assert set(np.unique(out['mask'][~inside])) == {0, 9}
    assert np.mean(np.asarray(out['mask']) == 9) > 0.2


def test_augmentations_that_are_off_are_left_out():
    assert parse_augmentations({'crop': 0, 'flip': False, 'mixup': 0.2, 'cutmix': 0.0}, 'c') == {'mixup': 0.2}


def test_images_are_seen_between_0_and_1_and_in_place_without_augmentation():
    plain = training_view(BATCH, jax.random.key(0), 0, {}, 40)
    np.testing.assert_allclose(plain['image'], BATCH['image'] / 255, rtol=1e-6)
    np.testing.assert_array_equal(plain['label'], BATCH['label'])
    floats = {**BATCH, 'image': np.full((2, 3, 3), 7.0, np.float32)}
    np.testing.assert_array_equal(evaluation_view(floats)['image'], floats['image'])
