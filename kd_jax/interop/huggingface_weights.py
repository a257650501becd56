"""Reads the weights of decoders and encoders that Hugging Face saved."""

import contextlib
from collections.abc import Mapping
from typing import Any, TypedDict

from kd_jax.config.errors import UserError, suggest
from kd_jax.core.network import Network
from kd_jax.interop.encoder_names import of_encoder
from kd_jax.interop.huggingface_files import CONFIG, open_saved_model
from kd_jax.interop.language_weights import (
    Number,
    Size,
    check_language_model,
    check_language_options,
    check_saved,
    load_language_weights,
)
from kd_jax.language.decoder import Decoder
from kd_jax.language.encoder import Encoder

PARTS = {
    'query': 'self_attn.q_proj', 'key': 'self_attn.k_proj', 'value': 'self_attn.v_proj', 'output': 'self_attn.o_proj',
    'gate': 'mlp.gate_proj', 'up': 'mlp.up_proj', 'down': 'mlp.down_proj',
}  # fmt: skip
NAMES = {
    'embedding/embedding': 'model.embed_tokens.weight',
    'norm/scale': 'model.norm.weight',
    'head': 'lm_head.weight',
    'blocks/attention_norm/scale': 'model.layers.{}.input_layernorm.weight',
    'blocks/mlp_norm/scale': 'model.layers.{}.post_attention_layernorm.weight',
    **{f'blocks/{ours}/kernel': f'model.layers.{{}}.{theirs}.weight' for ours, theirs in PARTS.items()},
    **{f'blocks/{ours}/bias': f'model.layers.{{}}.{PARTS[ours]}.bias' for ours in ('query', 'key', 'value')},
}
OPTIONS = {
    'vocabulary': 'vocab_size', 'width': 'hidden_size', 'layers': 'num_hidden_layers', 'heads': 'num_attention_heads',
    'mlp_width': 'intermediate_size', 'norm_epsilon': 'rms_norm_eps',
}  # fmt: skip
SCALING = ('factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings')
FAMILIES = ('llama', 'qwen2')
NOT_WEIGHTS = ('rotary_emb.inv_freq',)  # frequencies, which older versions saved


class RotaryPositions(TypedDict, total=False):
    """What a config.json says of rotary positions."""

    rope_type: str
    type: str
    rope_theta: Number
    factor: Number
    low_freq_factor: Number
    high_freq_factor: Number
    original_max_position_embeddings: Number


TYPES = {
    **dict.fromkeys(OPTIONS.values(), Size), 'rms_norm_eps': Number, 'num_key_value_heads': Size | None,
    'head_dim': Size | None, 'rope_theta': Number, 'rope_scaling': RotaryPositions | None,
    'rope_parameters': RotaryPositions | None, 'tie_word_embeddings': bool, 'use_sliding_window': bool,
    'hidden_act': str,
}  # fmt: skip


def load_huggingface_weights(network: Network, path: str, shapes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Loads the weights of a decoder or an encoder from a directory as `transformers` saves it, as float32.

    Args:
      network: the network to load; its model is a decoder or an encoder.
      path: the directory, with config.json, and with model.safetensors or an index and its files; or a .zip of these.
      shapes: the variables of the network's model, as arrays or shapes.
      where: the place in the config, for messages.
    Raises:
      UserError: a file is missing or damaged, the family is unknown, the options differ from those of the model, or as
        for `load_language_weights`.
    """
    kind = Encoder if isinstance(network.module, Encoder) else Decoder
    check_language_model(network, kind, where, path)
    with contextlib.ExitStack() as opened:
        config, saved = open_saved_model(path, where, opened)
        place = f'{where}: {path}/{CONFIG}'
        if kind is Encoder:
            options, names, saved = of_encoder(config, saved, network, place)
        else:
            options, names = decoder_options(config, place), NAMES
            left_out = NOT_WEIGHTS + (NAMES['head'],) * options['tied']
            saved = saved._replace(shapes={n: s for n, s in saved.shapes.items() if not n.endswith(left_out)})
            options['qkv_bias'] = NAMES['blocks/query/bias'].format(0) in saved.shapes
        check_language_options(network, options, where, path)
        return load_language_weights(network, saved, names, options['layers'], shapes, where)


def decoder_options(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options of a decoder that a config.json describes, without `qkv_bias`, which its tensors show.

    Args:
      config: what config.json holds.
      where: the file, for messages.
    Raises:
      UserError: the family, its activation or its kind of rotary positions is not known, or an option is missing.
    """
    family = config.get('model_type', '')
    if family not in FAMILIES:
        raise UserError(
            f'{where} has the model_type {family!r}, which is no decoder that is known. '
            f'{suggest(str(family), FAMILIES)}'
        )
    missing = [name for name in OPTIONS.values() if name not in config]
    if missing:
        raise UserError(f'{where} says no {", ".join(missing)}; take a complete file.')
    check_saved(config, TYPES, where)
    if config.get('hidden_act', 'silu') != 'silu' or config.get('use_sliding_window', False):
        raise UserError(f'{where} has another activation than silu, or a sliding window, which no decoder here has.')
    rotary = {**(config.get('rope_scaling') or {}), **(config.get('rope_parameters') or {})}
    kind = rotary.get('rope_type', rotary.get('type'))
    if kind is None and 'factor' in rotary:
        raise UserError(f'{where} says a factor but no rope_type of its rotary positions; take a complete file.')
    kind = kind or 'default'
    if kind not in ('default', 'llama3'):
        raise UserError(f'{where} scales its rotary positions by {kind!r}, which is not known. Known: default, llama3')
    if missing := [name for name in SCALING if name not in rotary and kind == 'llama3']:
        raise UserError(f'{where} says no {", ".join(missing)} of its rotary positions; take a complete file.')
    options = {ours: config[theirs] for ours, theirs in OPTIONS.items()}
    return options | dict(
        kv_heads=config.get('num_key_value_heads') or options['heads'],
        head_dim=config.get('head_dim') or options['width'] // options['heads'],
        rotary_base=rotary.get('rope_theta', config.get('rope_theta', 10000.0)),
        rotary_scaling=tuple(float(rotary[name]) for name in SCALING) if kind == 'llama3' else (),
        tied=bool(config.get('tie_word_embeddings', False)),
    )
