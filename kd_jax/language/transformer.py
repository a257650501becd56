"""The layers of transformers: norms, rotary positions, attention with grouped queries, MLPs; and checks of input.

In bfloat16, norms, rotations and the softmax of attention are computed in float32.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Positive
from kd_jax.devices.tensor_axis import Split, gather_parameters
from kd_jax.language.kv_cache import causal_attention, stored

Activations = dict[str, jax.Array]
Rotation = tuple[jax.Array, jax.Array]
weights_init = nn.initializers.normal(0.02)


class RMSNorm(nn.Module):
    """Divides by the root mean square of the last axis and scales each channel; Zhang and Sennrich (2019), eq. 4.

    Attributes:
      epsilon: added to the mean square.
    """

    epsilon: Positive

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x: [..., width]. Returns: [..., width]."""
        scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
        wide = x.astype(jnp.float32)
        normed = wide * jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + self.epsilon)
        return normed.astype(x.dtype) * scale


def rotary_frequencies(head_dim: int, base: float, scaling: Sequence[float] = ()) -> np.ndarray:
    """The angle in radians by which each pair of channels is rotated from one position to the next, [head_dim / 2].

    Su et al. (2021), "RoFormer", section 3.2.2: base^(-2 i / head_dim). With `scaling` as in Llama 3.1, the wavelengths
    that are long against the length of the first training are stretched by a factor, short ones are kept, and those
    between are interpolated.

    Args:
      head_dim: channels of a head, an even number.
      base: the base of the geometric series.
      scaling: (), or (factor, low, high, length): wavelengths above length / low are stretched by `factor`, those below
        length / high are kept.
    """
    frequencies = base ** (-np.arange(0, head_dim, 2) / head_dim)
    if scaling:
        factor, low, high, length = scaling
        turns = length * frequencies / (2 * np.pi)
        kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
        frequencies = frequencies * (kept + (1.0 - kept) / factor)
    return frequencies.astype(np.float32)


def rotation(position: jax.Array, frequencies: np.ndarray) -> Rotation:
    """Cosines and sines for `rotated`, [batch, length, 1, head_dim / 2], from positions [batch, length]."""
    angles = position[..., None, None].astype(jnp.float32) * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def rotated(x: jax.Array, by: Rotation) -> jax.Array:
    """Rotates the pairs of channels (i, i + head_dim / 2), the layout of Hugging Face.

    Args:
      x: queries or keys, [batch, length, heads, head_dim].
      by: from `rotation`.
    """
    cos, sin = by
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def attention_maps(queries: jax.Array, keys: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The share of each key in what each query reads: softmax of q k / sqrt(head_dim), in float32.

    Args:
      queries: [batch, length, heads, head_dim].
      keys: [batch, length, kv_heads, head_dim]; each serves heads / kv_heads queries.
      mask: [batch, 1, length, length], whether a query may read a key; None for all keys up to its own position.
    Returns:
      [batch, heads, length, length], queries before keys.
    """
    keys = jnp.repeat(keys, queries.shape[2] // keys.shape[2], axis=2)
    scores = jnp.einsum('bqhd,bkhd->bhqk', queries, keys, preferred_element_type=jnp.float32)
    if mask is None:
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jax.nn.softmax(jnp.where(mask, scores / np.sqrt(queries.shape[-1]), jnp.finfo(jnp.float32).min))


class DecoderLayer(nn.Module):
    """A layer of Llama: attention and a gated MLP, each after an RMS norm and added to its input.

    Touvron et al. (2023), "LLaMA", section 2.2; grouped queries after Ainslie et al. (2023), "GQA".

    Attributes: see `Decoder`.
    """

    heads: Count
    kv_heads: Count
    head_dim: Count
    mlp_width: Count
    norm_epsilon: Positive
    qkv_bias: bool

    def dense(self, features: int, name: str, bias: bool = False) -> nn.Dense:
        return nn.Dense(features, use_bias=bias, kernel_init=weights_init, name=name)

    @nn.compact
    def __call__(
        self, x: jax.Array, by: Rotation, mask: jax.Array | None, at: Any, past: Any, last: bool = False
    ) -> tuple[jax.Array, Any]:
        """The layer on whole sequences, or on the tokens that follow those in a cache.

        Args:
          x: [batch, length, width].
          by: the rotation of queries and keys.
          mask: [batch, 1, length, keys], whether a query may read a key; None for all keys up to its own position.
          at: the slot of the first of these tokens in the cache, see `KVCache.length`; None without a cache.
          past: keys and values of the layer in the cache, see `KVCache`; None without a cache.
          last: whether, with a cache, only the output of the last token is computed.
        Returns:
          the output [batch, length, width], with `last` [batch, 1, width]; and the activations of the layer, or with a
          cache its new keys and values.
        """

        def heads_of(name: str, count: int, tokens: jax.Array) -> jax.Array:
            dense = self.dense(count * self.head_dim, name, self.qkv_bias)
            return dense(tokens).reshape(*tokens.shape[:2], count, self.head_dim)

        asking = normed = RMSNorm(self.norm_epsilon, name='attention_norm')(x)
        ask_by = by
        if last:
            assert mask is not None
            x, asking, mask, ask_by = x[:, -1:], normed[:, -1:], mask[:, :, -1:], (by[0][:, -1:], by[1][:, -1:])
        queries = rotated(heads_of('query', self.heads, asking), ask_by)
        keys, values = rotated(heads_of('key', self.kv_heads, normed), by), heads_of('value', self.kv_heads, normed)
        if past is None:
            mixed = jax.nn.dot_product_attention(queries, keys, values, mask=mask, is_causal=mask is None)
        else:
            assert mask is not None
            past = stored(past, keys, values, at)
            mixed = causal_attention(queries, past, mask, at + normed.shape[1] - x.shape[1])
        x = x + self.dense(x.shape[-1], 'output')(mixed.reshape(*x.shape[:2], -1))
        normed = RMSNorm(self.norm_epsilon, name='mlp_norm')(x)
        gated = nn.silu(self.dense(self.mlp_width, 'gate')(normed)) * self.dense(self.mlp_width, 'up')(normed)
        x = x + self.dense(x.shape[-1], 'down')(gated)
        if past is not None:
            return x, past
        maps = attention_maps(queries, keys, mask)
        return x, {'hidden': x, 'attention': maps, 'queries': queries, 'keys': keys, 'values': values}


class EncoderLayer(nn.Module):
    """A layer of BERT: attention and an MLP with GELU, each added to its input and followed by a layer norm.

    Devlin et al. (2019), section 3, after Vaswani et al. (2017), section 3.1. GELU is the exact one, with erf.

    Attributes: see `Encoder`.
    """

    heads: Count
    mlp_width: Count
    norm_epsilon: Positive

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, Activations]:
        """Args: x: [batch, length, width]; mask: [batch, 1, length, length], whether a token may read another.

        Returns: the output [batch, length, width], and the activations of the layer.
        """

        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(features, kernel_init=weights_init, name=name)

        queries, keys, values = (
            dense(x.shape[-1], name)(x).reshape(*x.shape[:2], self.heads, -1) for name in ('query', 'key', 'value')
        )
        mixed = jax.nn.dot_product_attention(queries, keys, values, mask=mask).reshape(x.shape)
        x = layer_norm(self.norm_epsilon, name='attention_norm')(x + dense(x.shape[-1], 'output')(mixed))
        inner = nn.gelu(dense(self.mlp_width, 'up')(x), approximate=False)
        x = layer_norm(self.norm_epsilon, name='mlp_norm')(x + dense(x.shape[-1], 'down')(inner))
        maps = attention_maps(queries, keys, mask)
        return x, {'hidden': x, 'attention': maps, 'queries': queries, 'keys': keys, 'values': values}


def tensor_split(parts: int, heads: int, kv_heads: int, mlp_width: int, vocabulary: int) -> Split:
    """The parameters of a language model that `parts` devices share, and along which axis (`devices.tensor_axis`).

    Attention is split by heads, the MLP by its hidden units. Every device has all heads of keys and values if `parts`
    does not divide their number, and the embeddings of all words if it does not divide the vocabulary.

    Raises:
      UserError: `parts` does not divide the heads or the hidden units.
    """
    if parts == 1:
        return {}
    for name, size in (('heads', heads), ('mlp_width', mlp_width)):
        if size % parts:
            raise UserError(
                f'{name} is {size}, which mesh.tensor={parts} cannot split evenly; choose a tensor that divides '
                f'heads={heads} and mlp_width={mlp_width}, such as {math.gcd(heads, mlp_width, parts)}'
            )
    columns = ('query', 'gate', 'up') + (() if kv_heads % parts else ('key', 'value'))
    words = () if vocabulary % parts else ('embedding/embedding', 'head', 'words')
    by_columns = {f'{name}/{kind}': -1 for name in columns for kind in ('kernel', 'bias')}
    return by_columns | {'output/kernel': -2, 'down/kernel': -2} | dict.fromkeys(words, -2)


def loop_over_layers(layer: Any, layers: int, in_axes: Any, split: Split, *, remat: bool, initializing: bool) -> Any:
    """The module that runs a stack of layers one after another; their weights lead with the axis of layers.

    Each layer gathers its own weights where it runs, because `core.forward` leaves that to models with `stacked`.

    Args:
      layer: the class of a layer, which returns its output and what is stacked over layers.
      layers: the number of layers.
      in_axes: of the inputs after the first, as for `nn.scan`.
      split: the axes of its weights that stay split over 'tensor'.
      remat: whether a layer is computed again in the backward pass, so that only its input is kept.
      initializing: whether the weights are drawn now.
    """
    gather = functools.partial(gather_parameters, split=split)
    gathered: Any = nn.map_variables(layer, 'params', gather, init=initializing)
    gathered = nn.remat(gathered, prevent_cse=False) if remat else gathered
    return nn.scan(gathered, variable_axes={'params': 0}, split_rngs={'params': True}, in_axes=in_axes, length=layers)


def of_each_layer(stacked: Activations) -> Activations:
    """Activations stacked over layers, [layers, ...], each under its name and the number of its layer, from 1."""
    return {f'{name}{number + 1}': arrays[number] for name, arrays in stacked.items() for number in range(len(arrays))}


def layer_norm(epsilon: float, name: str | None = None) -> nn.LayerNorm:
    """A layer norm whose variance is the mean square of the centred channels, in float32."""
    return nn.LayerNorm(epsilon, use_fast_variance=False, name=name)


def positions_in_segments(segment: jax.Array) -> jax.Array:
    """The place of each token in its run of equal segments, counted from 0; [batch, length]."""
    place = jnp.arange(segment.shape[1])
    first = jnp.concatenate([jnp.ones_like(segment[:, :1], bool), segment[:, 1:] != segment[:, :-1]], axis=1)
    return place - jax.lax.cummax(jnp.where(first, place, 0), axis=1)


def check_token_input(tokens: jax.Array, window: int, who: str) -> None:
    """Raises a UserError if the input of a language model is no array of tokens, or longer than its window."""
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
        raise UserError(
            f"{who} reads integers [batch, length], not {tokens.dtype}{list(tokens.shape)}; set input='batch.tokens'"
        )
    if tokens.shape[1] > window:
        raise UserError(f'{tokens.shape[1]} tokens are longer than the window of the model, {window}')
