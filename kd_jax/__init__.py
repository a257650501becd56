"""kd_jax: knowledge distillation in JAX and Flax. A method is a config; one training step runs them all."""

import os
from collections.abc import Callable, Collection
from typing import Any


def load(
    workdir: str | os.PathLike[str], run: str, network: str = '', *, allow: Collection[str] = ()
) -> Callable[..., Any]:
    """Loads a network of a finished run as a function.

    The data of the run is not needed. A model or metric of your own ('package.module:name') that the run's config
    names is imported only if you `allow` it, because a result may come from somebody else and importing runs code.

    Args:
      workdir: the work directory of the study.
      run: a run and its seed, 'student-s0', or 'student' if it has one seed; 'student-s0@best' for the weights of its
        best evaluation on validation instead of the last ones.
      network: an evaluation of the run or its network; '' for the only one. Networks that it reads run, too.
      allow: names 'package.module:name' in the run's config that may be imported.
    Returns:
      `(images, *, activations=False) -> logits`. `images` are as the data has them, [batch, ...], 8-bit or floats as in
      training; a network that reads several arrays takes a dictionary of them. `logits` are [batch, num_classes], with
      stacked copies [copies, batch, num_classes]. With `activations=True` the function returns all activations of the
      network by name. It runs in evaluation mode, is compiled for each new shape, and may be differentiated.
    Raises:
      UserError: there is no such run or network, weights that it needs are not there, or the config names something to
        import that is not allowed.
    """
    import pathlib

    from kd_jax.studies.network_function import load_network  # here, so that `import kd_jax` stays quick

    return load_network(pathlib.Path(workdir), run, network, allow)
