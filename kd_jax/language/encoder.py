"""The encoder of the BERT, DistilBERT and MiniLM families."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Positive, Repeats
from kd_jax.devices.tensor_axis import Split, parts_in_context
from kd_jax.language.transformer import (
    Activations,
    EncoderLayer,
    check_token_input,
    layer_norm,
    loop_over_layers,
    of_each_layer,
    positions_in_segments,
    tensor_split,
    weights_init,
)


class Encoder(nn.Module):
    """A bidirectional language model: tokens to hidden states, the logits of masked words and a sentence embedding.

    Devlin et al. (2019), "BERT", after Vaswani et al. (2017): learned positions, and a layer norm after each sum. There
    is no dropout.

    Attributes:
      vocabulary: number of tokens.
      width: channels of the hidden states.
      layers: number of layers; their weights are stacked, and the program is a loop over them.
      heads: heads of the attention, a divisor of `width`.
      mlp_width: hidden units of the MLP.
      window: the longest sequence, and the number of learned positions.
      token_types: number of learned kinds of tokens, such as first and second sentence; 0 for none, as in DistilBERT.
      norm_epsilon: added to variances.
      head: how words are predicted: 'tied' uses the weights of the embedding, 'own' has weights of its own, 'none'
        gives no logits, as in MiniLM.
      remat: whether a layer is computed again in the backward pass, so that only its input is kept.
    """

    vocabulary: Count
    width: Count
    layers: Repeats
    heads: Count
    mlp_width: Count
    window: Count = 512
    token_types: int = 2
    norm_epsilon: Positive = 1e-12
    head: Literal['tied', 'own', 'none'] = 'tied'
    remat: bool = False

    stacked = ('blocks',)  # the modules whose weights lead with the axis of layers; each layer gathers its own
    # With other values of these options the same weights compute something else.
    not_in_shapes = ('heads', 'norm_epsilon')

    def tensor_split(self, parts: int) -> Split:
        """How `parts` devices share its weights, see `transformer.tensor_split`."""
        layers = tensor_split(parts, self.heads, self.heads, self.mlp_width, self.vocabulary)
        return {**layers, 'transform/kernel': -1, 'transform/bias': -1} if layers else {}

    def setup(self) -> None:
        if self.width % self.heads:
            raise UserError(f'heads is {self.heads}, but it must divide width, which is {self.width}')
        if self.token_types < 0:
            raise UserError(f'token_types is {self.token_types}, but it must be 0 or more')
        initializing, split = self.is_initializing(), self.tensor_split(parts_in_context())
        loop = loop_over_layers(
            EncoderLayer, self.layers, nn.broadcast, split, remat=self.remat, initializing=initializing
        )
        self.embedding = nn.Embed(self.vocabulary, self.width, embedding_init=weights_init)
        self.positions = nn.Embed(self.window, self.width, embedding_init=weights_init)
        if self.token_types:
            self.types = nn.Embed(self.token_types, self.width, embedding_init=weights_init)
        self.embedding_norm = layer_norm(self.norm_epsilon)
        self.blocks = loop(self.heads, self.mlp_width, self.norm_epsilon)
        if self.head != 'none':
            self.transform = nn.Dense(self.width, kernel_init=weights_init)
            self.transform_norm = layer_norm(self.norm_epsilon)
            self.bias = self.param('bias', nn.initializers.zeros, (self.vocabulary,))
        if self.head == 'own':
            self.words = self.param('words', weights_init, (self.vocabulary, self.width))

    def __call__(
        self,
        tokens: jax.Array,
        segment: jax.Array | None = None,
        position: jax.Array | None = None,
        types: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> Activations:
        """Reads whole sequences. Activations that nothing reads are not computed under `jit`.

        Args:
          tokens: integers [batch, length].
          segment: integers [batch, length]; a token reads the tokens of its segment alone. Padding is segment 0.
            Without it, a row is one segment.
          position: integers [batch, length], the place of each token in its text. Without it, positions start anew with
            each segment.
          types: integers [batch, length], the kind of each token. Without it, all are 0.
        Returns:
          logits [batch, length, vocabulary] of the word that was there, unless head='none'; sentence [batch, width],
          the mean of the last hidden states over the tokens that are no padding; features [batch, length, width], the
          last hidden states; hidden0 (the embeddings), hidden1, ... (after each layer) [batch, length, width]; and of
          each layer, counted from 1: attention1 [batch, heads, length, length], queries1, keys1 and values1 [batch,
          length, heads, head_dim].
        """
        check_token_input(tokens, self.window, 'an encoder')
        if segment is None:
            segment = jnp.ones_like(tokens)
        if position is None:
            position = positions_in_segments(segment)
        x = self.embedding(tokens) + self.positions(position)
        if self.token_types:
            x += self.types(jnp.zeros_like(tokens) if types is None else types)
        x = self.embedding_norm(x)
        out = {'hidden0': x}
        x, stacked = self.blocks(x, (segment[:, :, None] == segment[:, None, :])[:, None])
        out |= {**of_each_layer(stacked), 'features': x, 'sentence': mean_over_tokens(x, segment)}
        return out if self.head == 'none' else {**out, 'logits': self.logits(x)}

    def logits(self, features: jax.Array) -> jax.Array:
        """The logits [..., vocabulary], summed and kept in float32."""
        features = self.transform_norm(nn.gelu(self.transform(features), approximate=False))
        weights = self.embedding.embedding if self.head == 'tied' else self.words
        return jnp.einsum('...w,vw->...v', features, weights, preferred_element_type=jnp.float32) + self.bias


def mean_over_tokens(features: jax.Array, segment: jax.Array) -> jax.Array:
    """The mean over the tokens of a row that are no padding, summed in float32; 0 for a row of padding.

    Args:
      features: [batch, length, width].
      segment: integers [batch, length]; padding is segment 0.
    Returns:
      [batch, width].
    """
    real = (segment > 0)[..., None]
    total = jnp.sum(jnp.where(real, features, 0), axis=1, dtype=jnp.float32)
    return (total / jnp.maximum(jnp.sum(real, axis=1), 1)).astype(features.dtype)
