"""Weights from GGUF files, the format of llama.cpp, by the package `gguf`: floats and quantized weights."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.ordinary_files import open_ordinary
from kd_jax.core.network import Network
from kd_jax.data.gguf_files import GgufFile, read_gguf, tensor_bytes
from kd_jax.interop.language_weights import (
    Number,
    SavedTensors,
    Size,
    check_language_model,
    check_language_options,
    check_saved,
    load_language_weights,
)
from kd_jax.language.decoder import Decoder
from kd_jax.language.transformer import rotary_frequencies

LAYER = {
    'attention_norm/scale': 'attn_norm.weight', 'mlp_norm/scale': 'ffn_norm.weight', 'gate/kernel': 'ffn_gate.weight',
    'up/kernel': 'ffn_up.weight', 'down/kernel': 'ffn_down.weight', 'output/kernel': 'attn_output.weight',
    'query/kernel': 'attn_q.weight', 'key/kernel': 'attn_k.weight', 'value/kernel': 'attn_v.weight',
    'query/bias': 'attn_q.bias', 'key/bias': 'attn_k.bias', 'value/bias': 'attn_v.bias',
}  # fmt: skip
NAMES = {
    'embedding/embedding': 'token_embd.weight',
    'norm/scale': 'output_norm.weight',
    'head': 'output.weight',
    **{f'blocks/{ours}': f'blk.{{}}.{theirs}' for ours, theirs in LAYER.items()},
}
SCALED = 'rope_freqs.weight'  # by what each rotary frequency is divided
INTERLEAVED = ('llama',)  # architectures whose pairs of channels for rotary positions are neighbours
ARCHITECTURES = (*INTERLEAVED, 'qwen2')
FIELDS = {
    'width': 'embedding_length', 'layers': 'block_count', 'heads': 'attention.head_count',
    'mlp_width': 'feed_forward_length', 'norm_epsilon': 'attention.layer_norm_rms_epsilon',
}  # fmt: skip
TYPES = {
    **dict.fromkeys(FIELDS.values(), Size), 'attention.layer_norm_rms_epsilon': Number, 'rope.freq_base': Number,
    'rope.scaling.factor': Number,
    **dict.fromkeys(('attention.head_count_kv', 'attention.key_length', 'rope.dimension_count'), Size),
    'rope.scaling.type': str,
}  # fmt: skip


def load_gguf_weights(network: Network, path: str, shapes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Loads the weights of a decoder from a GGUF file, as float32.

    Args:
      network: the network to load; its model is a decoder.
      path: path of the file.
      shapes: the variables of the network's model, as arrays or shapes.
      where: the place in the config, for messages.
    Raises:
      UserError: the package `gguf` is not installed; the file is missing or truncated, or has an architecture or a type
        of tensors that is not known; its options differ from those of the model; or as for `load_language_weights`.
    """
    check_language_model(network, Decoder, where, path)
    try:
        gguf = importlib.import_module('gguf')
    except ImportError as error:
        raise UserError(
            f"{where}: init='gguf:...' needs the package gguf, which is not installed: pip install '.[language]'."
        ) from error
    try:
        file = read_gguf(path)
        sizes = tensor_bytes(file, {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()})
    except OSError as error:
        raise UserError(f'{where}: {path} cannot be read ({error.strerror or first_line(error)}).') from error
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    except ValueError as error:
        raise UserError(
            f'{where}: {path} is no GGUF file, or is truncated or damaged: {first_line(error)}; load it down again.'
        ) from error
    architecture, options = _options(file, f'{where}: {path}')
    check_language_options(network, options, where, path)
    heads = {'attn_q': options['heads'], 'attn_k': options['kv_heads']}

    def read(name: str) -> np.ndarray:
        tensor = file.tensors[name]
        kind = gguf.GGMLQuantizationType(tensor.kind)
        with open_ordinary(path) as opened:
            opened.seek(tensor.start)
            content = np.frombuffer(opened.read(sizes[name]), np.uint8)
        try:
            array = gguf.dequantize(content.reshape(*tensor.shape[:-1], -1), kind)
        except Exception as error:
            raise UserError(
                f'{where}: {name} in {path} has type {kind.name}, which the package gguf cannot read '
                f'({first_line(error)}).'
            ) from error
        part = name.split('.')[-2]
        return halves_together(array, heads[part]) if part in heads and architecture in INTERLEAVED else array

    if SCALED in file.tensors or network.module.rotary_scaling:
        divisors = read(SCALED) if SCALED in file.tensors else 1.0
        _check_scaling(network, divisors, where, path)
    found = {name: tensor.shape for name, tensor in file.tensors.items() if name != SCALED}
    return load_language_weights(network, SavedTensors(path, found, read), NAMES, options['layers'], shapes, where)


def halves_together(array: np.ndarray, heads: int) -> np.ndarray:
    """Orders the rows of queries or keys as ours: in each head, the first channel of all pairs before the second.

    The files of llama.cpp hold the channels of a pair side by side: (0, 1), (2, 3), ...

    Args:
      array: weights [heads * head_dim, in] or biases [heads * head_dim].
      heads: number of heads.
    """
    pairs = array.reshape(heads, -1, 2, *array.shape[1:])
    return pairs.swapaxes(1, 2).reshape(array.shape)


def _options(file: GgufFile, where: str) -> tuple[str, dict[str, Any]]:
    """The architecture that a file names, and the options of a decoder that fit its weights."""
    architecture, tensors = file.fields.get('general.architecture', ''), file.tensors
    if architecture not in ARCHITECTURES:
        raise UserError(
            f'{where} has the architecture {architecture!r}, which is no decoder that is known. '
            f'{suggest(str(architecture), ARCHITECTURES)}'
        )
    own = {name.removeprefix(f'{architecture}.'): value for name, value in file.fields.items()}
    check_saved(own, TYPES, where)
    scaling = own.get('rope.scaling.type', 'linear' if own.get('rope.scaling.factor', 1.0) not in (0, 1) else 'none')
    if scaling != 'none':
        raise UserError(f'{where} scales its rotary positions by {scaling!r}, which is not known.')
    missing = [name for name in FIELDS.values() if name not in own]
    missing += [name for name in (NAMES['embedding/embedding'],) if name not in tensors]
    if missing:
        raise UserError(f'{where} says no {", ".join(missing)}; take a complete file.')
    options = {name: own[theirs] for name, theirs in FIELDS.items()}
    head_dim = own.get('rope.dimension_count', options['width'] // options['heads'])
    return architecture, options | dict(
        vocabulary=tensors[NAMES['embedding/embedding']].shape[0],
        kv_heads=own.get('attention.head_count_kv', options['heads']),
        head_dim=own.get('attention.key_length', head_dim),
        rotary_base=own.get('rope.freq_base', 10000.0),
        qkv_bias='blk.0.attn_q.bias' in tensors,
        tied=NAMES['head'] not in tensors,
    )


def _check_scaling(network: Network, divisors: Any, where: str, path: str) -> None:
    module = network.module
    plain, ours = (rotary_frequencies(module.sizes()[1], module.rotary_base, s) for s in ((), module.rotary_scaling))
    if np.shape(divisors) not in ((), plain.shape) or not np.allclose(plain / divisors, ours, rtol=1e-3):
        raise UserError(
            f'{where}: {path} scales the rotary frequencies otherwise than rotary_scaling={module.rotary_scaling} '
            'does; give the numbers of its model, which the config.json of the original has.'
        )
