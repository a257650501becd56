"""What tests of several rooms compare with."""

import logging
import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')  # libtpu is installed for preflight; without this JAX looks for a TPU

import jax
import jax.numpy as jnp
import numpy as np
import pytest

QUICK = ('analyses', 'losses', 'models', 'test_docs', 'test_shared_networks', 'test_forward')


def _raw(array):
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array


@pytest.fixture(scope='session')
def assert_bitwise():
    """`assert_bitwise(got, wanted)`: trees of one structure whose arrays are the same, bit for bit."""

    def compare(got, wanted):
        assert jax.tree.structure(got) == jax.tree.structure(wanted)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(_raw(a), _raw(b), strict=True), got, wanted)

    return compare


@pytest.fixture(scope='module', autouse=True)
def quick_compilation(request):
    """Where many small programs run once, compiling them is what takes the time."""
    before = jax.config.read('jax_disable_most_optimizations')
    quick = not {request.path.stem, request.path.parent.name}.isdisjoint(QUICK)
    jax.config.update('jax_disable_most_optimizations', before or quick)
    yield
    jax.config.update('jax_disable_most_optimizations', before)


@pytest.fixture(scope='module')
def settings_as_before(tmp_path_factory):
    """`main` sets jax's cache and log levels for the process; the cache stays out of the home directory."""
    names = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
    before = {name: getattr(jax.config, name) for name in names}
    levels = {name: logging.getLogger(name).level for name in ('absl', 'kd_jax')}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HOME', str(tmp_path_factory.getbasetemp()))
        yield
    for name, value in before.items():
        jax.config.update(name, value)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope='session')
def image_files(tmp_path_factory):
    """A directory with the TFDS data set 'squares', prepared as TFDS prepares its own: `prepare_squares`."""
    directory = tmp_path_factory.mktemp('tfds')
    prepare_squares(str(directory))
    return str(directory)


def prepare_squares(directory):
    """Writes 20 training and 7 validation images of several sizes: number n is 10 n everywhere, its class n % 3.

    TFDS encodes arrays with TensorFlow, but takes images that are encoded already without it.
    """
    import io

    import tensorflow_datasets as tfds
    from PIL import Image

    def encoded(number):
        file = io.BytesIO()
        pixels = np.full((20 + number, 30, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(file, 'png')
        file.seek(0)
        return {'image': file, 'label': number % 3}

    class Squares(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version('1.0.0')

        def _info(self):
            features = {
                'image': tfds.features.Image(shape=(None, None, 3), encoding_format='png'),
                'label': tfds.features.ClassLabel(num_classes=3),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {'train': self._generate_examples(20), 'validation': self._generate_examples(7)}

        def _generate_examples(self, count):
            yield from ((number, encoded(number)) for number in range(count))

    tfds.display_progress_bar(False)
    Squares(data_dir=directory, file_format='array_record').download_and_prepare()
