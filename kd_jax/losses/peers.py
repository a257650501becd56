"""Networks that teach each other, and a network that is taught by what it said before."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.errors import UserError
from kd_jax.hyperparameters import Fraction, Positive
from kd_jax.losses.arrays import Mask, check_batch, check_classes, check_logits, product, valid, wide
from kd_jax.losses.logits import cross_entropy, kd


def codistillation(student: jax.Array, target: jax.Array, *, t: Positive = 1.0) -> jax.Array:
    """`kd` of each of several networks from the mean distribution of the others.

    Anil et al. (2018), algorithm 1, with predictions that are never stale; of two networks, deep mutual learning
    (Zhang et al. 2018, equations 4 and 5). Where the copies differ in more than their initial weights, write two `kd`
    terms with '~peer.logits' instead.

    Args:
      student: logits of a network with copies, [copies, ..., num_classes].
      target: the same as constants, '~students.logits'.
      t: temperature.
    Returns:
      nats per copy and example, [copies, ...].
    Raises:
      UserError: fewer than two copies, or of another shape than the target.
    """
    if student.ndim < 3 or student.shape[0] < 2 or student.shape != target.shape:
        shapes = f'{list(student.shape)} and {list(target.shape)}'
        raise UserError(f'it needs twice the logits of one network with 2 or more copies, not {shapes}')
    each = [kd(own, jnp.concatenate([target[:i], target[i + 1 :]]), t=t) for i, own in enumerate(student)]
    return jnp.stack(each)


def kdcl(
    student: jax.Array, target: jax.Array, labels: jax.Array,
    *, t: Positive = 2.0, form: Literal['min_logit', 'naive'] = 'min_logit',
) -> jax.Array:  # fmt: skip
    """`kd` from the best of what several networks say about an example, themselves among them.

    Guo et al. (2020, KDCL), section 3. 'naive' (equation 4): the logits of the network with the least cross-entropy.
    'min_logit' (equation 7): logits brought to 0 at the label, and of each class the least, so that no network is surer
    of a wrong class than the surest of right ones.

    Args:
      student: logits, [..., num_classes], of one network or of each of several.
      target: logits of all of them, [networks, batch, num_classes]: '~students.logits', or a list of paths with '~'.
      labels: integers, [batch].
      t: temperature.
      form: 'min_logit' or 'naive'.
    Returns:
      nats per example, with the leading axes of `student`.
    Raises:
      UserError: other numbers of classes, or fewer than two networks.
    """
    check_classes(student, target)
    if target.ndim < 3 or target.shape[0] < 2:
        raise UserError(f'it needs the logits of 2 or more networks, not {list(target.shape)}')
    target = wide(target)
    if form == 'naive':
        error = cross_entropy(target, labels)
        best = jnp.take_along_axis(target, jnp.argmin(error, axis=0)[None, ..., None], axis=0)[0]
    else:
        of_label = jnp.take_along_axis(target, jnp.broadcast_to(labels, target.shape[:-1])[..., None], axis=-1)
        best = jnp.min(target - of_label, axis=0)
    return kd(student, jnp.broadcast_to(best, student.shape), t=t)


def class_wise(
    student: jax.Array, target: jax.Array, labels: jax.Array, *, t: Positive = 4.0, where: Mask = None
) -> jax.Array:
    """`kd` of each example from the mean distribution of the others of its class in the batch.

    Class-wise self-distillation (Yun et al. 2020, CS-KD, equation 2, t = 4). The paper draws one other example of the
    class for each; here those of the batch serve, so a batch should be larger than the number of classes. An example
    that is alone in its class gives 0.

    Args:
      student: logits, [batch, num_classes].
      target: the same as constants, '~student.logits'.
      labels: integers, [batch].
      t: temperature.
      where: [batch], which examples are taught and teach.
    Returns:
      nats per example, [batch].
    Raises:
      UserError: fewer than 2 examples, other numbers of classes, or not one label for each example.
    """
    check_logits(student, target)
    check_batch(student, labels)
    counts = valid(student, where)
    same = (labels[:, None] == labels[None, :]) & ~jnp.eye(len(labels), dtype=bool)
    same = same * counts[:, None] * counts[None, :]
    others = jnp.sum(same, axis=1)
    taught = (others > 0)[:, None]
    said = jnp.where(counts[:, None] > 0, jax.nn.softmax(wide(target) / t), 0.0)
    mean = product(same, said.T) / jnp.where(taught, others[:, None], 1.0)
    # The mean as logits that `kd` softens to it again; probabilities that underflowed stay finite.
    wanted = t * jnp.log(jnp.maximum(jnp.where(taught, mean, 1.0), jnp.finfo(mean.dtype).tiny))
    return jnp.where(taught[:, 0], kd(jnp.where(taught, student, 0.0), wanted, t=t), 0.0)


def progressive(
    logits: jax.Array, target: jax.Array, known: jax.Array, labels: jax.Array, *, alpha: Fraction = 0.8
) -> jax.Array:
    """Cross-entropy to (1 - alpha) of the label and alpha of what the network itself said before.

    Progressive self-knowledge distillation (Kim et al. 2021, PS-KD, equation 6): alpha grows linearly from 0 to 0.8
    over the run, and `target` are the logits of the epoch before, see the model 'recall'. Where there are none, in the
    first epoch, labels stand alone, as in the published code.

    Args:
      logits: [..., num_classes].
      target: earlier logits, [..., num_classes].
      known: whether there are any, [...].
      labels: integers, broadcast against the leading axes of `logits`.
      alpha: share of the target that is the network's own; a schedule from 0.
    Returns:
      nats per example, [...].
    Raises:
      UserError: other numbers of classes.
    """
    check_classes(logits, target)
    own = cross_entropy(logits, jax.nn.softmax(wide(target)))
    share = jnp.where(known > 0, alpha, 0.0)
    return (1.0 - share) * cross_entropy(logits, labels) + share * own
