"""Initialises small networks and applies them, for tests of models."""

import jax
import numpy as np

KEY = jax.random.key(0)


def made(module, *inputs):
    """The variables of a module, and what it gives after training."""
    variables = module.init({'params': KEY, 'dropout': KEY}, *inputs, train=False)
    return variables, module.apply(variables, *inputs, train=False)


def trained(module, variables, *inputs, seed=1):
    """What a module gives in training, and its updated collections."""
    mutable = [name for name in variables if name != 'params']
    rngs = {'dropout': jax.random.key(seed)}
    return module.apply(variables, *inputs, train=True, rngs=rngs, mutable=mutable)


def assert_shapes(module, inputs, shapes):
    """The outputs have these shapes in training and after it."""
    variables, out = made(module, *inputs)
    assert {name: array.shape for name, array in out.items()} == shapes
    out, _ = trained(module, variables, *inputs)
    assert {name: array.shape for name, array in out.items()} == shapes


def parameter_count(module, size):
    """The number of parameters of a network of colour images, size x size; nothing is computed."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), image)
    return sum(a.size for a in jax.tree.leaves(variables['params']))


def shapes_for(module, size):
    """The shapes of the outputs for one image without the axis of examples; nothing is computed."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    out, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
    return {key: a.shape[1:] for key, a in out.items() if not key.endswith('_pre')}
