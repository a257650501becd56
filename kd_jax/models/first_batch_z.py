"""The constant that the published code of CRD divides its scores by."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import unit_length
from kd_jax.config.hyperparameters import Count, Temperature


class FirstBatchZ(nn.Module):
    """M times the mean of e^(cos / t) over partners and negatives of the first batch (CRD, Tian et al. 2020, the code).

    It is the collection 'z' of this network. Declare it as a trained network, because only trained networks can change,
    and give its output to the loss: dict(model='first_batch_z', input=['~bank_s.embedding', 'bank_t.entry',
    'bank_t.negatives'], examples=60000), then form='constant', z='z.z' in the term `crd`. At temperatures below about
    0.013, M e^(1 / t) exceeds float32: near partners make z and the loss infinite. The form 'per_example' computes with
    logarithms and has no such limit.

    Attributes:
      examples: M, the number of examples in the bank.
      t: temperature; that of the loss.
    """

    examples: Count
    t: Temperature = 0.07

    @nn.compact
    def __call__(
        self, anchors: jax.Array, partners: jax.Array, negatives: jax.Array, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """Args: anchors, partners: [batch, dim]; negatives: [batch, N, dim]. Returns: z, a scalar."""
        others = jnp.concatenate([partners[:, None], negatives], axis=1)
        cosines = jnp.sum(unit_length(anchors)[:, None] * unit_length(others), axis=-1)
        first = jax.lax.stop_gradient(self.examples * jnp.mean(jnp.exp(cosines / self.t)))
        kept = self.variable('z', 'z', jnp.zeros, ())
        z = jnp.where(kept.value > 0, kept.value, first)
        if train:
            kept.value = z
        return {'z': z}
