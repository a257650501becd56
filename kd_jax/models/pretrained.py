"""Your own pretrained models as teachers: a pure function or an NNX module, with its weights."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

NAME = 'pretrained'


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A function and its arrays, used in place of a linen module.

    Attributes:
      function: called as function(arrays, *inputs); returns logits [batch, num_classes] or a dict of named activations.
        It must be pure, and is the same in training and in evaluation.
      arrays: any tree of arrays, from which a run starts. They are an argument of the compiled programs, not constants
        in them.
    """

    function: Callable[..., Any]
    arrays: Any

    @property
    def variables(self) -> dict[str, Any]:
        return {'params': {NAME: self.arrays}}

    def init(self, rngs: Any, *inputs: jax.Array, train: bool = False) -> dict[str, Any]:
        return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), self.variables)

    def apply(
        self, variables: Mapping[str, Any], *inputs: jax.Array, train: bool = False, rngs: Any = None, mutable: Any = ()
    ) -> tuple[Any, dict[str, Any]]:
        return self.function(variables['params'][NAME], *inputs), {}


def nnx_module(module: nnx.Module) -> Pretrained:
    """Wraps an NNX module in evaluation mode, with its parameters; its batch statistics become constants."""
    parts: Any = nnx.split(module, nnx.Param, ...)
    graph, params, rest = parts

    def function(params: Any, *inputs: jax.Array) -> Any:
        merged = nnx.merge(graph, params, rest)
        merged.eval()
        return merged(*inputs)

    return Pretrained(function, params)
