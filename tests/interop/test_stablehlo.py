"""An exported network runs without this package and gives the same logits."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

from experiments import export as command
from kd_jax.config.errors import UserError
from kd_jax.core.forward import forward
from kd_jax.core.network import Network
from kd_jax.core.paths import Path
from kd_jax.interop import pytorch_weights
from kd_jax.interop.pytorch_weights import load_pytorch_weights
from kd_jax.interop.stablehlo import export_program, flat_weights, network_program
from kd_jax.models.pretrained import Pretrained
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies.execute import execute_group
from kd_jax.studies.finished_runs import load_trained
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 8, 8, 3), np.uint8)
LABELS = np.arange(8, dtype=np.int32) % 2
STUDENT = {
    'model': 'cnn',
    'channels': (3, 4),
    'num_classes': 2,
    'normalize': {'mean': (0.4, 0.5, 0.6), 'std': (0.2,) * 3},
}
# This program runs in a process that cannot import kd_jax or flax.
ALONE = """
import sys
sys.modules.update({'kd_jax': None, 'flax': None})
import jax.export, numpy, safetensors.numpy
directory = sys.argv[1]
weights = safetensors.numpy.load_file(f'{directory}/weights.safetensors')
with open(f'{directory}/logits.stablehlo', 'rb') as file:
    logits = jax.export.deserialize(bytearray(file.read())).call
images = numpy.load(f'{directory}/images.npy')
numpy.savez(f'{directory}/out.npz', three=logits(weights, images[:3]), all=logits(weights, images))
"""


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """A finished study of one run."""
    path = tmp_path_factory.mktemp('study')
    (path / 'results').mkdir()
    np.savez(path / 'd.npz', train_image=IMAGES, train_label=LABELS, test_image=IMAGES, test_label=LABELS)
    run = {
        'data': {'source': 'npz', 'path': str(path / 'd.npz'), 'num_classes': 2},
        'batch_size': 4,
        'epochs': 1,
        'optimizer': {'learning_rate': 0.1},
        'networks': {'student': STUDENT},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}},
    }
    planned = parse_study({'name': 'small', 'runs': {'only': run}}, 'here')
    execute_group(planned, planned.runs, Workdir(path), lambda *_: None)
    return path


def logits(network, variables):
    """The program of a network on its own."""
    name = network.name
    return network_program([network], {name: network}, {name: variables}, Path(name, 'logits'))


def exported(workdir, out, *options):
    return command.main([f'--workdir={workdir}', '--run=only-s0', f'--out={out}', *options])


def test_an_exported_student_runs_without_this_code_on_batches_of_any_size(workdir, tmp_path, capsys):
    assert exported(workdir, tmp_path) == 0
    assert 'uint8[batch,8,8,3]' in capsys.readouterr().out
    np.save(tmp_path / 'images.npy', IMAGES)
    subprocess.run([sys.executable, '-c', ALONE, str(tmp_path)], check=True, timeout=300)
    made = prepare_run(Workdir(workdir).result('only-s0')['config'], 0, 'here')
    network = made.recipe.network('student')
    variables = load_trained(made, network, workdir / 'runs' / 'only-s0')
    expected = forward(network, variables, [IMAGES / np.float32(255)], jax.random.key(0), False)[0]['logits']
    with np.load(tmp_path / 'out.npz') as out:
        np.testing.assert_allclose(out['all'], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out['three'], expected[:3], rtol=1e-4, atol=1e-5)
    weights = safetensors.numpy.load_file(tmp_path / 'weights.safetensors')
    assert weights['conv2.weight'].shape == (4, 3, 3, 3)
    start = Network('student', network.module, (), init='torch:x')
    again = load_pytorch_weights(start, str(tmp_path / 'weights.safetensors'), variables, 'here')
    jax.tree.map(np.testing.assert_array_equal, again, variables)


def test_the_program_of_a_network_with_batch_norm_uses_its_averages():
    config = {'networks': {'a': {'model': 'cifar_resnet', 'depth': 8, 'channels': (2, 2, 2, 2), 'num_classes': 3}}}
    network = parse_recipe({**config, 'optimizer': {'learning_rate': 0.1}}).networks[0]
    shapes = jax.eval_shape(network.module.init, jax.random.key(0), IMAGES)
    variables = jax.tree.map(lambda a: RNG.uniform(0.1, 1.0, a.shape).astype(a.dtype), shapes)
    state = pytorch_weights.to_torch(network.module, variables)
    assert 'layer1.0.bn1.running_mean' in state
    got = jax.jit(logits(network, variables))(state, IMAGES)
    expected = jax.jit(network.module.apply)(variables, IMAGES / np.float32(255))['logits']
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(('name', 'largest'), [('image', 255), ('codes', 1)])
def test_only_the_image_of_a_batch_is_scaled(name, largest):
    config = {'networks': {'net': {'model': 'mlp', 'hidden': (), 'num_classes': 2, 'input': f'batch.{name}'}}}
    (network,) = parse_recipe({**config, 'optimizer': {'learning_rate': 0.1}}).networks
    variables = network.module.init(jax.random.key(0), IMAGES / np.float32(1), train=False)
    got = logits(network, variables)(pytorch_weights.to_torch(network.module, variables), IMAGES)
    expected = network.module.apply(variables, IMAGES / np.float32(largest), train=False)['logits']
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_network_that_cannot_be_traced_is_one_sentence():
    (network,) = parse_recipe({'networks': {'a': {'model': 'cnn'}}, 'optimizer': {'learning_rate': 0.1}}).networks
    program = network_program([network], {'a': network}, {'a': {'params': {}}}, Path('a', 'logits'))
    with pytest.raises(UserError, match="here, network 'a' cannot be exported: "):
        export_program(program, {}, [IMAGES], "here, network 'a'")


def test_weights_of_any_structure_are_named_by_their_places():
    weights = {'w': [np.float32([[1, 2], [3, 4]])], 'b': np.float32([5, 6])}
    network = Network('own', Pretrained(lambda p, x: x @ p['w'][0] + p['b'], weights), (Path('batch', 'x'),))
    variables = {'own': network.module.variables}
    flat = flat_weights({'own': network}, variables)
    assert sorted(flat) == ['params.pretrained.b', 'params.pretrained.w.0']
    program = network_program([network], {'own': network}, variables, Path('own', 'logits'))
    np.testing.assert_array_equal(program(flat, np.float32([[1, 1]])), [[1 + 3 + 5, 2 + 4 + 6]])


def test_a_model_that_takes_the_batch_size_as_a_number_is_told_how_to_write_it():
    network = Network('own', Pretrained(lambda p, x: x.reshape(len(x), -1), {}), (Path('batch', 'x'),))
    program = network_program([network], {'own': network}, {'own': network.module.variables}, Path('own', 'logits'))
    with pytest.raises(UserError, match=r'in the model, write x.shape\[0\] in place of len\(x\)'):
        export_program(program, {}, [IMAGES], 'here')
