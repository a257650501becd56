"""Decoders in the format of Hugging Face: a directory with config.json and .safetensors files, read and written."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import flax.traverse_util
import numpy as np
import safetensors
import safetensors.numpy

from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.json_files import JSON_BYTES, parse_json, write_json
from kd_jax.config.ordinary_files import inside, open_ordinary, read_text, replacing
from kd_jax.core.network import Network
from kd_jax.interop.decoder_weights import SavedTensors, check_decoder_options, decoder_of, load_decoder_weights
from kd_jax.language.decoder import Decoder

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
CONFIG, WEIGHTS, INDEX = 'config.json', 'model.safetensors', 'model.safetensors.index.json'
NOT_WEIGHTS = 'rotary_emb.inv_freq'  # frequencies, which older versions saved


def load_huggingface_weights(network: Network, path: str, shapes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Loads the weights of a decoder from a directory as `transformers` saves it, as float32.

    Args:
      network: the network to load; its model is a decoder.
      path: the directory, with config.json, and with model.safetensors or an index and its files.
      shapes: the variables of the network's model, as arrays or shapes.
      where: the place in the config, for messages.
    Raises:
      UserError: a file is missing or damaged, the family is unknown, the options differ from those of the model, or as
        for `load_decoder_weights`.
    """
    decoder_of(network, where, path)
    directory = pathlib.Path(path)
    config = _read_json(directory / CONFIG, where)
    options = decoder_options(config, f'{where}: {directory / CONFIG}')
    with contextlib.ExitStack() as opened:
        tensors = dict(_tensors(directory, where, opened))
        if options['tied']:
            tensors.pop(NAMES['head'], None)
        options['qkv_bias'] = NAMES['blocks/query/bias'].format(0) in tensors
        check_decoder_options(network, options, where, path)
        found = {name: tuple(file.get_slice(name).get_shape()) for name, file in tensors.items()}

        def read(name: str) -> np.ndarray:
            return np.asarray(tensors[name].get_tensor(name), np.float32)

        return load_decoder_weights(network, SavedTensors(path, found, read), NAMES, options['layers'], shapes, where)


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
    if config.get('hidden_act', 'silu') != 'silu' or config.get('use_sliding_window', False):
        raise UserError(f'{where} has another activation than silu, or a sliding window, which no decoder here has.')
    rotary = {**(config.get('rope_scaling') or {}), **(config.get('rope_parameters') or {})}
    kind = rotary.get('rope_type', rotary.get('type', 'default'))
    if kind not in ('default', 'llama3'):
        raise UserError(f'{where} scales its rotary positions by {kind!r}, which is not known. Known: default, llama3')
    options = {ours: config[theirs] for ours, theirs in OPTIONS.items()}
    return options | dict(
        kv_heads=config.get('num_key_value_heads') or options['heads'],
        head_dim=config.get('head_dim') or options['width'] // options['heads'],
        rotary_base=rotary.get('rope_theta', config.get('rope_theta', 10000.0)),
        rotary_scaling=tuple(float(rotary[name]) for name in SCALING) if kind == 'llama3' else (),
        tied=bool(config.get('tie_word_embeddings', False)),
    )


def _read_json(path: pathlib.Path, where: str) -> dict[str, Any]:
    try:
        value = parse_json(read_text(path, JSON_BYTES))
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    except ValueError as error:
        raise UserError(f'{where}: {path} is not JSON ({first_line(error)}).') from error
    if not isinstance(value, dict):
        raise UserError(f'{where}: {path} holds no dictionary.')
    return value


def _tensors(directory: pathlib.Path, where: str, opened: contextlib.ExitStack) -> Iterator[tuple[str, Any]]:
    """The name of each tensor, and the open file that holds it."""
    if (directory / WEIGHTS).exists() or not (directory / INDEX).exists():
        file = _open(directory / WEIGHTS, where, opened)
        yield from ((name, file) for name in file.keys() if not name.endswith(NOT_WEIGHTS))  # noqa: SIM118
        return
    index = _read_json(directory / INDEX, where).get('weight_map')
    if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
        raise UserError(f'{where}: {directory / INDEX} says not in which file each tensor is.')
    files = {name: _open(inside(directory, name), where, opened) for name in sorted(set(index.values()))}
    held = {name: set(file.keys()) for name, file in files.items()}
    for tensor, name in index.items():
        if tensor not in held[name]:
            raise UserError(f'{where}: {directory / name} has no {tensor}, although {INDEX} says so.')
        if not tensor.endswith(NOT_WEIGHTS):
            yield tensor, files[name]


def _open(path: pathlib.Path, where: str, opened: contextlib.ExitStack) -> Any:
    try:
        open_ordinary(path).close()
        return opened.enter_context(safetensors.safe_open(path, 'numpy'))
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    except (OSError, safetensors.SafetensorError) as error:
        missing = isinstance(error, FileNotFoundError)
        what = 'is missing' if missing else f'cannot be read ({first_line(error)})'
        raise UserError(f'{where}: {path} {what}; load the directory down again.') from error


def save_huggingface(directory: pathlib.Path, module: Decoder, variables: Mapping[str, Any]) -> None:
    """Writes a decoder as config.json and model.safetensors, in float32; `transformers` loads the directory unchanged.

    Args:
      directory: where the files are written; it exists.
      module: the decoder.
      variables: its variables, without an axis of copies.
    """
    tensors = {}
    for path, array in flax.traverse_util.flatten_dict(variables['params'], sep='/').items():
        each = np.asarray(array, np.float32)
        each = each.swapaxes(-1, -2) if path.endswith('kernel') else each
        for number, tensor in enumerate(each if path.startswith(Decoder.stacked) else [each]):
            tensors[NAMES[path].format(number)] = np.ascontiguousarray(tensor)
    with replacing(directory / WEIGHTS) as part:
        safetensors.numpy.save_file(tensors, part, metadata={'format': 'pt'})
    write_json(directory / CONFIG, huggingface_config(module))


def huggingface_config(module: Decoder) -> dict[str, Any]:
    """The config.json of a decoder; with biases it is of the family Qwen2, otherwise of Llama."""
    kv_heads, head_dim = module.sizes()
    family = ('qwen2', 'Qwen2ForCausalLM') if module.qkv_bias else ('llama', 'LlamaForCausalLM')
    scaling = dict(zip(SCALING, module.rotary_scaling, strict=True)) if module.rotary_scaling else {}
    return {theirs: getattr(module, ours) for ours, theirs in OPTIONS.items()} | dict(
        architectures=[family[1]],
        model_type=family[0],
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        hidden_act='silu',
        max_position_embeddings=module.window,
        rope_theta=module.rotary_base,
        rope_scaling={'rope_type': 'llama3'} | scaling if scaling else None,
        tie_word_embeddings=module.tied,
        torch_dtype='float32',
    )
