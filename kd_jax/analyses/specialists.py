"""Combines a generalist with specialists (Hinton et al. 2015, section 5)."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.analyses.predictions import Splits, checked_classes, labels_of, logits_of
from kd_jax.analyses.units import states_units
from kd_jax.config.errors import UserError

# exp(-60) is far above the smallest number of float32, so no sum of probabilities becomes 0.
LOWEST_LOG_PROBABILITY = -60.0


@states_units(
    examples='count',
    errors='count',
    accuracy='fraction',
    relative_accuracy_gain='fraction',
    relative_error_reduction='fraction',
    without_specialist='count',
    generalist='fraction',
    combined='fraction',
    specialist='fraction',
    delta_errors='count',
    generalist_accuracy='fraction',
    combined_accuracy='fraction',
    relative_accuracy_change='fraction',
)
def specialists(
    generalist: Splits,
    specialist: Splits,
    labels: Splits,
    *,
    subsets: Sequence[Sequence[int]],
    oversampling: float | Sequence[float] = 1.0,
    steps: int = 200,
    learning_rate: float = 1.0,
) -> dict[str, Any]:
    """How much specialists improve a generalist.

    Hinton et al. (2015), sections 5.2 to 5.5 and tables 3 and 4. `combined_logits` combines the models;
    `undo_oversampling` corrects the dustbin class. A specialist is active for an image if its subset contains the
    generalist's most probable class (n = 1 in the paper).

    Args:
      generalist: logits, [examples, num_classes], for every split to be scored.
      specialist: logits, [specialists, examples, size + 1]; entry j belongs to class `subsets[m][j]`, the last entry to
        the dustbin.
      labels: [examples].
      subsets: the classes of each specialist; all lists have the same size.
      oversampling: how many times more often an example of the subset was drawn in the specialist's training than one
        of the other examples; one number for all specialists or one for each. If half of the training examples came
        from the subset, it is (1 - s) / s, with s the subset's share of the data. 1 if the specialist saw the data
        unchanged or its logits are already corrected.
      steps: steps of gradient descent.
      learning_rate: of gradient descent, in (0, 1].
    Returns:
      for each split: 'examples'; 'generalist' and 'combined', each {'accuracy', 'errors'}; 'relative_accuracy_gain' and
      'relative_error_reduction'; 'without_specialist', the number of images for which no specialist is active;
      'conditional_accuracy' of generalist, combined and specialist, over all pairs of a specialist and an image of its
      classes, with predictions restricted to these classes; 'covering', a list by the number of specialists whose
      subset contains the true class: {'covering', 'examples', 'delta_errors', 'generalist_accuracy',
      'combined_accuracy', 'relative_accuracy_change'}. A ratio is None if its denominator is 0.
    Raises:
      UserError: malformed arrays or subsets, or an oversampling or learning rate out of range.
    """
    if not 0 < learning_rate <= 1:
        raise UserError(f'specialists: learning_rate is {learning_rate:g}, but must lie in (0, 1].')
    scores = {}
    for split in generalist:
        general = logits_of(generalist, split, 'specialists: generalist')
        special = logits_of(specialist, split, 'specialists: specialist', axes='specialists, examples, size + 1')
        true = labels_of(labels, split, 'specialists: labels', general)
        members = checked_subsets(subsets, general, special)
        special = undo_oversampling(special, checked_oversampling(oversampling, len(members)))
        inside = np.zeros((len(members), general.shape[-1]), bool)
        np.put_along_axis(inside, members, True, axis=-1)
        active = inside[:, general.argmax(axis=-1)].T
        combined = np.asarray(combined_logits(general, special, members, active, learning_rate, steps=steps))
        scores[split] = {
            **_overall(general, combined, true),
            'without_specialist': int((~active.any(axis=-1)).sum()),
            'conditional_accuracy': _conditional(general, combined, special, true, members),
            'covering': _by_covering(general, combined, true, inside[:, true].sum(axis=0)),
        }
    return scores


def undo_oversampling(logits: np.ndarray, oversampling: np.ndarray) -> np.ndarray:
    """Adds the log of the oversampling to the dustbin's logit.

    Hinton et al. (2015), section 5.2. By Bayes' rule, drawing the subset's examples r times as often as the others
    multiplies the odds of subset against dustbin by r, for every image.

    Args:
      logits: [specialists, examples, size + 1]; the last entry is the dustbin.
      oversampling: r, [specialists].
    Returns:
      logits for the original data, of the same shape.
    """
    corrected = logits.copy()
    corrected[..., -1] += np.log(oversampling)[:, None]
    return corrected


@functools.partial(jax.jit, static_argnames='steps')
def combined_logits(
    generalist: jax.Array,
    specialist: jax.Array,
    subsets: jax.Array,
    active: jax.Array,
    learning_rate: float = 1.0,
    *,
    steps: int = 200,
) -> jax.Array:
    """The logits z whose q = softmax(z) minimises KL(p_g, q) + sum over active m of KL(p_m, q).

    Hinton et al. (2015), section 5.4, equation 5. A specialist's dustbin stands for all classes outside its subset and
    is compared with the sum of q over them. The objective is convex in q and has one minimum. Gradient descent starts
    at the generalist and minimises the mean of the divergences; its gradient is q minus the probabilities that the
    models ask for. The step of each class is divided by the larger of these two; otherwise classes of small probability
    would hardly move, and models that are sure of different classes would need many hundreds of steps. Without an
    active specialist, z is `generalist` itself.

    Args:
      generalist: logits, [examples, num_classes].
      specialist: corrected logits, [specialists, examples, size + 1]; the last entry is the dustbin.
      subsets: classes, [specialists, size].
      active: bool, [examples, specialists].
      learning_rate: in (0, 1]; also the largest decrease or increase of a logit in one step.
      steps: steps of gradient descent.
    Returns:
      [examples, num_classes].
    """
    start = jnp.maximum(jax.nn.log_softmax(generalist), LOWEST_LOG_PROBABILITY)
    p = jax.nn.softmax(specialist)
    places = jax.nn.one_hot(subsets, generalist.shape[-1])
    outside = 1.0 - places.sum(axis=1)
    active = active.astype(start.dtype)
    # Together these are the pseudo-counts of a likelihood: single classes, and the classes of each dustbin.
    counts = jnp.exp(start) + jnp.einsum('nm,mns,msc->nc', active, p[..., :-1], places, precision='highest')
    dustbins = active * p[..., -1].T
    share = 1.0 / (1.0 + active.sum(axis=-1))

    def objective(z: jax.Array) -> jax.Array:
        log_q = jax.nn.log_softmax(z)
        rest = jnp.matmul(jnp.exp(log_q), outside.T, precision='highest')
        likelihood = jnp.sum(counts * log_q, axis=-1) + jnp.sum(dustbins * jnp.log(rest), axis=-1)
        return -jnp.sum(share * likelihood)

    def descend(_: int, z: jax.Array) -> jax.Array:
        q, gradient = jax.nn.softmax(z), jax.grad(objective)(z)
        return z - learning_rate * gradient / jnp.maximum(q, q - gradient)

    z = jax.lax.fori_loop(0, steps, descend, start)
    return jnp.where(active.any(axis=-1, keepdims=True), z, generalist)


def checked_subsets(
    subsets: Sequence[Sequence[int]], general: np.ndarray | jax.Array, special: np.ndarray | jax.Array
) -> np.ndarray:
    """The classes of each specialist, [specialists, size].

    Raises:
      UserError: they are malformed, are not among the classes of the generalist, or do not fit the specialists' logits.
    """
    if any(np.ndim(subset) != 1 for subset in subsets):
        raise UserError(f'specialists: subsets must be a list of lists of class numbers, not {subsets!r}.')
    if len({len(subset) for subset in subsets}) != 1:
        raise UserError(
            f'specialists: subsets have sizes {[len(s) for s in subsets]}, but all must have the same size.'
        )
    members = np.stack(
        [checked_classes(subset, general.shape[-1], f'specialists: subset {m}') for m, subset in enumerate(subsets)]
    )
    needed = (len(members), len(general), members.shape[1] + 1)
    if special.shape != needed:
        raise UserError(
            f'specialists: logits of the specialists have shape {special.shape}, but the subsets and the '
            f'generalist require {needed}: specialists, examples, classes of a subset + dustbin.'
        )
    return members


def checked_oversampling(oversampling: float | Sequence[float], specialists: int) -> np.ndarray:
    """The oversampling of each specialist, [specialists].

    Raises:
      UserError: it is not positive, or there is another number of them.
    """
    rates = np.asarray(oversampling, np.float64)
    if rates.shape not in ((), (specialists,)) or not (np.isfinite(rates) & (rates > 0)).all():
        raise UserError(
            f'specialists: oversampling is {rates.tolist()}, but must be one positive number, or {specialists} of them.'
        )
    return np.broadcast_to(rates, (specialists,))


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator / denominator) if denominator else None


def _overall(general: np.ndarray, combined: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    before = int((general.argmax(axis=-1) != true).sum())
    after = int((combined.argmax(axis=-1) != true).sum())
    return {
        'examples': len(true),
        'generalist': {'accuracy': 1.0 - before / len(true), 'errors': before},
        'combined': {'accuracy': 1.0 - after / len(true), 'errors': after},
        'relative_accuracy_gain': _ratio(before - after, len(true) - before),
        'relative_error_reduction': _ratio(before - after, before),
    }


def _conditional(
    general: np.ndarray, combined: np.ndarray, special: np.ndarray, true: np.ndarray, members: np.ndarray
) -> dict[str, float | None]:
    right = {'generalist': 0, 'combined': 0, 'specialist': 0}
    pairs = 0
    for subset, own in zip(members, special, strict=True):
        mine = np.isin(true, subset)
        pairs += int(mine.sum())
        views = {'generalist': general[:, subset], 'combined': combined[:, subset], 'specialist': own[:, :-1]}
        for name, view in views.items():
            right[name] += int((subset[view[mine].argmax(axis=-1)] == true[mine]).sum())
    return {name: _ratio(count, pairs) for name, count in right.items()}


def _by_covering(
    general: np.ndarray, combined: np.ndarray, true: np.ndarray, covering: np.ndarray
) -> list[dict[str, Any]]:
    table = []
    for k in range(int(covering.max()) + 1):
        row = covering == k
        before = int((general[row].argmax(axis=-1) == true[row]).sum())
        after = int((combined[row].argmax(axis=-1) == true[row]).sum())
        table.append(
            {
                'covering': k,
                'examples': int(row.sum()),
                'delta_errors': before - after,
                'generalist_accuracy': _ratio(before, row.sum()),
                'combined_accuracy': _ratio(after, row.sum()),
                'relative_accuracy_change': _ratio(after - before, before),
            }
        )
    return table
