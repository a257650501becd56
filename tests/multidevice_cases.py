"""What holds on one device holds on four and on eight: `test_multidevice.py` runs this file on eight fake ones."""

import math
import os
import signal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses, models
from kd_jax.core.initial_state import init_state
from kd_jax.core.paths import Path
from kd_jax.core.state import all_variables
from kd_jax.data.sources import Source
from kd_jax.devices.matmul_precision import in_bfloat16
from kd_jax.devices.tensor_axis import axis_to_split
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.training.active_run import RunToTrain
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.chunk_program import make_chunk_program, make_initial_state, stack_states
from kd_jax.training.loop import train_group
from kd_jax.training.stop_signals import Preempted
from tests.small_recipes import Mixture
from tests.train_one import silent, train_run

MESHES = {1: {'data': 1, 'fsdp': 1}, 4: {'data': 2, 'fsdp': 2}, 8: {'data': 2, 'fsdp': 2, 'stack': 2}}
STEPS = 3


def source():
    """Images [12, 12] whose class is the brightest of three bands; few are 'labelled', all in the first rows."""
    rng = np.random.default_rng(0)

    def split(size):
        image = rng.integers(0, 256, size=(size, 12, 12)).astype(np.uint8)
        label = image.reshape(size, 3, -1).sum(-1).argmax(-1).astype(np.int32)
        text = image.reshape(size, -1)[:, :7].astype(np.int32) % 11
        words = {'tokens': text[:, :-1], 'next': text[:, 1:]}
        return {'image': image, 'label': label, 'labelled': np.arange(size) % 5 == 0, **words}

    return Source(split(96), split(37), 3)


class Normalised(nn.Module):
    """A convolution, batch normalisation, and a linear classifier."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.Conv(8, (3, 3))(x[..., None])
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(3)(x.reshape(len(x), -1))


def relation(student, target):
    """A loss of the whole batch: the squared distance of the cosine similarities between all its examples."""

    def similarities(x):
        x = x.reshape(len(x), -1)
        x = x / jnp.linalg.norm(x, axis=-1, keepdims=True)
        return x @ x.T

    return jnp.sum(jnp.square(similarities(student) - similarities(target)))[None] / len(student) ** 2


NET = {'model': models.mlp, 'hidden': (64,), 'num_classes': 3, 'sharding': 'fsdp'}
WHOLE = {**NET, 'sharding': 'replicated'}
FROZEN = {**NET, 'update': 'frozen', 'init': 'run:teacher'}


def hard(name, **options):
    return {'loss': losses.cross_entropy, 'logits': f'{name}.logits', 'labels': 'batch.label', **options}


def soft(student, target, **options):
    return {'loss': losses.kd, 'student': f'{student}.logits', 'target': target, 't': 3.0, **options}


FAMILIES = {
    'labels alone, with dropout': ({'a': {**NET, 'dropout': 0.3}}, {'hard': hard('a')}),
    'a frozen teacher, and a mixture with it': (
        {'a': WHOLE, 'teacher': FROZEN, 'mix': {'model': Mixture, 'update': 'shared', 'of': ['a', '~teacher']}},
        {'hard': hard('a'), 'soft': soft('a', 'teacher.logits'), 'mix': hard('mix')},
    ),
    'stacked teachers, averaged in three ways': (
        {'a': WHOLE, 'teacher': {**FROZEN, 'copies': 4}},
        {average: soft('a', 'teacher.logits', average=average) for average in ('probabilities', 'logits', 'losses')},
    ),
    'two that teach each other': (
        {'a': NET, 'b': WHOLE},
        {'hard_a': hard('a'), 'hard_b': hard('b'), 'a': soft('a', '~b.logits'), 'b': soft('b', '~a.logits')},
    ),
    'the average of itself, and few labels': (
        {'a': NET, 'mean': {**NET, 'update': 'follow', 'rule': 'ema', 'of': 'a', 'decay': 0.8}},
        {'hard': hard('a', mask='batch.labelled'), 'soft': soft('a', 'mean.logits')},
    ),
    'trained copies, clipped each by itself': (
        {'a': {**NET, 'copies': 2, 'optimizer': {'learning_rate': 0.1, 'momentum': 0.9, 'clip': 0.1, 'max_norm': 1.0}}},
        {'hard': hard('a')},
    ),
    'copies with batches of their own, and their average': (
        {
            'a': {**NET, 'copies': 2, 'own_batches': True},
            'mean': {**NET, 'update': 'follow', 'of': 'a', 'rule': 'average', 'every': 2, 'broadcast': True},
        },
        {'hard': hard('a', mask='batch.labelled')},
    ),
    'batch statistics': ({'a': {'model': Normalised}}, {'hard': hard('a')}),
    'a relation of the whole batch': (
        {'a': NET, 'teacher': FROZEN},
        {'relation': {'loss': relation, 'student': 'a.hidden1', 'target': 'teacher.hidden1'}},
    ),
    'bfloat16': ({'a': {**NET, 'compute_dtype': 'bfloat16'}}, {'hard': hard('a')}),
}


def prepared_of(networks, terms, mesh, **options):
    shared = not all('optimizer' in network for network in networks.values())
    config = {
        'data': {'source': source, 'augment': {'crop': 1}},
        'batch_size': 16,
        'epochs': 1,
        **({'optimizer': {'learning_rate': 0.1, 'momentum': 0.9}} if shared else {}),
        'networks': networks,
        'terms': terms,
        'mesh': mesh,
        **options,
    }
    return prepare_run(config, 0, 'the run', jax.devices()[: math.prod(mesh.values())])


def steps_on(prepared):
    """The state and the frozen networks after each of the first steps, and the metrics of each."""
    run_chunk = make_chunk_program(prepared)
    state, frozen = make_initial_state(prepared, {})
    after = []
    for step in range(STEPS):
        positions, epochs = prepared.order.steps(step, 1)
        resident = prepared.splits.arrays['train']
        state, metrics = run_chunk(state, prepared.recipe.hparams, frozen, resident, positions, epochs)
        assert_placed(state.params | frozen, prepared)
        after.append(jax.device_get((state._replace(key=0), metrics)))
    return after


def assert_placed(trees, prepared):
    """Sharded networks are in parts on each device, of which there are no more than one whole network makes."""
    for name, tree in trees.items():
        network, size = prepared.recipe.network(name), prepared.mesh.shape
        split = network.tensor_split(size['tensor'])
        large = ((p, a) for p, a in jax.tree.leaves_with_path(tree) if a.size >= 4096 * max(1, network.copies))
        for path, array in large:
            parts = size['fsdp'] if network.sharding == 'fsdp' else 1
            parts *= size['stack'] if network.copies else 1
            parts *= size['tensor'] if axis_to_split(path, split) is not None else 1
            assert all(shard.data.size == array.size // parts for shard in array.addressable_shards)


@pytest.mark.parametrize('family', FAMILIES)
def test_losses_gradients_and_parameters_agree_on_1_4_and_8_devices(family):
    # Momentum starts at zero, so that after the first step the optimizer's state is the gradient. That of a bias before
    # batch norm is zero but for rounding, which differs between machines.
    alone, *others = [steps_on(prepared_of(*FAMILIES[family], mesh)) for mesh in MESHES.values()]
    tolerance = {'rtol': 2e-2, 'atol': 2e-3} if family == 'bfloat16' else {'rtol': 1e-4, 'atol': 5e-6}
    for other in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), other, alone)
    assert any(np.any(a != b) for a, b in zip(*(jax.tree.leaves(s.params) for s, _ in alone[:2]), strict=True))


def test_under_fsdp_weights_travel_and_each_device_computes_its_own_examples():
    networks = {'a': {**NET, 'hidden': (64, 64)}, 'teacher': {**FROZEN, 'hidden': (64, 64)}}
    prepared = prepared_of(networks, {'hard': hard('a'), 'soft': soft('a', 'teacher.logits')}, {'fsdp': 8})
    state, frozen = jax.eval_shape(lambda: init_state(prepared.recipe, prepared.context['batch'], 0))
    arguments = prepared.splits.arrays['train'], *prepared.order.steps(0, 1)
    compiled = (
        make_chunk_program(prepared).lower(state, prepared.recipe.hparams, frozen, *arguments).compile().as_text()
    )
    # Hidden units of 16 examples in all, of 2 on each device.
    assert 'f32[2,64]' in compiled
    assert 'f32[16,64]' not in compiled


def test_each_device_goes_over_its_own_examples_in_parts():
    terms = {'hard': hard('a', mask='batch.labelled')}
    alone = prepared_of({'a': NET}, terms, MESHES[1])
    parts = prepared_of({'a': NET}, terms, MESHES[4], accumulate=2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6), steps_on(parts), steps_on(alone))
    state, frozen = jax.eval_shape(lambda: init_state(parts.recipe, parts.context['batch'], 0))
    arguments = parts.splits.arrays['train'], *parts.order.steps(0, 1)
    compiled = make_chunk_program(parts).lower(state, parts.recipe.hparams, frozen, *arguments).compile().as_text()
    # Hidden units of 16 examples in all, of 2 parts of 2 on each of 4 devices.
    assert 'f32[2,64]' in compiled
    assert not any(f'f32[{size},64]' in compiled for size in (4, 8, 16))
    assert 'all-to-all' not in compiled


def assert_close(got, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, wanted)


def numbers(result):
    """The losses and the evaluations of a result."""
    return [{key: row[key] for key in ('step', 'terms', 'test')} for row in result['history']], result['last']


@pytest.fixture(scope='module')
def distilled(tmp_path_factory):
    """Directories of a teacher and of a student, trained on eight devices, and the student's result."""
    directory = tmp_path_factory.mktemp('eight')
    train_run(prepared_of({'teacher': NET}, {'hard': hard('teacher')}, MESHES[8]), directory / 'teacher', {}, silent)
    result = train_run(student_on(8), directory / 'student', {'teacher': directory / 'teacher'}, silent)
    return directory, result


def student_on(devices):
    terms = {'hard': hard('a'), 'soft': soft('a', 'teacher.logits')}
    options = {'eval_every': 0.5, 'checkpoint_seconds': 0}
    return prepared_of({'a': {**NET, 'dropout': 0.2}, 'teacher': FROZEN}, terms, MESHES[devices], **options)


@pytest.mark.parametrize('devices', [4, 1])
def test_a_run_stopped_on_eight_devices_goes_on_with_fewer(devices, distilled, tmp_path):
    directory, whole = distilled

    def ask_to_stop(done, *_):
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    sources = {'teacher': directory / 'teacher'}
    with pytest.raises(Preempted, match='stopped at step 3 of 6'):
        train_run(student_on(8), tmp_path, sources, ask_to_stop)
    seen = []
    result = train_run(student_on(devices), tmp_path, sources, lambda done, *_: seen.append(done))
    assert seen == [3, 6]
    assert_close(numbers(result), numbers(whole))


def test_a_finished_run_is_read_bit_for_bit_on_one_device(distilled):
    found = Checkpoints(distilled[0] / 'student' / 'checkpoints')
    states = [found.restore(make_initial_state(student_on(devices), {})[0])[0] for devices in (8, 1)]
    assert [len(state.params['a']['dense1']['kernel'].sharding.device_set) for state in states] == [8, 1]
    jax.tree.map(np.testing.assert_array_equal, *[state._replace(key=0) for state in states])


def test_predictions_on_eight_devices_are_in_order_and_complete():
    networks = {'a': NET, 'b': {**NET, 'copies': 2}}
    paths, read = (Path('a', 'logits'), Path('b', 'logits')), []
    for mesh in (MESHES[1], MESHES[8]):
        prepared = prepared_of(networks, {'a': hard('a'), 'b': hard('b')}, mesh)
        variables = all_variables(*make_initial_state(prepared, {}), {})
        read.append(prepared.evaluator.predict(variables, prepared.splits.arrays['test'], paths))
    assert [array.shape for array in read[0]] == [(37, 3), (2, 37, 3)]
    assert_close(read[1], read[0])


def test_metrics_that_are_no_means_are_those_of_one_device():
    networks = {'a': NET, 'b': {**NET, 'copies': 2}}
    evaluate = {
        'numbers': {'metrics': 'regression', 'prediction': 'b.logits', 'target': 'a.logits'},
        'labels': {'metrics': 'multi_label', 'logits': 'b.logits', 'target': 'a.logits'},
    }
    measured = []
    for mesh in (MESHES[1], MESHES[8]):
        prepared = prepared_of(networks, {'a': hard('a'), 'b': hard('b')}, mesh, evaluate=evaluate)
        variables = all_variables(*make_initial_state(prepared, {}), {})
        measured.append(prepared.evaluator.measure(variables, prepared.splits.arrays['test']))
    assert measured[0]['labels']['count'] == 37
    assert_close(measured[1], measured[0])


def test_a_group_is_split_over_stack_and_its_runs_end_as_they_do_alone(tmp_path):
    def prepared(number, mesh):
        optimizer = {'learning_rate': 0.05 * (1 + number), 'momentum': 0.9}
        return prepared_of({'a': {**NET, 'dropout': 0.2}}, {'hard': hard('a')}, mesh, optimizer=optimizer)

    prepared_runs = [prepared(number, {'data': 2, 'fsdp': 1, 'stack': 4}) for number in range(4)]
    states = stack_states(prepared_runs, [make_initial_state(own, {})[0] for own in prepared_runs])
    kernel = states.params['a']['dense1']['kernel']
    assert [shard.data.shape for shard in kernel.addressable_shards] == [(1, 144, 64)] * 8
    runs_to_train = [RunToTrain(own, tmp_path / str(number), {}) for number, own in enumerate(prepared_runs)]
    results = train_group(runs_to_train, silent, caches=tmp_path)
    alone = train_run(prepared(3, MESHES[1]), tmp_path / 'alone', {}, silent)
    assert results[3]['grouped'] == [{'from_step': 0, 'by': 'vmap', 'runs': 4}]
    assert_close(numbers(results[3]), numbers(alone))


def test_products_of_rounded_inputs_gather_no_batch_and_are_those_of_one_device():
    x, w = (np.random.default_rng(0).normal(size=size).astype(np.float32) for size in ((64, 32), (32, 48)))
    mesh = jax.make_mesh((8,), ('data',))
    split, whole = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in (('data',), ()))
    program = jax.value_and_grad(lambda w, x: jnp.square(x @ w).sum())
    shared = jax.jit(in_bfloat16(program, 'cpu', 8), in_shardings=(whole, split)).lower(w, x).compile()
    assert 'all-gather' not in shared.as_text()
    alone = jax.jit(in_bfloat16(program, 'cpu'))(w, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), shared(w, x), alone)
