"""Texts that a decoder of a run writes after given prompts, and how many tokens a second it reads and writes."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from kd_jax.core.network import Network
from kd_jax.data.batches import fetch_batch
from kd_jax.data.model_tokenizer import model_tokenizer
from kd_jax.data.prompts import prompt_tokens, stop_tokens
from kd_jax.data.tokenizers import Tokenizer
from kd_jax.language.decoder import Decoder
from kd_jax.language.decoding import Sampling, Written, checked_prompts, continue_prompts
from kd_jax.prepare.check_samples import SAMPLES
from kd_jax.prepare.prepared_run import PreparedRun

GREEDY = Sampling()


class Continued(NamedTuple):
    """What a decoder wrote, and how fast.

    Attributes:
      texts: what follows each prompt, without the token that ended it.
      read: the number of tokens of all prompts.
      wrote: the number of tokens that were written.
      reading: tokens a second until the first new token, without compilation.
      writing: tokens a second after the first new one; None if no more was written.
    """

    texts: list[str]
    read: int
    wrote: int
    reading: float
    writing: float | None


def continued(
    module: Decoder, variables: Any, prompts: Sequence[Sequence[int]], tokenizer: Tokenizer, *, new_tokens: int,
    stop: tuple[int, ...], sampling: Sampling = GREEDY, seed: int = 0,
) -> Continued:  # fmt: skip
    """Continues several prompts at once, and measures how fast: the better of two times, without compilation.

    Raises:
      UserError: as `decoding.write`.
    """
    tokens, valid = checked_prompts(module, prompts, new_tokens)
    keys, layers = jax.random.split(jax.random.key(seed), len(prompts)), module.layers_apart(variables)
    given, seconds = (variables, tokens, valid, keys), []
    for count in dict.fromkeys((1, new_tokens)):
        program = continue_prompts.lower(module, *given, count, sampling, stop, layers).compile()
        written, once = _timed(program, *given, layers)
        seconds.append(min(once, _timed(program, *given, layers)[1]))
    read, wrote = int(valid.sum()), int(written.length.sum())
    more, longer = wrote - len(prompts), seconds[-1] - seconds[0]
    writing = more / longer if more > 0 and longer > 0 else None
    return Continued(_texts(written, tokenizer, stop), read, wrote, read / seconds[0], writing)


def _timed(program: Any, *arguments: Any) -> tuple[Written, float]:
    started = time.perf_counter()
    written = jax.block_until_ready(program(*arguments))
    return written, time.perf_counter() - started


def _texts(written: Written, tokenizer: Tokenizer, stop: Sequence[int]) -> list[str]:
    tokens, lengths = jax.device_get(written)
    own = [row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)]
    return [tokenizer.decode([token for token in row if token not in stop]) for row in own]


def write_samples(prepared: PreparedRun, variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the option `samples` of a run asks for, greedily; None if it asks for nothing.

    Speed is measured on one row of the test split, in tokens a second: `reading` is that of the whole row, `writing`
    that of the tokens that follow it. `megabytes` are those of the network's arrays in memory.
    """
    if not (options := prepared.config.get('samples')):
        return None
    given = {key: options.get(key, option.default) for key, option in SAMPLES.items()}
    network: Network = prepared.recipe.network(given['network'])
    owner = variables[network.of[0] if network.update == 'shared' else network.name]
    tokenizer, chat = model_tokenizer(prepared.config['data'], network.inputs), given['chat'] or None
    place = f'{prepared.where}, samples.prompts'
    prompts = [prompt_tokens(text, chat, tokenizer, place) for text in given['prompts']]
    written = continued(
        network.module, owner, prompts, tokenizer, new_tokens=given['tokens'], stop=stop_tokens(chat, tokenizer)
    )
    split = prepared.splits.arrays.get('test', prepared.splits.arrays['train'])
    row = fetch_batch({'tokens': split['tokens'], 'id': split['id']}, np.array([0]))['tokens']
    speed = continued(network.module, owner, row.tolist(), tokenizer, new_tokens=given['tokens'], stop=())
    sizes = [array.nbytes for array in jax.tree.leaves(owner['params'])]
    return {
        'network': network.name, 'prompts': list(given['prompts']), 'texts': written.texts, 'chat': given['chat'],
        'read': speed.read, 'wrote': speed.wrote, 'reading': speed.reading, 'writing': speed.writing,
        'parameters': sum(array.size for array in jax.tree.leaves(owner['params'])), 'megabytes': sum(sizes) / 1e6,
    }  # fmt: skip
