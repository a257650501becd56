"""Augmentation in JAX, keyed by (seed, epoch, example id), so that any view of any example can be recomputed."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.errors import UserError, suggest
from kd_jax.data.lazy_images import Images
from kd_jax.data.word_masking import masked_again

OPTIONS: dict[str, tuple[type, int, str]] = {  # kind, largest value, meaning
    'crop': (int, 1000, 'pixels of zero padding on each side before a random crop back to the original size'),
    'flip': (bool, 1, 'flip each image from left to right with probability 1/2'),
    'resized_crop': (float, 1, 'smallest share of the area that a random crop of a streamed image keeps'),
    'mixup': (float, 1000, 'alpha of the Beta distribution of the weight when two images are averaged'),
    'cutmix': (float, 1000, 'alpha of the Beta distribution of the area when a box of another image is pasted in'),
    'mask_words': (float, 1, "share of the words that are masked, others in each view (data.predicts='masked'; 0.15)"),
}
MOVES = 'moves'  # names of arrays that move with the image, or name -> the value that a crop pads them with


def parse_augmentations(options: Any, where: str) -> dict[str, Any]:
    """Returns the augmentations that a run's `data.augment` switches on.

    `moves` is not changed; see `place_moves`.

    Raises:
      UserError: an augmentation is unknown, or its value is out of range.
    """
    if not isinstance(options, Mapping):
        raise UserError(f'{where} is {options!r}, but it must be a dictionary such as dict(crop=4, flip=True).')
    for name, value in options.items():
        if name == MOVES:
            continue
        if name not in OPTIONS:
            raise UserError(f'{where}: there is no augmentation {name!r}. {suggest(name, (*OPTIONS, MOVES))}')
        kind, most, _ = OPTIONS[name]
        right_kind = isinstance(value, bool) == (kind is bool) and isinstance(value, (kind, int))
        if not right_kind:
            what = {int: 'a whole number', bool: 'True or False', float: 'a number'}[kind]
            raise UserError(f'{where}.{name} is {value!r}, but it must be {what}.')
        if not 0 <= value <= most:
            raise UserError(f'{where}.{name} is {value!r}, but it must be between 0 and {most}.')
    used = {name: options[name] for name in OPTIONS if options.get(name)}
    return {**used, MOVES: options[MOVES]} if used and MOVES in options else used


def place_moves(options: Mapping[str, Any], arrays: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns the augmentations with `moves` as {name: padding} of the arrays that are laid out like the image.

    Without `moves` these are all arrays but `image` that have the image's height and width on the two axes after that
    of examples: [examples, height, width] or [examples, height, width, channels]. A crop pads them with 0. `moves`
    names them instead, as names or as a dictionary of names and values of padding, such as dict(mask=255).

    Raises:
      UserError: `moves` names an array that does not exist or is not laid out like the image, or a value of padding
        that the type of the array cannot hold.
    """
    rest, given = {name: option for name, option in options.items() if name != MOVES}, options.get(MOVES)
    size = image_size(arrays)
    alike = [name for name, array in arrays.items() if name != 'image' and getattr(array, 'shape', ())[1:3] == size]
    moves = dict.fromkeys(alike, 0)
    if given is not None:
        if not isinstance(given, str | list | tuple | Mapping):
            raise UserError(f'{where}.{MOVES} is {given!r}, but it must be a list of names of arrays, or a dictionary.')
        named = dict.fromkeys([given] if isinstance(given, str) else given, 0)
        moves = dict(given) if isinstance(given, Mapping) else named
    for name, padding in moves.items():
        if name not in alike:
            what = f'has shape {list(arrays[name].shape)}' if name in arrays else 'does not exist'
            raise UserError(
                f'{where}.{MOVES} names {name!r}, which {what}; arrays that move with the image are [examples, height, '
                f'width, ...] as the image is. {suggest(name, alike)}'
            )
        kind = arrays[name].dtype
        number = isinstance(padding, int | float)
        if not number or np.asarray(padding).astype(kind) != padding:
            raise UserError(f'{where}.{MOVES}: {name} of type {kind} cannot be padded with {padding!r}.')
    return {**rest, MOVES: moves} if rest and moves else rest


def image_size(arrays: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns height and width of the images among the arrays of a split; None if there are none of that shape."""
    image = arrays.get('image')
    if isinstance(image, Images):
        return image.size, image.size
    return None if image is None or image.ndim < 3 else (image.shape[1], image.shape[2])


def mixes(options: Mapping[str, Any]) -> bool:
    """Returns whether examples are mixed, so that their targets are distributions over classes."""
    return 'mixup' in options or 'cutmix' in options


def arrays_read(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the arrays of a batch from which the views of an example are made."""
    return ('image', 'label', 'bytes') if 'mask_words' in options else ('image',)


def example_keys(key: jax.Array, epoch: jax.Array, ids: jax.Array) -> jax.Array:
    """Returns one key per example, [batch], from the run's key, the epoch (a scalar) and the example ids [batch]."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(key, epoch), ids)


def crop(images: jax.Array, keys: jax.Array, padding: int, value: float = 0) -> jax.Array:
    """Pads each image with `value` and crops it back to its size; all shifts by up to `padding` are equally likely.

    He et al. (2016), section 4.2, with 4 pixels; Hinton et al. (2015), section 3: "the input images were jittered by up
    to two pixels in any direction".

    Args:
      images: [batch, height, width, ...].
      keys: [batch].
      padding: pixels on each side; the largest shift along either axis.
      value: what moves in at the borders.
    """

    def shift(image, key):
        around = [(padding, padding), (padding, padding), *[(0, 0)] * (image.ndim - 2)]
        corner = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        start = (*corner, *[0] * (image.ndim - 2))
        return jax.lax.dynamic_slice(jnp.pad(image, around, constant_values=value), start, image.shape)

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
    batch: Mapping[str, jax.Array], key: jax.Array, epoch: jax.Array, options: Mapping[str, Any],
    num_classes: int | None,
) -> dict[str, jax.Array]:  # fmt: skip
    """Augments a batch of float images; with mixing, the batch also gets `target`, [batch, num_classes].

    Crop and flip move the arrays of `moves` exactly as the image; they keep their types. `mask_words` masks other words
    in each view.

    The view of an example depends only on the run's key, the epoch and the example's id. Mixing is the exception: it
    also depends on the neighbour in the batch.

    Args:
      batch: image [batch, height, width, ...] and id [batch]; for mixing also label [batch]. Arrays that are neither
        `image` nor in `moves` are not changed. Those that the batch does not carry are skipped.
      key: the run's key.
      epoch: scalar.
      options: from `place_moves` and `word_masking.place_masking`.
      num_classes: number of classes of a target; only mixing needs it.
    """
    out, keys = dict(batch), example_keys(key, epoch, batch['id'])
    named = jax.vmap(fold_in_name, in_axes=(0, None))
    for name, value in {'image': 0, **options.get(MOVES, {})}.items():
        if 'crop' in options and name in out:
            out[name] = crop(out[name], keys, options['crop'], value)
        if 'flip' in options and name in out:
            out[name] = flip(out[name], named(keys, 'flip'))
    if 'mask_words' in options:
        out = masked_again(out, keys, options['mask_words'])
    if mixes(options):
        assert num_classes is not None  # `check_source.check_needs`
        alphas = {name: options[name] for name in ('mixup', 'cutmix') if name in options}
        target = jax.nn.one_hot(batch['label'], num_classes)
        out['image'], out['target'] = mix(out['image'], target, named(keys, 'mix'), **alphas)
    return out
