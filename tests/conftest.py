"""Fixtures that several folders share, and how tests compile."""

import gc
import logging
import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')  # libtpu is installed for preflight; without this JAX looks for a TPU

import jax
import numpy as np
import pytest
from jax._src import compiler

from tests.finished_runs import raw

# Folders and files that are compiled as users compile: their tests compare two different programs bit for bit, or read
# what a TPU's compiler says.
OPTIMISED = ('test_replay', 'test_stacked_runs', 'test_batch_feed', 'scale')
# XLA's older way to generate code for CPUs: the default one takes two to three times as long to compile.
OLD_CODE_GENERATOR = ('xla_cpu_use_fusion_emitters', False)
# It computes a stage of a network once for itself and once for what reads it, and rounds the two differently.
DEFAULT_CODE_GENERATOR = ('test_resnet', 'test_vgg', 'test_wide_resnet')
# By default a program is cut into parts that several threads compile, which takes more work in all than one part.
ONE_PART = ('xla_cpu_parallel_codegen_split_count', 1)
# Files that take longest begin first, so that with several processes none is left with a long one at the end.
LONGEST = (
    'test_preflight', 'test_multidevice', 'test_processes', 'test_every_loss', 'test_docs', 'test_replay',
    'test_saved_checkpoints', 'test_damaged_workdir', 'test_configs', 'test_generate',
    'test_stacked_runs', 'test_run_groups', 'test_local', 'test_ray_cluster', 'test_run', 'test_responses', 'test_loop',
    'test_connectors', 'test_batch_feed', 'test_recording',
)  # fmt: skip


def pytest_configure(config):
    if hasattr(config.option, 'loadscopereorder'):
        config.option.loadscopereorder = False  # pytest-xdist would begin with the files of most tests


def pytest_collection_finish():
    # Tracing makes many objects that live on, and Python looks through them for garbage again and again: it does so
    # less often here, and never through what the imports have made.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope='session')
def assert_bitwise():
    """`assert_bitwise(got, wanted)`: trees of one structure whose arrays are the same, bit for bit."""

    def compare(got, wanted):
        assert jax.tree.structure(got) == jax.tree.structure(wanted)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(raw(a), raw(b), strict=True), got, wanted)

    return compare


@pytest.fixture(scope='session')
def quick_options():
    """Options of the compiler, as `jax.jit` takes them, that make it quicker: those that this jaxlib has."""

    def is_known(option):
        try:
            jax.jit(lambda: 0, compiler_options=dict([option]))()
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return [option for option in (OLD_CODE_GENERATOR, ONE_PART) if is_known(option)]


@pytest.fixture(scope='module', autouse=True)
def quick_compilation(request, quick_options):
    """Compiles without optimisations: most tests run many small programs once, and compiling takes most of the time."""
    before, get_options = jax.config.read('jax_disable_most_optimizations'), compiler.get_compile_options
    quick = before or {request.path.stem, request.path.parent.name}.isdisjoint(OPTIMISED)
    if request.path.stem in DEFAULT_CODE_GENERATOR:
        quick_options = []

    def get_quick_options(*args, **kwargs):
        options = get_options(*args, **kwargs)
        options.env_option_overrides = [*options.env_option_overrides, *quick_options]
        return options

    with pytest.MonkeyPatch.context() as patch:
        if quick:
            patch.setattr(compiler, 'get_compile_options', get_quick_options)
            # For processes that a test starts: XLA has read these here already.
            patch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
            flags = [f'--{name}={value}'.lower() for name, value in quick_options]
            patch.setenv('XLA_FLAGS', ' '.join([os.environ.get('XLA_FLAGS', ''), *flags]).strip())
        jax.config.update('jax_disable_most_optimizations', quick)
        yield
        jax.config.update('jax_disable_most_optimizations', before)


@pytest.fixture(scope='session', autouse=True)
def compiled_once_a_session(tmp_path_factory):
    """Programs that several tests compile are read back from a directory of this session: the same machine code."""
    # `main` of experiments/run.py uses the same directory, below the home directory that `settings_as_before` sets.
    cache = tmp_path_factory.getbasetemp() / '.cache' / 'kd_jax' / 'xla'
    jax.config.update('jax_compilation_cache_dir', str(cache))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


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
def chain_study(tmp_path_factory):
    """The work directory of the finished study of tests/chain_study.py; not to be written."""
    from tests import chain_study

    return chain_study.finish(tmp_path_factory.mktemp('chain_study'))


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
