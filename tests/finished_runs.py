"""Where a run ended: its newest checkpoint, and its history without what a clock says."""

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp


def final_state(directory, checkpoints='checkpoints'):
    """The newest checkpoint in the directory of a run; Orbax reads it without expected shapes, and warns of that."""
    with ocp.training.Checkpointer((directory / checkpoints).absolute()) as checkpointer:
        newest = max(checkpoint.step for checkpoint in checkpointer.checkpoints)
        return checkpointer.load_checkpointables(newest)['state']


def raw(array):
    """The array, or the numbers of an array of random keys."""
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array


def without_seconds(history):
    return [{key: value for key, value in row.items() if key != 'seconds'} for row in history]


def files_in(directory):
    """Content of every file but the lock."""
    return {path: path.read_bytes() for path in directory.rglob('*') if path.is_file() and path.name != '.lock'}
