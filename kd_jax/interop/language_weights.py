"""Weights of decoders and encoders that other programs have saved, in the layout of `language`."""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import flax.traverse_util
import numpy as np
from msgspec import Meta

from kd_jax.config.checked_json import misfit
from kd_jax.config.errors import UserError
from kd_jax.core.inherited_weights import check_finite, check_fresh, layers_to_take, without_fresh
from kd_jax.core.network import Network
from kd_jax.interop.pytorch_weights import listed
from kd_jax.language.decoder import Decoder
from kd_jax.language.encoder import Encoder

STACKED = (*Decoder.stacked, *Encoder.stacked)  # modules
Size = Annotated[int, Meta(ge=1, lt=2**31)]
Number = Annotated[float, Meta(gt=0, lt=1e30)]
KINDS = {Decoder: 'a decoder', Encoder: 'an encoder'}


class SavedTensors(NamedTuple):
    """The tensors of a file, or of several; each is read when it is asked for.

    Attributes:
      origin: the file or directory, for messages.
      shapes: the shape of each tensor by its name; matrices are [out, in].
      read: reads the tensor of a name, as floats.
    """

    origin: str
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


def check_language_model(network: Network, kind: type[Decoder | Encoder], where: str, origin: str) -> None:
    """Raises a UserError if the model of a network is not of the kind that was saved, or has copies.

    Args:
      network: the network that starts from a file of weights.
      kind: what was saved, `Decoder` or `Encoder`.
      where: the place in the config, for messages.
      origin: the file, for messages.
    """
    what = KINDS[kind]
    if not isinstance(network.module, kind):
        raise UserError(f'{where}: {origin} holds the weights of {what}, so model must be {kind.__name__.lower()!r} or '
                        'one like it.')  # fmt: skip
    if network.copies:
        raise UserError(
            f'{where}: {origin} holds one network; set copies=0, or use several networks, each with its own file.'
        )


def check_saved(found: Mapping[str, Any], types: Mapping[str, Any], where: str) -> None:
    """Raises a UserError if an option of a file has another type than it must have, or is no size or number at all.

    Args:
      found: the options of the file, by its own names.
      types: the types of those that are read; options may be missing.
      where: the file, for messages.
    """
    for name, kind in types.items():
        if name in found and (wrong := misfit(found[name], kind)):
            raise UserError(
                f'{where} has {name}={repr(found[name])[:80]}, but {wrong}; take a file that is not damaged.'
            )


def check_language_options(network: Network, saved: Mapping[str, Any], where: str, origin: str) -> None:
    """Raises a UserError if a language model has other options than the one that was saved.

    Args:
      network: the network; with `init_layers` its number of layers may differ.
      saved: the options of the saved model, by name.
      where: the place in the config, for messages.
      origin: the file, for messages.
    """
    module = network.module
    options = {name: getattr(module, name) for name in saved}
    if isinstance(module, Decoder):
        options['kv_heads'], options['head_dim'] = module.sizes()
    left_out = ('layers',) if network.init_layers else ()
    wrong = [name for name in saved if name not in left_out and not _alike(saved[name], options[name])]
    if wrong:
        there, here = (', '.join(f'{name}={values[name]!r}' for name in wrong) for values in (saved, options))
        hint = (
            f'; or set init_layers to the {module.layers} layers, counted from 1, that it starts from'
            if wrong == ['layers']
            else ''
        )
        raise UserError(f'{where}: {origin} has {there}, but this model has {here}: give it these options{hint}.')


def check_options_of_run(network: Network, trained: Any, where: str, origin: str) -> None:
    """Raises a UserError if weights that another run has trained would compute something else here.

    Args:
      network: the network that takes over the weights.
      trained: the model whose weights they are; nothing is compared if it is of another kind, or if it does not name
        the options that no shape shows, in `not_in_shapes`.
      where: the place in the config, for messages.
      origin: where the weights come from, for messages.
    """
    if type(trained) is type(network.module):
        saved = {name: getattr(trained, name) for name in getattr(trained, 'not_in_shapes', ())}
        check_language_options(network, saved, where, origin)


def _alike(one: Any, other: Any) -> bool:
    several = [tuple(v) if isinstance(v, list | tuple) else (v,) for v in (one, other)]
    if len(several[0]) != len(several[1]):
        return False
    if not all(isinstance(value, numbers.Real) for values in several for value in values):  # text, or a damaged file
        return several[0] == several[1]
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(*several, strict=True))


def load_language_weights(
    network: Network, saved: SavedTensors, names: Mapping[str, str], layers: int, shapes: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Loads the variables of a decoder or an encoder, except those of its `fresh` modules.

    Args:
      network: the network to load.
      saved: the tensors.
      names: the name of each tensor by its path in our parameters; '{}' in it is the number of the layer, from 0.
      layers: the number of layers that were saved.
      shapes: the variables of the network's model, as arrays or shapes.
      where: the place in the config, for messages.
    Raises:
      UserError: tensors are missing, unknown or of another shape, weights are NaN or infinite, or `init_layers` names
        layers that were not saved.
    """
    check_fresh(network, shapes, where)
    wanted = flax.traverse_util.flatten_dict(without_fresh(shapes, network), sep='/')
    every = flax.traverse_util.flatten_dict(shapes, sep='/')
    taken = layers_to_take(network, layers, shapes, where, saved.origin)

    def names_of(path: str, numbers: Sequence[int]) -> list[str]:
        name = names[path.removeprefix('params/')]
        return [name.format(number) for number in numbers] if _is_stacked(path) else [name]

    known = {name for path in every for name in names_of(path, range(layers))}
    unknown = sorted(set(saved.shapes) - known)
    missing = sorted({name for path in wanted for name in names_of(path, taken)} - set(saved.shapes))
    if unknown or missing:
        parts = [f'tensors {listed(unknown)} that this model does not have'] if unknown else []
        parts += [f'no {listed(missing)}'] if missing else []
        raise UserError(f'{where}: {saved.origin} has {" and ".join(parts)}; choose the model that it was saved from.')
    loaded = {}
    for path, array in wanted.items():
        shape = tuple(array.shape[1:] if _is_stacked(path) else array.shape)
        shape = shape[::-1] if path.endswith('kernel') else shape
        for name in names_of(path, taken):
            if saved.shapes[name] != shape:
                raise UserError(
                    f'{where} does not fit {saved.origin}: {name} has shape {saved.shapes[name]} there and {shape} in '
                    'this model; choose the model that it was saved from.'
                )
        loaded[path] = names_of(path, taken)
    arrays = {path: _stacked(path, [saved.read(name) for name in own]) for path, own in loaded.items()}
    check_finite(arrays, where, saved.origin)
    return flax.traverse_util.unflatten_dict(arrays, sep='/')


def _is_stacked(path: str) -> bool:
    return path.split('/')[1] in STACKED


def _stacked(path: str, tensors: Sequence[np.ndarray]) -> np.ndarray:
    turned = [tensor.T if path.endswith('kernel') else tensor for tensor in tensors]
    return np.asarray(np.stack(turned) if _is_stacked(path) else turned[0], np.float32)
