"""Networks that work against another: a judge of where activations come from, adversarial examples, a temperature."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.errors import UserError
from kd_jax.hyperparameters import NonNegative, Positive
from kd_jax.losses import cross_entropy, kd
from kd_jax.models.layers import pooled


class Discriminator(nn.Module):
    """Scores of how much activations look like a teacher's: a multilayer perceptron with leaky ReLUs.

    Attributes:
      hidden: units of each hidden layer.
    """

    hidden: Sequence[int] = (64,)

    @nn.compact
    def __call__(self, student: jax.Array, target: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: student, target: [batch, dim], or maps, whose means over space are taken. Returns: as many [batch]."""
        if student.shape[-1] != target.shape[-1]:
            raise UserError(
                f'the student has {student.shape[-1]} features and the teacher {target.shape[-1]}: put a connector '
                'between them'
            )
        x = jnp.stack([pooled(array) if array.ndim == 4 else array for array in (student, target)])
        for number, units in enumerate(self.hidden, start=1):
            x = nn.leaky_relu(nn.Dense(units, name=f'dense{number}')(x), 0.2)
        scores = nn.Dense(1, name='score')(x)[..., 0]
        return {'student': scores[0], 'target': scores[1]}


class Temperature(nn.Module):
    """A learned temperature, one for all examples: CTKD's, in its global form (Li et al. 2023); numbers of its code.

    least + span * sigmoid(a), where a is trained and at first 1. A term reads it as a number, t='~temperature.t'; from
    a second term, of negative weight and with t='temperature.t', it learns to make the first one hard.

    Attributes:
      least: the temperature is greater.
      span: and smaller than least + span.
    """

    least: NonNegative = 1.0
    span: Positive = 20.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: anything; it is not read. Returns: t, []."""
        return {'t': self.least + self.span * nn.sigmoid(self.param('a', nn.initializers.ones, ()))}


@dataclasses.dataclass(frozen=True, eq=False)
class PGD:
    """Adversarial examples of a network: projected gradient ascent on its loss, in a ball around the images.

    Madry et al. (2018), equation 2, in the maximum norm. It shares its parameters with the network attacked:
    dict(model='pgd', update='shared', of='~student', input=['batch.image', 'batch.label']). Against labels it ascends
    the cross-entropy (ARD, Goldblum et al. 2020); against a teacher's logits the KL divergence from them (RSLAD, Zi et
    al. 2021, equation 7). The network is attacked as it is in evaluation.

    Attributes:
      network: the one attacked.
      epsilon: radius of the ball, in units of the images, which are in [0, 1]; 8/255 for CIFAR.
      size: of a step; 2/255 for CIFAR.
      steps: how many.
      random_start: whether the first point is drawn from the ball.
    """

    network: Any
    epsilon: NonNegative = 8 / 255
    size: Positive = 2 / 255
    steps: int = 10
    random_start: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f'steps is {self.steps}, but an attack takes at least 1')

    def init(self, rngs: Any, image: jax.Array, target: jax.Array, *, train: bool = False) -> Mapping[str, Any]:
        return self.network.module.init(rngs, *self.network.normalized((image,)), train=False)

    def apply(
        self, variables: Mapping[str, Any], image: jax.Array, target: jax.Array, *, train: bool = False,
        rngs: Any = None, mutable: Any = (),
    ) -> tuple[dict[str, jax.Array], dict[str, Any]]:  # fmt: skip
        """Args: image: [batch, ...]; target: labels [batch], or logits [batch, num_classes]. Returns: image, as it."""

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
        # Unrolled, for convolutions in a loop are slow on CPUs (see `Job.convolves_on_cpu`).
        x, _ = jax.lax.scan(ascend, jnp.clip(x, 0.0, 1.0), length=self.steps, unroll=True)
        return {'image': jax.lax.stop_gradient(x)}, {}
