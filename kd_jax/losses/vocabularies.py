"""Losses between student and teacher whose vocabularies differ."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import wide
from kd_jax.losses.shape_checks import check_several_classes


def sorted_distance(student: jax.Array, target: jax.Array) -> jax.Array:
    """Sum of the absolute differences between the sorted probabilities of student and teacher (ULD).

    Boizard et al. (2024, Universal Logit Distillation), equation 7: the Wasserstein distance at a cost of 1 for every
    pair of unlike tokens. The smaller vocabulary is filled up with probabilities of 0. It compares the shapes of two
    distributions and not which tokens are probable, so it accompanies a cross-entropy; `kd` of the first bytes of the
    next tokens (model 'first_bytes') compares what they say.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits at the same places of the text, [..., num_classes'].
    Returns:
      [...], in [0, 2].
    Raises:
      UserError: there is one class only.
    """
    check_several_classes(student)
    check_several_classes(target)
    longest = max(student.shape[-1], target.shape[-1])

    def ordered(logits: jax.Array) -> jax.Array:
        probabilities = jnp.sort(jax.nn.softmax(wide(logits)), axis=-1, descending=True)
        none = [(0, 0)] * (logits.ndim - 1)
        return jnp.pad(probabilities, [*none, (0, longest - logits.shape[-1])])

    return jnp.sum(jnp.abs(ordered(student) - ordered(target)), axis=-1)
