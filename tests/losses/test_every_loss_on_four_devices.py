"""A loss over a batch, or over the tokens of a batch that count, is the same on one device and spread over four."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.core.test_term_values_of_sequences import BATCH, stepped
from tests.losses.test_every_loss import CASES, arguments, compares, loss_of

COMPARING = [name for name in CASES if compares(name)]


def on_four_devices():
    """Values and gradients of the losses that compare examples: batch on one device, and spread over four."""
    jax.config.update('jax_disable_most_optimizations', True)
    devices = np.array(jax.devices())
    assert len(devices) == 4
    mesh = jax.sharding.Mesh(devices, ('data',))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
    out = {}
    for name in COMPARING:
        args = arguments(name, batch=8)

        def total(*args, name=name):
            return jnp.mean(loss_of(name)(*args))

        function = jax.jit(jax.value_and_grad(total))
        results = [function(*place) for place in (args, [jax.device_put(a, spread) for a in args])]
        assert len(results[1][1].devices()) == 4
        out[name] = [[float(value), np.asarray(grad).tolist()] for value, grad in results]
    out['tokens'] = []
    for batch in (BATCH, jax.device_put(BATCH, spread)):  # each device has one row, with 4, 1, 3 and no targets
        params, metrics, *_ = stepped(batch=batch)
        out['tokens'].append([float(metrics['loss'][0]), np.asarray(jax.tree.leaves(params)[0]).tolist()])
    print(json.dumps(out))


@pytest.fixture(scope='module')
def from_four_devices():
    environment = {
        **os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(pathlib.Path(__file__).parents[2]),
        'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count=4',
    }  # fmt: skip
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('name', COMPARING)
def test_a_batch_on_four_devices_is_the_batch_on_one(name, from_four_devices):
    one, four = from_four_devices[name]
    np.testing.assert_allclose(four[0], one[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(four[1], one[1], rtol=1e-3, atol=1e-6)


def test_a_mean_over_tokens_is_that_of_all_devices_together(from_four_devices):
    one, four = from_four_devices['tokens']
    np.testing.assert_allclose(four[0], one[0], rtol=1e-5)
    np.testing.assert_allclose(four[1], one[1], rtol=1e-5, atol=1e-6)


if __name__ == '__main__':
    on_four_devices()
