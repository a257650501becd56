"""Networks that store a value for each example: the memory bank of CRD and the earlier predictions of PS-KD."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Fraction


class Embedding(nn.Module):
    """The embedding of CRD: a dense layer and L2 normalisation (Tian et al. 2020, section 3.4).

    Attributes:
      dim: dimension of the embedding.
    """

    dim: Count = 128

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, ...], flattened. Returns: embedding, [batch, dim]."""
        return {'embedding': _embedded(x, self.dim)}


class MemoryBank(nn.Module):
    """An embedding with a memory bank of all examples' embeddings, which gives negatives (Tian et al. 2020).

    The bank is the collection 'bank' of a trained network; it is part of the state and of the checkpoints. When an
    example is seen in training, its entry moves towards its embedding. In training the negatives are drawn at random
    from the entries of all other examples seen so far, so the bank may be larger than the training set.

    Attributes:
      dim: dimension of the embedding.
      examples: size of the bank; the ids of examples must be smaller.
      negatives: number of negatives for each example; 16384 in the paper.
      momentum: share of its old value that an entry keeps in an update.
    """

    dim: Count = 128
    examples: int = 0
    negatives: Count = 1024
    momentum: Fraction = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, ids: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, ...]; ids: [batch], all different.

        Returns:
          embedding: [batch, dim].
          entry: the bank's entries of these examples before the update, [batch, dim]; NaN for ids beyond the bank.
          negatives: the bank's entries of other examples, [batch, negatives, dim].
        """
        if not 0 < self.negatives < self.examples:
            raise UserError(
                f'a bank of {self.examples} examples cannot give {self.negatives} negatives: set fewer negatives'
            )

        def fresh():
            drawn = jax.random.normal(self.make_rng('params'), (self.examples, self.dim))
            return drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)

        embedding = _embedded(x, self.dim)
        bank = self.variable('bank', 'embeddings', fresh)
        # Which ids were seen; these ids in the order of first appearance; and their number.
        seen = self.variable('bank', 'seen', jnp.zeros, (self.examples,), bool)
        order = self.variable('bank', 'order', jnp.zeros, (self.examples,), jnp.int32)
        number = self.variable('bank', 'number', jnp.zeros, (), jnp.int32)
        if train:
            new = ~seen.value[ids]
            places = jnp.where(new, number.value + jnp.cumsum(new) - 1, self.examples)
            order.value = order.value.at[places].set(ids, mode='drop')
            number.value += jnp.sum(new)
            seen.value = seen.value.at[ids].set(True)
        known, shape = jnp.maximum(number.value, 1), (len(ids), self.negatives)
        drawn = jax.random.randint(self.make_rng('dropout'), shape, 0, known) if train else jnp.arange(shape[1]) % known
        own = order.value[drawn] == ids[:, None]
        others = order.value[jnp.where(own, (drawn + 1) % known, drawn)]
        entry = bank.value.at[ids].get(mode='fill', fill_value=jnp.nan)
        out = {'embedding': embedding, 'entry': entry, 'negatives': bank.value[others]}
        if train:
            kept = self.momentum * bank.value[ids] + (1.0 - self.momentum) * jax.lax.stop_gradient(embedding)
            kept /= jnp.maximum(jnp.linalg.norm(kept, axis=-1, keepdims=True), 1e-12)
            bank.value = bank.value.at[ids].set(kept.astype(bank.value.dtype))
        return out


class Recall(nn.Module):
    """The prediction that a network made for each example when it last saw it (Kim et al. 2021, PS-KD, section 3.2).

    Each training step reads the stored predictions by id and then replaces them. They are the collection 'recall' of
    this network. Declare it as a trained network, because only trained networks can change: dict(model='recall',
    input=['~student.logits', 'batch.id'], examples=60000).

    Attributes:
      examples: number of examples; their ids must be smaller.
    """

    examples: Count

    @nn.compact
    def __call__(self, x: jax.Array, ids: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: predictions, [batch, num_classes]; ids: [batch].

        Returns:
          logits: the stored predictions, the shape of x; zeros if there is none, NaN for ids beyond `examples`.
          known: whether there is a stored prediction, [batch].
        """
        kept = self.variable('recall', 'logits', jnp.zeros, (self.examples, *x.shape[1:]), x.dtype)
        known = self.variable('recall', 'known', jnp.zeros, (self.examples,), bool)
        out = {'logits': kept.value.at[ids].get(mode='fill', fill_value=jnp.nan), 'known': known.value[ids]}
        if train:
            kept.value = kept.value.at[ids].set(jax.lax.stop_gradient(x))
            known.value = known.value.at[ids].set(True)
        return out


def _embedded(x: jax.Array, dim: int) -> jax.Array:
    x = nn.Dense(dim, name='embed')(x.reshape(x.shape[0], -1))
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-12))
