"""What remembers examples: the bank of embeddings to be contrasted (CRD), and earlier predictions (PS-KD)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.errors import UserError


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
    in it moves towards its embedding each time it is seen; negatives are drawn, in training, from all other examples.

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
        """Args: x: [batch, ...]; ids: [batch]. Returns: embedding, [batch, dim]; negatives, [batch, negatives, dim]."""
        if not 0 < self.negatives < self.examples:
            raise UserError(f'a bank of {self.examples} examples cannot give {self.negatives} negatives')

        def fresh():
            drawn = jax.random.normal(self.make_rng('params'), (self.examples, self.dim))
            return drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)

        embedding = _embedded(x, self.dim)
        bank = self.variable('bank', 'embeddings', fresh)
        shape = (len(ids), self.negatives)
        if train:
            steps = jax.random.randint(self.make_rng('dropout'), shape, 1, self.examples)
        else:
            steps = jnp.broadcast_to(jnp.arange(1, self.negatives + 1), shape)
        out = {'embedding': embedding, 'negatives': bank.value[(ids[:, None] + steps) % self.examples]}
        if train:
            kept = self.momentum * bank.value[ids] + (1.0 - self.momentum) * jax.lax.stop_gradient(embedding)
            kept /= jnp.maximum(jnp.linalg.norm(kept, axis=-1, keepdims=True), 1e-12)
            bank.value = bank.value.at[ids].set(kept.astype(bank.value.dtype))
        return out


class Recall(nn.Module):
    """What a network said of each example when it last saw it; zeros at first (Kim et al. 2021, PS-KD, section 3.2).

    Read by id and then written anew in every training step; the collection 'recall' of a network that is declared as a
    trained one, for those alone change: dict(model='recall', input=['~student.logits', 'batch.id'], examples=60000).

    Attributes:
      examples: how many there are; their ids must be below.
    """

    examples: int

    @nn.compact
    def __call__(self, x: jax.Array, ids: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, num_classes]; ids: [batch]. Returns: logits, as x, of the last time."""
        kept = self.variable('recall', 'logits', jnp.zeros, (self.examples, *x.shape[1:]), x.dtype)
        out = {'logits': kept.value[ids]}
        if train:
            kept.value = kept.value.at[ids].set(jax.lax.stop_gradient(x))
        return out


def _embedded(x: jax.Array, dim: int) -> jax.Array:
    x = nn.Dense(dim, name='embed')(x.reshape(x.shape[0], -1))
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-12))
