"""Adversarial examples by projected gradient descent, as a network."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.config.hyperparameters import NonNegative, Positive, Repeats
from kd_jax.losses import cross_entropy, kd


@dataclasses.dataclass(frozen=True, eq=False)
class PGD:
    """Adversarial examples of another network: projected gradient ascent on its loss, in a ball around the images.

    Madry et al. (2018), equation 2, in the maximum norm. PGD uses the parameters of the attacked network:
    dict(model='pgd', update='shared', of='~student', input=['batch.image', 'batch.label']). With labels as the second
    input it increases the cross-entropy (ARD, Goldblum et al. 2020). With a teacher's logits it increases the KL
    divergence from them (RSLAD, Zi et al. 2021, equation 7). The attacked network runs in evaluation mode.

    Attributes:
      network: the attacked network.
      epsilon: radius of the ball, in units of the images, which are in [0, 1]; 8/255 for CIFAR.
      size: step size, in the same units; 2/255 for CIFAR.
      steps: number of steps.
      random_start: whether the first point is drawn uniformly from the ball.
    """

    network: Any
    epsilon: NonNegative = 8 / 255
    size: Positive = 2 / 255
    steps: Repeats = 10
    random_start: bool = True

    def init(self, rngs: Any, image: jax.Array, target: jax.Array, *, train: bool = False) -> Mapping[str, Any]:
        return self.network.module.init(rngs, *self.network.normalized((image,)), train=False)

    def apply(
        self, variables: Mapping[str, Any], image: jax.Array, target: jax.Array, *, train: bool = False,
        rngs: Any = None, mutable: Any = (),
    ) -> tuple[dict[str, jax.Array], dict[str, Any]]:  # fmt: skip
        """Args: image: [batch, ...]; target: labels [batch], or logits [batch, num_classes]. Returns: image."""

        def loss(x: jax.Array) -> jax.Array:
            out, _ = self.network.module.apply(variables, *self.network.normalized((x,)), train=False, mutable=[])
            logits = out['logits'] if isinstance(out, Mapping) else out
            against_labels = jnp.issubdtype(target.dtype, jnp.integer)
            return jnp.sum(cross_entropy(logits, target) if against_labels else kd(logits, target))

        def ascend(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            x = x + self.size * jnp.sign(jax.grad(loss)(x))
            return jnp.clip(jnp.clip(x, image - self.epsilon, image + self.epsilon), 0.0, 1.0), None

        x = image
        if self.random_start:
            x += jax.random.uniform(rngs['dropout'], x.shape, x.dtype, -self.epsilon, self.epsilon)
        # Unrolled, because gradients of convolutions in a loop are slow on CPUs where `in_fast_layout` is not applied.
        x, _ = jax.lax.scan(ascend, jnp.clip(x, 0.0, 1.0), length=self.steps, unroll=True)
        return {'image': jax.lax.stop_gradient(x)}, {}
