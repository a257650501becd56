"""Writes decoders and encoders as Hugging Face saves them: `transformers` loads the directory unchanged."""

import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import numpy as np
import safetensors.numpy

from kd_jax.config.json_files import write_json
from kd_jax.config.ordinary_files import replacing, write_text
from kd_jax.data import word_pieces
from kd_jax.data.chat_templates import jinja_template, special_tokens
from kd_jax.data.tokenizers import Tokenizer
from kd_jax.interop.encoder_names import SECOND_BIAS, encoder_config, encoder_names
from kd_jax.interop.huggingface_files import CONFIG, WEIGHTS
from kd_jax.interop.huggingface_weights import NAMES, OPTIONS, SCALING
from kd_jax.language.decoder import Decoder
from kd_jax.language.encoder import Encoder

TOKENIZER = 'tokenizer.json', 'tokenizer_config.json'
MARKS = {  # how `transformers` calls the special tokens of a BERT
    'cls': word_pieces.BEGIN, 'sep': word_pieces.END, 'mask': word_pieces.MASK, 'pad': word_pieces.PAD,
    'unk': word_pieces.UNKNOWN,
}  # fmt: skip


def save_huggingface(
    directory: pathlib.Path, module: Decoder | Encoder, variables: Mapping[str, Any],
    tokenizer: Tokenizer | None = None, chat: str | None = None,
) -> list[str]:  # fmt: skip
    """Writes a language model as config.json and model.safetensors, in float32, and its tokenizer.

    Args:
      directory: where the files are written; it exists.
      module: the decoder or encoder.
      variables: its variables, without an axis of copies.
      tokenizer: its tokenizer, for tokenizer.json, tokenizer_config.json and the special tokens in config.json; None
        leaves these out, and a tokenizer of bytes has no tokenizer.json.
      chat: the chat template of the conversations of a decoder; None for none. It is written if the tokenizer has its
        special tokens.
    Returns:
      the names of the files.
    Raises:
      UserError: `transformers` has no such encoder.
    """
    encodes = isinstance(module, Encoder)
    config = encoder_config(module) if isinstance(module, Encoder) else decoder_config(module)
    names = encoder_names(module) if isinstance(module, Encoder) else NAMES
    marks = _marks(tokenizer, encodes) if tokenizer else {}
    with replacing(directory / WEIGHTS) as part:
        safetensors.numpy.save_file(_tensors(module, variables, names), part, metadata={'format': 'pt'})
    ids = {name: number for name, number in marks.items() if name in ('bos', 'eos', 'pad')}
    write_json(directory / CONFIG, config | {f'{name}_token_id': number for name, number in ids.items()})
    if tokenizer is None or tokenizer.to_json is None:
        return [CONFIG, WEIGHTS]
    text_of = {number: text for text, number in tokenizer.special.items()}
    settings = {f'{name}_token': text_of[number] for name, number in marks.items() if number in text_of}
    if chat and not encodes and special_tokens(chat) <= tokenizer.special.keys():
        settings['chat_template'] = jinja_template(chat, tokenizer.begin is not None)
    inputs = ['input_ids', *(['token_type_ids'] if encodes and config.get('type_vocab_size') else []), 'attention_mask']
    write_json(
        directory / TOKENIZER[1],
        {'tokenizer_class': 'PreTrainedTokenizerFast', 'model_input_names': inputs, **settings},
    )
    write_text(directory / TOKENIZER[0], tokenizer.to_json())
    return [CONFIG, WEIGHTS, *TOKENIZER]


def _tensors(
    module: Decoder | Encoder, variables: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """The tensors by their names; matrices are [out, in], and each layer has its own."""
    tensors = {}
    for path, array in flax.traverse_util.flatten_dict(variables['params'], sep='/').items():
        each = np.asarray(array, np.float32)
        each = each.swapaxes(-1, -2) if path.endswith('kernel') else each
        for number, tensor in enumerate(each if path.startswith(module.stacked) else [each]):
            tensors[names[path].format(number)] = np.ascontiguousarray(tensor)
    if isinstance(module, Encoder) and module.head == 'own' and module.token_types:
        tensors[SECOND_BIAS] = tensors[names['bias']]
    return tensors


def _marks(tokenizer: Tokenizer, encodes: bool) -> dict[str, int]:
    """The ids of special tokens, by the names of `transformers`."""
    if encodes:
        return {name: tokenizer.special[token] for name, token in MARKS.items() if token in tokenizer.special}
    ends = {'bos': tokenizer.begin, 'eos': tokenizer.end}
    return {name: number for name, number in ends.items() if number is not None}


def decoder_config(module: Decoder) -> dict[str, Any]:
    """The config.json of a decoder; with biases it is of the family Qwen2, otherwise of Llama."""
    kv_heads, head_dim = module.sizes()
    family = ('qwen2', 'Qwen2ForCausalLM') if module.qkv_bias else ('llama', 'LlamaForCausalLM')
    scaling: dict[str, Any] = dict(zip(SCALING, module.rotary_scaling, strict=True)) if module.rotary_scaling else {}
    if scaling:
        scaling = {'rope_type': 'llama3', **scaling, SCALING[-1]: int(scaling[SCALING[-1]])}  # a number of positions
    return {theirs: getattr(module, ours) for ours, theirs in OPTIONS.items()} | dict(
        architectures=[family[1]],
        model_type=family[0],
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        hidden_act='silu',
        max_position_embeddings=module.window,
        rope_theta=module.rotary_base,
        rope_scaling=scaling or None,
        tie_word_embeddings=module.tied,
        torch_dtype='float32',
    )
