"""How the parameters of a network are split over the axis 'tensor' of the mesh.

A model that can be split has a function `tensor_split(parts)`. It returns, for the parameters that `parts` devices
share, the axis that is split, counted from the last: {'query/kernel': -1, 'down/kernel': -2}. A parameter is named by
the last names of its path. Matrix products with such parameters are then split, too: of a layer's first matrices each
device has some columns, of its last one the same rows, and one sum over the devices completes the result. Shoeybi et
al. (2019), "Megatron-LM", section 3.
"""

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

TENSOR = 'tensor'
Split = Mapping[str, int]
WHOLE: Split = {}  # of a model that cannot be split


def parts_in_context() -> int:
    """The size of the axis 'tensor' of the mesh in context; 1 if there is none."""
    return dict(jax.sharding.get_abstract_mesh().shape).get(TENSOR, 1)


def axis_to_split(path: tuple[Any, ...], split: Split) -> int | None:
    """The axis of a parameter that is split, counted from the last; None for a whole parameter.

    Args:
      path: the path of the parameter in a tree of parameters or of optimizer state, as JAX gives it.
      split: the axes by the last names of a path.
    """
    if not split:
        return None
    names = jax.tree_util.keystr(path[-2:], simple=True, separator='/')
    return split.get(names, split.get(names.rpartition('/')[2]))


def gather_parameters(tree: Any, split: Split = WHOLE) -> Any:
    """Gathers parameters that are split over 'fsdp', so that every device has them where their network runs.

    Does nothing if no mesh is in context. Without this constraint the compiler may gather the batch instead, and each
    device would hold the activations of the whole batch.

    Args:
      tree: parameters.
      split: the axes that stay split over 'tensor'.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return tree

    def gathered(path: tuple[Any, ...], array: jax.Array) -> jax.Array:
        axes: list[str | None] = [None] * array.ndim
        if (axis := axis_to_split(path, split)) is not None:
            axes[axis] = TENSOR
        return jax.lax.with_sharding_constraint(array, PartitionSpec(*axes))

    return jax.tree.map_with_path(gathered, tree)
