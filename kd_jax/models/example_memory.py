"""Networks that remember examples: CRD's memory bank of embeddings, and the earlier predictions of PS-KD."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError


class Embedding(nn.Module):
    """CRD's embedding: a dense layer, and the L2 norm (Tian et al. 2020, section 3.4).

    Attributes:
      dim: of the embedding.
    """

    dim: int = 128

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, ...], flattened. Returns: embedding, [batch, dim]."""
        return {'embedding': _embedded(x, self.dim)}


class MemoryBank(nn.Module):
    """An embedding that remembers those of all examples, and gives others of them as negatives (Tian et al. 2020).

    The bank is the collection 'bank' of a trained network: part of the state, in its checkpoints. What an example has
    in it moves towards its embedding each time it is seen; negatives are drawn, in training, from all other examples
    that have been seen, so that a bank may be larger than the training set.

    Attributes:
      dim: of the embedding.
      examples: how many the bank holds; ids of examples must be below.
      negatives: drawn for each example, 16384 in the paper.
      momentum: what an example's entry keeps of itself.
    """

    dim: int = 128
    examples: int = 0
    negatives: int = 1024
    momentum: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, ids: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, ...]; ids: [batch], no two the same.

        Returns:
          embedding: [batch, dim].
          entry: what the bank has had of these examples, [batch, dim].
          negatives: what it has of others, [batch, negatives, dim].
        """
        if not 0 < self.negatives < self.examples:
            raise UserError(f'a bank of {self.examples} examples cannot give {self.negatives} negatives')

        def fresh():
            drawn = jax.random.normal(self.make_rng('params'), (self.examples, self.dim))
            return drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)

        embedding = _embedded(x, self.dim)
        bank = self.variable('bank', 'embeddings', fresh)
        # The ids that have been seen, in the order of their first time, and their number.
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
        out = {'embedding': embedding, 'entry': bank.value[ids], 'negatives': bank.value[others]}
        if train:
            kept = self.momentum * bank.value[ids] + (1.0 - self.momentum) * jax.lax.stop_gradient(embedding)
            kept /= jnp.maximum(jnp.linalg.norm(kept, axis=-1, keepdims=True), 1e-12)
            bank.value = bank.value.at[ids].set(kept.astype(bank.value.dtype))
        return out


class Recall(nn.Module):
    """What a network said of each example when it last saw it, if it has (Kim et al. 2021, PS-KD, section 3.2).

    Read by id and then written anew in every training step; the collection 'recall' of a network that is declared as a
    trained one, for those alone change: dict(model='recall', input=['~student.logits', 'batch.id'], examples=60000).

    Attributes:
      examples: how many there are; their ids must be below.
    """

    examples: int

    @nn.compact
    def __call__(self, x: jax.Array, ids: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, num_classes]; ids: [batch].

        Returns:
          logits: of the last time, as x; zeros where there was none.
          known: whether there was one, [batch].
        """
        kept = self.variable('recall', 'logits', jnp.zeros, (self.examples, *x.shape[1:]), x.dtype)
        known = self.variable('recall', 'known', jnp.zeros, (self.examples,), bool)
        out = {'logits': kept.value[ids], 'known': known.value[ids]}
        if train:
            kept.value = kept.value.at[ids].set(jax.lax.stop_gradient(x))
            known.value = known.value.at[ids].set(True)
        return out


def _embedded(x: jax.Array, dim: int) -> jax.Array:
    x = nn.Dense(dim, name='embed')(x.reshape(x.shape[0], -1))
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-12))
