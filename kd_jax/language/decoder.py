"""The decoder of the Llama, SmolLM2 and Qwen2 families."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Positive, Repeats
from kd_jax.devices.tensor_axis import Split, gather_parameters, parts_in_context
from kd_jax.language.kv_cache import KVCache, empty_cache, with_tokens
from kd_jax.language.transformer import (
    Activations,
    DecoderLayer,
    RMSNorm,
    check_token_input,
    loop_over_layers,
    of_each_layer,
    positions_in_segments,
    rotary_frequencies,
    rotation,
    tensor_split,
    weights_init,
)


class Decoder(nn.Module):
    """A causal language model: tokens to the logits of the token that follows each.

    Attributes:
      vocabulary: number of tokens.
      width: channels of the hidden states.
      layers: number of layers; their weights are stacked, and the program is a loop over them.
      heads: heads of the queries.
      mlp_width: hidden units of the gated MLP.
      kv_heads: heads of the keys and values, a divisor of `heads`; 0 means as many as `heads`.
      head_dim: channels of a head; 0 means width / heads.
      window: the longest sequence.
      rotary_base: base of the rotary frequencies.
      rotary_scaling: () or (factor, low, high, length), see `rotary_frequencies`.
      norm_epsilon: added to mean squares.
      qkv_bias: whether queries, keys and values have biases, as in Qwen2.
      tied: whether the head uses the weights of the embedding.
      remat: whether a layer is computed again in the backward pass, so that only its input is kept.
    """

    vocabulary: Count
    width: Count
    layers: Repeats
    heads: Count
    mlp_width: Count
    kv_heads: int = 0
    head_dim: int = 0
    window: Count = 2048
    rotary_base: Positive = 10000.0
    rotary_scaling: Sequence[float] = ()
    norm_epsilon: Positive = 1e-5
    qkv_bias: bool = False
    tied: bool = True
    remat: bool = False

    stacked = ('blocks',)  # the modules whose weights lead with the axis of layers; each layer gathers its own
    # With other values of these options the same weights compute something else.
    not_in_shapes = ('heads', 'rotary_base', 'rotary_scaling', 'norm_epsilon')

    def sizes(self) -> tuple[int, int]:
        """The number of heads of keys and values, and the channels of a head.

        Raises:
          UserError: heads do not divide evenly, a head has an odd number of channels, or `rotary_scaling` has not four
            numbers that fit.
        """
        kv_heads, head_dim = self.kv_heads or self.heads, self.head_dim or self.width // self.heads
        if self.heads % kv_heads or kv_heads < 0:
            raise UserError(f'kv_heads is {kv_heads}, but it must divide heads, which is {self.heads}')
        if not self.head_dim and self.width % self.heads:
            raise UserError(f'heads is {self.heads}, but without head_dim it must divide width, which is {self.width}')
        if head_dim % 2 or head_dim < 2:
            raise UserError(f'a head has {head_dim} channels, but rotary positions need an even number')
        if len(self.rotary_scaling) not in (0, 4):
            raise UserError(f'rotary_scaling is {self.rotary_scaling}, but it must be (factor, low, high, length)')
        factor, low, high, length = self.rotary_scaling or (1, 1, 2, 1)
        if not (factor > 0 and 0 < low < high and length > 0):
            raise UserError(
                f'rotary_scaling is {self.rotary_scaling}, but factor, low and length must be positive, and high must '
                'be greater than low'
            )
        return kv_heads, head_dim

    def tensor_split(self, parts: int) -> Split:
        """How `parts` devices share its weights, see `transformer.tensor_split`."""
        return tensor_split(parts, self.heads, self.sizes()[0], self.mlp_width, self.vocabulary)

    def setup(self) -> None:
        kv_heads, head_dim = self.sizes()
        axes = (nn.broadcast, nn.broadcast, nn.broadcast, 0)
        initializing, split = self.is_initializing(), self.tensor_split(parts_in_context())
        loop = loop_over_layers(DecoderLayer, self.layers, axes, split, remat=self.remat, initializing=initializing)
        self.embedding = nn.Embed(self.vocabulary, self.width, embedding_init=weights_init)
        self.blocks = loop(self.heads, kv_heads, head_dim, self.mlp_width, self.norm_epsilon, self.qkv_bias)
        self.norm = RMSNorm(self.norm_epsilon)
        if not self.tied:
            self.head = self.param('head', weights_init, (self.vocabulary, self.width))

    def __call__(
        self,
        tokens: jax.Array,
        segment: jax.Array | None = None,
        position: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> Activations:
        """Reads whole sequences. Activations that nothing reads are not computed under `jit`.

        Args:
          tokens: integers [batch, length].
          segment: integers [batch, length]; a token reads earlier tokens of its segment alone. Padding is segment 0.
          position: integers [batch, length], the place of each token in its text. Without it, positions start anew with
            each segment.
        Returns:
          logits [batch, length, vocabulary] of the next token; features [batch, length, width] after the last norm;
          hidden0 (the embeddings), hidden1, ... (after each layer) [batch, length, width]; and of each layer, counted
          from 1: attention1 [batch, heads, length, length], queries1 [batch, length, heads, head_dim], keys1 and
          values1 [batch, length, kv_heads, head_dim]; queries and keys are rotated.
        """
        check_token_input(tokens, self.window, 'a decoder')
        length = jnp.arange(tokens.shape[1])
        mask = None
        if segment is not None:
            mask = ((segment[:, :, None] == segment[:, None, :]) & jnp.tri(len(length), dtype=bool))[:, None]
        if position is None:
            position = jnp.broadcast_to(length, tokens.shape) if segment is None else positions_in_segments(segment)
        x = self.embedding(tokens)
        out = {'hidden0': x}
        x, stacked = self.blocks(x, self.rotation(position), mask, None, None)
        out |= {**of_each_layer(stacked), 'features': self.norm(x)}
        return {**out, 'logits': self.logits(out['features'])}

    def extend(
        self, tokens: jax.Array, cache: KVCache, layers: Sequence[Any], valid: jax.Array | None = None
    ) -> tuple[jax.Array, KVCache]:
        """Reads the tokens that follow those in a cache.

        Args:
          tokens: integers [batch, length].
          cache: from `empty_cache` or an earlier call, with free slots for them.
          layers: the parameters of each layer, from `layers_apart`.
          valid: whether each is no padding, [batch, length]; None means all.
        Returns:
          the logits of the token that follows the last of them, [batch, vocabulary], and the cache with these tokens.
        """
        check_token_input(tokens, self.window, 'a decoder')
        cache, position, mask = with_tokens(cache, jnp.ones(tokens.shape, bool) if valid is None else valid)
        at = cache.length - tokens.shape[1]
        x, by, kept = self.embedding(tokens), self.rotation(position), []
        split = self.tensor_split(parts_in_context())
        layer: Any = DecoderLayer(
            self.heads, *self.sizes(), self.mlp_width, self.norm_epsilon, self.qkv_bias, parent=None
        )
        for number, (own, *past) in enumerate(zip(layers, cache.keys, cache.values, strict=True), start=1):
            last = number == self.layers  # of what the last layer makes of these tokens, the last one alone is read
            x, new = layer.apply({'params': gather_parameters(own, split)}, x, by, mask, at, past, last)
            kept.append(new)
        keys, values = zip(*kept, strict=True)
        return self.logits(self.norm(x[:, -1])), cache._replace(keys=keys, values=values)

    def layers_apart(self, variables: Any) -> list[Any]:
        """The parameters of each layer, copied out of the stack.

        A loop that reads token after token takes them from here, so that it does not copy the weights of all layers
        for each token.
        """
        return [jax.tree.map(lambda a, i=i: a[i], variables['params']['blocks']) for i in range(self.layers)]

    def cache(self, batch: int, size: int, dtype: str = 'float32') -> KVCache:
        """An empty cache of `size` slots for each of `batch` examples."""
        return empty_cache(self.layers, batch, size, *self.sizes(), dtype)

    def rotation(self, position: jax.Array) -> tuple[jax.Array, jax.Array]:
        return rotation(position, rotary_frequencies(self.sizes()[1], self.rotary_base, self.rotary_scaling))

    def logits(self, features: jax.Array) -> jax.Array:
        """The logits [..., vocabulary], summed and kept in float32."""
        weights = self.embedding.embedding if self.tied else self.head
        return jnp.einsum('...w,vw->...v', features, weights, preferred_element_type=jnp.float32)
