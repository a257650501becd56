"""Decoders write text: greedily, or by drawing from the most probable tokens."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.language.decoder import Decoder

LEAST_TEMPERATURE = 1e-6  # logits divided by less may be infinite in float32


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the logits.

    Attributes:
      temperature: divides the logits; 0 takes the most probable token. This is not the temperature of a loss.
      top_k: draws from this many of the most probable tokens; 0 means all.
      top_p: draws from the smallest set of most probable tokens that together have at least this probability; Holtzman
        et al. (2020), "The curious case of neural text degeneration", section 3.1. It comes after `top_k`.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Raises a UserError if a number is out of range."""
        if self.temperature != 0 and not LEAST_TEMPERATURE <= self.temperature < math.inf:
            raise UserError(
                f'temperature is {self.temperature}, but it must be 0 for the most probable token, or a number of '
                f'{LEAST_TEMPERATURE} or more.'
            )
        if self.top_k < 0:
            raise UserError(f'top_k is {self.top_k}, but it must be 0 or more.')
        if not 0 < self.top_p <= 1:
            raise UserError(f'top_p is {self.top_p}, but it must be greater than 0 and at most 1.')


class Written(NamedTuple):
    """The tokens that a decoder wrote.

    Attributes:
      tokens: [batch, new_tokens]; 0 after the end of each text.
      length: the number of tokens of each text, with its stop token if there is one, [batch].
    """

    tokens: jax.Array
    length: jax.Array


def sampling_logits(logits: jax.Array, sampling: Sampling) -> jax.Array:
    """The logits of the distribution that the next token is drawn from; -inf for tokens that are ruled out.

    Args:
      logits: [..., vocabulary].
      sampling: how it is drawn; its temperature is not 0.
    """
    logits = logits.astype(jnp.float32) / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, sampling.top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if sampling.top_p < 1:
        falling = -jnp.sort(-logits, axis=-1)
        shares = jax.nn.softmax(falling)
        before = jnp.cumsum(shares, axis=-1) - shares
        least = jnp.min(jnp.where(before < sampling.top_p, falling, jnp.inf), axis=-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def next_token(logits: jax.Array, keys: jax.Array, sampling: Sampling) -> jax.Array:
    """Draws a token for each example.

    Args:
      logits: [batch, vocabulary].
      keys: a random key for each example, [batch].
      sampling: how it is drawn.
    Returns:
      int32 [batch].
    """
    if sampling.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return jax.vmap(jax.random.categorical)(keys, sampling_logits(logits, sampling)).astype(jnp.int32)


def left_padded(prompts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Puts prompts of different lengths into one array, padded on the left.

    Returns:
      the tokens, int32 [batch, length], and whether each is no padding, [batch, length].
    Raises:
      UserError: there is no prompt, or one is empty.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise UserError('a prompt must have at least one token; an empty one gives nothing to continue.')
    length = max(map(len, prompts))
    tokens, valid = np.zeros((len(prompts), length), np.int32), np.zeros((len(prompts), length), bool)
    for row, prompt in enumerate(prompts):
        tokens[row, length - len(prompt) :] = prompt
        valid[row, length - len(prompt) :] = True
    return tokens, valid


def checked_prompts(
    module: Decoder, prompts: Sequence[Sequence[int]], new_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Puts prompts into one array as `left_padded` does, if a decoder can read them and write `new_tokens` more.

    Raises:
      UserError: a prompt is empty, holds a token that the vocabulary does not have, or is too long for the window.
    """
    tokens, valid = left_padded(prompts)
    if tokens.shape[1] + new_tokens > module.window:
        raise UserError(
            f'the longest prompt has {tokens.shape[1]} tokens, and with {new_tokens} new ones it would exceed the '
            f'window of the model, {module.window}; shorten the prompt or write fewer tokens.'
        )
    if (unknown := tokens[(tokens < 0) | (tokens >= module.vocabulary)]).size:
        raise UserError(
            f'a prompt has token {unknown[0]}, but the model has {module.vocabulary} tokens: is the tokenizer that of '
            'the model?'
        )
    return tokens, valid


def write(
    module: Decoder,
    variables: Any,
    prompts: Sequence[Sequence[int]],
    keys: jax.Array,
    *,
    new_tokens: int,
    sampling: Sampling = Sampling(),
    stop: Sequence[int] = (),
) -> Written:
    """Continues prompts. A text depends on its own prompt and key alone, not on the others of the batch.

    Args:
      module: the decoder.
      variables: its variables; the cache has the precision of its embedding.
      prompts: the tokens of each prompt.
      keys: a random key for each prompt, [batch].
      new_tokens: the most tokens that are written.
      sampling: how tokens are drawn.
      stop: tokens that end a text.
    Raises:
      UserError: a prompt is empty, holds a token that the vocabulary does not have, or is too long for the window.
    """
    tokens, valid = checked_prompts(module, prompts, new_tokens)
    return continue_prompts(module, variables, tokens, valid, keys, new_tokens, sampling, tuple(stop))


@functools.partial(jax.jit, static_argnames=('module', 'new_tokens', 'sampling', 'stop'))
def continue_prompts(
    module: Decoder,
    variables: Any,
    tokens: jax.Array,
    valid: jax.Array,
    keys: jax.Array,
    new_tokens: int,
    sampling: Sampling,
    stop: tuple[int, ...],
    layers: Sequence[Any] | None = None,
) -> Written:
    """Continues prompts that are padded on the left, see `write`. It may be part of a larger program.

    `layers` are the parameters of each layer, from `Decoder.layers_apart`; without them, they are copied anew.
    """
    batch, length = tokens.shape
    cache = module.cache(batch, length + new_tokens, variables['params']['embedding']['embedding'].dtype)
    layers = module.layers_apart(variables) if layers is None else layers

    def extend(new: jax.Array, cache: Any, valid: jax.Array | None = None) -> tuple[jax.Array, Any]:
        return module.apply(variables, new, cache, layers, valid, method='extend')

    def draw(logits: jax.Array, step: Any) -> jax.Array:
        return next_token(logits, jax.vmap(jax.random.fold_in, (0, None))(keys, step), sampling)

    def ends(token: jax.Array) -> jax.Array:
        return jnp.isin(token, jnp.array(stop, jnp.int32))

    def going_on(carry: Any) -> jax.Array:
        step, *_, done = carry
        return (step < new_tokens) & ~jnp.all(done)

    def one_more(carry: Any) -> Any:
        step, written, count, last, cache, done = carry
        logits, cache = extend(last[:, None], cache)
        token = jnp.where(done, 0, draw(logits, step))
        written = written.at[:, step].set(token)
        return step + 1, written, count + ~done, token, cache, done | ends(token)

    logits, cache = extend(tokens, cache, valid)
    first = draw(logits, 0)
    written = jnp.zeros((batch, new_tokens), jnp.int32).at[:, 0].set(first)
    start = (jnp.int32(1), written, jnp.ones(batch, jnp.int32), first, cache, ends(first))
    _, written, count, *_ = jax.lax.while_loop(going_on, one_more, start)
    return Written(written, count)
