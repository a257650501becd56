"""Augmentation in JAX, keyed by (seed, epoch, example id), so that any view of any example can be recomputed."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.errors import UserError, suggest

OPTIONS: dict[str, tuple[type, int, str]] = {  # kind, largest value, meaning
    'crop': (int, 1000, 'pixels of zero padding on each side before a random crop back to the original size'),
    'flip': (bool, 1, 'flip each image from left to right with probability 1/2'),
    'resized_crop': (float, 1, 'smallest share of the area that a random crop of a streamed image keeps'),
    'mixup': (float, 1000, 'alpha of the Beta distribution of the weight when two images are averaged'),
    'cutmix': (float, 1000, 'alpha of the Beta distribution of the area when a box of another image is pasted in'),
}


def parse_augmentations(options: Any, where: str) -> dict[str, Any]:
    """Returns the augmentations that a run's `data.augment` switches on.

    Raises:
      UserError: an augmentation is unknown, or its value is out of range.
    """
    if not isinstance(options, Mapping):
        raise UserError(f'{where} is {options!r}, but it must be a dictionary such as dict(crop=4, flip=True).')
    for name, value in options.items():
        if name not in OPTIONS:
            raise UserError(f'{where}: there is no augmentation {name!r}. {suggest(name, OPTIONS)}')
        kind, most, _ = OPTIONS[name]
        right_kind = isinstance(value, bool) == (kind is bool) and isinstance(value, (kind, int))
        if not right_kind:
            what = {int: 'a whole number', bool: 'True or False', float: 'a number'}[kind]
            raise UserError(f'{where}.{name} is {value!r}, but it must be {what}.')
        if not 0 <= value <= most:
            raise UserError(f'{where}.{name} is {value!r}, but it must be between 0 and {most}.')
    return {name: options[name] for name in OPTIONS if options.get(name)}


def mixes(options: Mapping[str, Any]) -> bool:
    """Returns whether examples are mixed, so that their targets are distributions over classes."""
    return 'mixup' in options or 'cutmix' in options


def example_keys(key: jax.Array, epoch: jax.Array, ids: jax.Array) -> jax.Array:
    """Returns one key per example, [batch], from the run's key, the epoch (a scalar) and the example ids [batch]."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(key, epoch), ids)


def crop(images: jax.Array, keys: jax.Array, padding: int) -> jax.Array:
    """Pads each image with zeros and crops it back to its size; all shifts by up to `padding` are equally likely.

    He et al. (2016), section 4.2, with 4 pixels; Hinton et al. (2015), section 3: "the input images were jittered by up
    to two pixels in any direction".

    Args:
      images: [batch, height, width, ...].
      keys: [batch].
      padding: pixels on each side; the largest shift along either axis.
    """

    def shift(image, key):
        around = [(padding, padding), (padding, padding), *[(0, 0)] * (image.ndim - 2)]
        corner = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        start = (*corner, *[0] * (image.ndim - 2))
        return jax.lax.dynamic_slice(jnp.pad(image, around), start, image.shape)

    return jax.vmap(shift)(images, keys)


def flip(images: jax.Array, keys: jax.Array) -> jax.Array:
    """Flips each image [height, width, ...] from left to right with probability 1/2, keyed by `keys` [batch]."""
    return jax.vmap(lambda image, key: jnp.where(jax.random.bernoulli(key), image[:, ::-1], image))(images, keys)


def mix(
    images: jax.Array, target: jax.Array, keys: jax.Array, *, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """Mixes each image and its target with those of its neighbour, the previous example of the batch.

    mixup (Zhang et al. 2018, section 2) averages the two images; the image's own weight is drawn from
    Beta(mixup, mixup). CutMix (Yun et al. 2019, section 3.1) pastes a box of the neighbour into the image. The box has
    the share 1 - Beta(cutmix, cutmix) of the area, before it is cut off at the borders. With both, each image gets one
    of the two, with probability 1/2. The neighbour depends on the order of the examples, hence on (seed, epoch, id).

    Args:
      images: floats, [batch, height, width, ...].
      target: distributions over classes, [batch, num_classes].
      keys: [batch].
      mixup: alpha of mixup; 0 switches it off.
      cutmix: alpha of CutMix; 0 switches it off.
    Returns:
      mixed images, and targets mixed in the same proportion as the pixels.
    """
    size = (images.shape[1], images.shape[2])

    def kept(key):
        """The share that an image keeps of itself: at each pixel [height, width], and of the whole image."""
        one, other, coin = jax.random.split(key, 3)
        drawn = [_averaged(one, size, mixup)] if mixup else []
        drawn += [_cut(other, size, cutmix)] if cutmix else []
        heads = jax.random.bernoulli(coin)
        return jax.tree.map(lambda a, b: jnp.where(heads, a, b), drawn[0], drawn[-1])

    pixels, share = jax.vmap(kept)(keys)
    pixels = pixels.reshape(pixels.shape + (1,) * (images.ndim - 3))
    share = share[:, None]
    return (
        pixels * images + (1.0 - pixels) * jnp.roll(images, 1, axis=0),
        share * target + (1.0 - share) * jnp.roll(target, 1, axis=0),
    )


def _averaged(key: jax.Array, size: tuple[int, int], alpha: float) -> tuple[jax.Array, jax.Array]:
    share = jax.random.beta(key, alpha, alpha)
    return jnp.full(size, share), share


def _cut(key: jax.Array, size: tuple[int, int], alpha: float) -> tuple[jax.Array, jax.Array]:
    draw, *places = jax.random.split(key, 3)
    side = jnp.sqrt(1.0 - jax.random.beta(draw, alpha, alpha))
    inside = []
    for place, length in zip(places, size, strict=True):
        middle, half = jax.random.randint(place, (), 0, length), (length * side).astype(jnp.int32) // 2
        at = jnp.arange(length)
        inside.append((at >= middle - half) & (at < middle + half))
    box = inside[0][:, None] & inside[1]
    return 1.0 - box, 1.0 - jnp.sum(box) / box.size


def augmented(
    batch: Mapping[str, jax.Array], key: jax.Array, epoch: jax.Array, options: Mapping[str, Any], num_classes: int
) -> dict[str, jax.Array]:
    """Augments a batch of float images; with mixing, the batch also gets `target`, [batch, num_classes].

    The view of an example depends only on the run's key, the epoch and the example's id. Mixing is the exception: it
    also depends on the neighbour in the batch.

    Args:
      batch: image [batch, height, width, ...], label and id [batch]; other arrays are not changed.
      key: the run's key.
      epoch: scalar.
      options: from `parse_augmentations`.
      num_classes: number of classes of a target.
    """
    out, keys = dict(batch), example_keys(key, epoch, batch['id'])
    named = jax.vmap(fold_in_name, in_axes=(0, None))
    if 'crop' in options:
        out['image'] = crop(out['image'], keys, options['crop'])
    if 'flip' in options:
        out['image'] = flip(out['image'], named(keys, 'flip'))
    if mixes(options):
        alphas = {name: options[name] for name in ('mixup', 'cutmix') if name in options}
        target = jax.nn.one_hot(batch['label'], num_classes)
        out['image'], out['target'] = mix(out['image'], target, named(keys, 'mix'), **alphas)
    return out
