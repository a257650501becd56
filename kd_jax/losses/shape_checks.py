"""Shape checks that several losses use."""

import math

import jax

from kd_jax.config.errors import UserError


def check_batch(student: jax.Array, target: jax.Array, least: int = 2) -> None:
    """Raises a UserError unless both arrays have the same number of examples, at least `least`."""
    if student.shape[0] != target.shape[0]:
        raise UserError(f'the student has {student.shape[0]} examples and the teacher {target.shape[0]}')
    if student.shape[0] < least:
        raise UserError(
            f'the loss compares examples of a batch with each other and needs at least {least}, not {student.shape[0]}'
        )


def check_classes(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError if the numbers of classes differ, or there is only one."""
    check_several_classes(student)
    if student.shape[-1] != target.shape[-1]:
        raise UserError(
            f'the student has {student.shape[-1]} classes and the teacher {target.shape[-1]}; if the first ones are '
            "the same, as in vocabularies that are filled up, model 'known_tokens' cuts logits to them"
        )


def check_several_classes(logits: jax.Array) -> None:
    """Raises a UserError if the logits [..., num_classes] are those of a single class."""
    if logits.shape[-1:] == (1,):
        raise UserError(
            'the softmax of a single output is always 1, so the loss and its gradient are always 0; use mse for a '
            'number, or bce and bce_kd for yes or no'
        )


def check_class_weights(logits: jax.Array, class_weights: tuple[float, ...]) -> None:
    """Raises a UserError unless there is one weight for each class of [..., num_classes], or none at all."""
    if not class_weights:
        return
    numbers = all(isinstance(weight, int | float) and math.isfinite(weight) for weight in class_weights)
    if not numbers or len(class_weights) != logits.shape[-1] or min(class_weights) < 0 or sum(class_weights) <= 0:
        raise UserError(
            f'class_weights is {class_weights}, but needs one number for each of the {logits.shape[-1]} classes, at '
            'least 0 and not all 0'
        )


def check_logits(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError unless both arrays are [batch, num_classes], with at least 2 examples."""
    check_classes(student, target)
    if student.ndim != 2 or target.ndim != 2:
        raise UserError(
            f'the loss needs logits [batch, num_classes], not {list(student.shape)} and {list(target.shape)}'
        )
    check_batch(student, target)


def check_maps(*maps: jax.Array) -> None:
    """Raises a UserError unless every array is a feature map, [..., batch, height, width, channels]."""
    for array in maps:
        if array.ndim < 4:
            raise UserError(f'the loss needs feature maps [batch, height, width, channels], not {list(array.shape)}')


def check_space(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError unless both arrays are feature maps of the same height and width."""
    check_maps(student, target)
    if student.shape[-3:-1] != target.shape[-3:-1]:
        sizes = ['{} x {}'.format(*array.shape[-3:-1]) for array in (student, target)]
        raise UserError(
            f"the student's maps are {sizes[0]} and the teacher's {sizes[1]}: put a connector of "
            f'size={target.shape[-3:-1]} between them, or choose layers of the same size'
        )


def check_alike(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError unless the trailing axes, as many as both arrays have, are equal."""
    shared = min(student.ndim, target.ndim)
    if student.shape[student.ndim - shared :] != target.shape[target.ndim - shared :]:
        if shared >= 4:
            check_space(student, target)
        raise UserError(
            f"the student's shape is {list(student.shape)} and the teacher's {list(target.shape)}: put a connector "
            'between them'
        )
