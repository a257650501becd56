"""Compiles for absent slices; memory, operations and exchanged bytes equal those computed by hand. The command line."""

import json
import pathlib

import jax
import pytest

from experiments import preflight as command
from kd_jax.config.config_file import config_variants, load_config
from kd_jax.config.errors import UserError
from kd_jax.data import placeholder_sources
from kd_jax.devices.mesh import make_mesh
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.scale import preflight
from kd_jax.scale.preflight import step_identity
from kd_jax.scale.step_cost import verdict
from kd_jax.scale.tpu_chips import GIB, parse_topology
from kd_jax.studies.study import parse_study
from tests import soup

TINY = pathlib.Path(__file__).parents[1] / 'tiny_config.py'
# ResNet-34 and ResNet-18 take more than two minutes of compilation per slice, too long for a test.
CONFIGS = sorted(path for path in (TINY.parents[1] / 'configs').glob('*.py') if path.stem != 'imagenet_kd')
HIDDEN = (512, 512)
PARAMETERS = 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10


def config(mesh=None, hidden=HIDDEN, **student):
    net = {'model': 'mlp', 'hidden': hidden}
    return {
        'data': {'source': 'mnist', 'examples': 1000},
        'batch_size': 512,
        'epochs': 1,
        'mesh': mesh or {},
        'networks': {
            'teacher': {**net, 'update': 'frozen', 'init': 'run:teacher'},
            'student': {**net, **student},
        },
        'terms': {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0}},
        'optimizer': {'name': 'adam', 'learning_rate': 0.01},
    }


def compiled(config, name):
    topology = parse_topology(name)
    prepared = prepare_run(config, 0, 'the run', preflight.devices(topology))
    return preflight.compile_run(prepared, topology), prepared


@pytest.fixture(scope='module')
def replicated():
    return compiled(config(), 'v5e:2x2')[0]


@pytest.fixture(scope='module')
def sharded():
    return compiled(config({'data': 1, 'fsdp': 4}, sharding='fsdp'), 'v5e:2x2')[0]


def test_memory_is_that_of_the_arrays(replicated):
    assert replicated.memory['parameters'] == 4 * PARAMETERS
    assert replicated.memory['teacher'] == 4 * PARAMETERS
    assert replicated.memory['optimizer'] == pytest.approx(2 * 4 * PARAMETERS, abs=64)  # plus counters
    # Positions: a chip has 128 examples of each batch, for the 128 steps of a chunk and of the next one.
    images, labels_and_ids, positions = 1000 * 784, 2 * 4 * 1000, 2 * 128 * 4 * 128
    assert replicated.memory['data'] == images + labels_and_ids + positions
    assert replicated.needed == sum(replicated.memory.values())
    assert replicated.fits
    assert replicated.available == 16 * GIB


def test_a_sharded_student_takes_a_quarter_on_four_chips_and_its_teacher_stays_whole(replicated, sharded):
    # Not exactly a quarter: biases are not split, for example 10 of the 5130 parameters of the last layer.
    assert sharded.memory['parameters'] == pytest.approx(replicated.memory['parameters'] / 4, rel=0.01)
    assert sharded.memory['optimizer'] == pytest.approx(replicated.memory['optimizer'] / 4, rel=0.01)
    assert sharded.memory['teacher'] == replicated.memory['teacher']


def test_operations_are_two_a_weight_and_example_forward_and_four_backward(replicated):
    batch, weights, first = 512 // 4, PARAMETERS - 1034, 784 * 512
    forward_of_both = 2 * 2 * batch * weights
    backward = 4 * batch * weights - 2 * batch * first  # images need no gradient
    assert replicated.flops == pytest.approx(forward_of_both + backward, rel=0.05)


def test_gradients_of_a_replicated_student_are_summed_once_over_all_chips(replicated):
    ((count, sent),) = replicated.exchanged.values()
    assert set(replicated.exchanged) == {'all-reduce'}
    assert sent == pytest.approx(2 * 3 / 4 * 4 * PARAMETERS, rel=0.01)
    assert count >= 1


def test_the_weights_of_a_sharded_student_are_gathered_in_the_precision_of_their_products(sharded):
    weights = 784 * 512 + 512 * 512 + 512 * 10
    assert sharded.exchanged['all-gather'] == (3, pytest.approx(3 / 4 * 2 * weights))  # in bfloat16, each weight once


def test_every_layer_of_a_decoder_counts_although_its_program_is_a_loop():
    rows, length, width, hidden = 4, 16, 32, 64

    def flops(layers):
        net = {'model': 'decoder', 'vocabulary': 8, 'width': width, 'layers': layers, 'heads': 4, 'mlp_width': hidden}
        words = {'loss': 'cross_entropy', 'logits': 'a.logits', 'labels': 'batch.label', 'mask': 'batch.mask'}
        text = {
            'data': {'source': placeholder_sources.text, 'documents': 'handbook', 'length': length},
            'batch_size': rows,
            'networks': {'a': {**net, 'input': 'batch.tokens'}},
            'terms': {'words': words},
            'evaluate': {'a': {'metrics': 'sequences', 'logits': 'a.logits'}},
        }
        return compiled({**config(), **text}, 'cpu:1')[0].flops

    weights = 4 * width**2 + 3 * width * hidden
    forward = rows * length * (2 * weights + 2 * 2 * length * width)  # with scores and mixed values of attention
    assert flops(12) - flops(4) == 8 * 3 * forward  # a backward pass has two products for each one


def test_an_axis_of_the_mesh_may_be_a_part_of_an_axis_of_the_torus():
    topology = parse_topology('v6e:8x8')
    mesh = make_mesh({'fsdp': 16, 'tensor': 4}, preflight.devices(topology), 'the run')
    assert dict(mesh.shape) == {'data': 1, 'fsdp': 16, 'stack': 1, 'tensor': 4}
    assert mesh.size == topology.chips == len({device.id for device in mesh.devices.flat})


def test_half_a_chip_is_a_device_of_tpu7x_and_figures_are_for_the_chip():
    one, prepared = compiled(config(), 'tpu7x:2x2x1')
    assert prepared.mesh.size == 8
    assert one.memory['parameters'] == 2 * 4 * PARAMETERS
    assert one.exchanged['all-reduce'][1] == pytest.approx(2 * 2 * 7 / 8 * 4 * PARAMETERS, rel=0.01)


def test_what_does_not_fit_is_said_with_what_to_change():
    # Parameters take 4 * 34000^2 bytes, Adam twice that, the teacher as much as the parameters: more than 16 GiB.
    one, prepared = compiled({**config(hidden=(34_000, 34_000)), 'batch_size': 4}, 'v5e:2x2')
    assert one.fits is False
    assert verdict(one, prepared.order.batch_size).startswith('does not fit: ')
    assert "networks.NAME.sharding='fsdp'" in verdict(one, prepared.order.batch_size)
    assert one.seconds is None


@pytest.mark.parametrize(
    ('message', 'sizes'),
    [
        ('the total memory required for HLO temporaries (17.38G) exceeds available HBM (15.75G).', (17.38, 15.75)),
        ('Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by', (20.5, 15.75)),
        ('something else', None),
    ],
)
def test_what_the_compiler_says_of_memory_is_read(message, sizes):
    found = preflight.out_of_memory(message)
    assert found == (None if sizes is None else tuple(size * GIB for size in sizes))


@pytest.mark.parametrize(
    ('change', 'same'),
    [
        ({'terms': {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 9.0}}}, True),
        ({'optimizer': {'name': 'adam', 'learning_rate': 0.5}}, True),
        ({'epochs': 3}, True),
        ({'optimizer': {'name': 'sgd', 'learning_rate': 0.01}}, False),
        ({'batch_size': 256}, False),
        ({'cache': True}, False),
        ({'data': {'source': 'mnist', 'examples': 1000, 'augment': {'crop': 2}}}, False),
    ],
)
def test_numbers_make_no_new_program_and_everything_else_does(change, same):
    first, second = (prepare_run(c, seed, 'the run') for seed, c in enumerate((config(), {**config(), **change})))
    assert (step_identity(first) == step_identity(second)) == same


def test_a_teacher_that_is_recorded_costs_its_memory_and_no_operations(replicated):
    one, _ = compiled({**config(), 'cache': True}, 'v5e:2x2')
    assert one.memory['teacher'] == 4 * PARAMETERS
    assert one.memory['data'] == replicated.memory['data'] + 1000 * 10 * 4
    forward_of_teacher = 2 * 128 * (PARAMETERS - 1034)
    assert replicated.flops - one.flops == pytest.approx(forward_of_teacher, rel=0.05)


@pytest.fixture
def least_optimised():
    """Compiles for TPUs as quickly as the compiler can; the programs are slower and take no less memory."""
    before = jax.config.jax_optimization_level
    jax.config.update('jax_optimization_level', 'O0')
    yield
    jax.config.update('jax_optimization_level', before)


@pytest.mark.usefixtures('least_optimised')
@pytest.mark.parametrize(('number', 'path'), list(enumerate(CONFIGS)), ids=[path.stem for path in CONFIGS])
def test_a_config_compiles_for_a_slice(number, path):
    """Compiles one run of each config's last variant, the one with most networks, on one topology: a short test."""
    topology = ('v5e:2x2', 'v4:2x2x1')[number % 2]
    try:
        planned = parse_study(load_config(f'{path}:{config_variants(path)[-1]}')[0], path.name)
    except UserError as error:
        if 'chooses by the results of' not in str(error):
            raise
        pytest.skip(str(error))
    trained = [run for run in planned.runs if run.config.get('epochs')]
    chosen = max(trained, key=lambda run: len(run.config['networks']))
    one, _ = compiled(placeholder_sources.without_data(chosen.config), topology)
    assert one.fits
    assert one.flops > 0


def test_the_command_says_what_a_study_needs_and_writes_it(tmp_path, capsys):
    out = tmp_path / 'cost.json'
    assert command.main([f'--config={TINY}', '--topology=cpu:1', '--run=student', f'--out={out}']) == 0
    assert 'compiles' in capsys.readouterr().out
    (row,) = json.loads(out.read_text())['slices']
    assert row['parts'][0]['runs'] == ['student']
    assert row['parts'][0]['steps'] == 2 * 300 // 25
    student, teacher = 784 * 8 + 8 + 80 + 10, 784 * 16 + 16 + 160 + 10
    assert row['parts'][0]['memory']['parameters'] == 4 * student
    assert row['parts'][0]['memory']['teacher'] == 4 * teacher


def test_steps_are_those_of_all_seeds_of_a_run():
    study = load_config(str(TINY))[0]
    study['seeds'] = 3
    study['runs']['student']['seeds'] = 2
    parts = command.distinct(parse_study(study, TINY.name), '*')
    one = 2 * 300 // 25  # steps of a run
    assert {part.runs: part.steps for part in parts} == {('teacher',): 3 * one, ('student',): 2 * one}


def test_hours_are_steps_times_the_bound_and_money_is_chip_hours_times_the_price(tmp_path):
    out = tmp_path / 'cost.json'
    given = ['--topology=v5e:1x1', '--run=student', '--dollars_per_chip_hour=2', f'--out={out}']
    assert command.main([f'--config={TINY}', *given]) == 0
    (row,) = json.loads(out.read_text())['slices']
    (part,) = row['parts']
    assert row['chip_hours'] == pytest.approx(
        part['steps'] * max(part['bounds'][b] for b in ('compute', 'memory')) / 3600
    )
    assert row['dollars'] == pytest.approx(2 * row['chip_hours'])


def test_a_slice_that_a_batch_cannot_be_shared_over_is_a_row_of_the_table(capsys, tmp_path):
    out = tmp_path / 'cost.json'
    assert command.main([f'--config={TINY}', '--topology=v5e:2x2,v5e:1x1', '--run=student', f'--out={out}']) == 0
    refused, fits = json.loads(out.read_text())['slices']
    assert 'batch_size is 25, which the 4 devices' in refused['verdict']
    assert f'v5e:2x2: {refused["verdict"]}' in capsys.readouterr().out.splitlines()
    assert not refused['fits']
    assert fits['fits']


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (['--topology=v5e:3x3'], 'there is no such slice of v5e'),
        (['--topology=v5e:2x2'], 'batch_size is 25, which the 4 devices of the mesh'),
        (['--topology=v5e:2x2', '--config.runs.student.mesh={"fsdp": 3}'], 'does not fit 4 devices'),
        (['--topology=v5e:2x2', '--run=studnet'], "Did you mean 'student'?"),
        (['--topology=cpu:4096'], 'JAX has already started'),
        (['--topology=v5e:1x1', '--dollars_per_chip_hour=-1'], "'-1' is no price: write a number of dollars"),
        (['--topology=v5e:1x1', '--dollars_per_chip_hour=nan'], "'nan' is no price: write a number of dollars"),
        (['--topology=v5e:1x1', '--out=.'], '--out=. is a directory; name a file in it'),
        (['--topology=v5e:1x1', f'--out={__file__}/cost.json'], 'test_preflight.py is a file, not a directory; choose'),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(given, message, capsys, tmp_path):
    jax.devices()
    out = tmp_path / 'cost.json'
    assert command.main([f'--config={TINY}', '--run=student', f'--out={out}', *given]) == 2
    said = capsys.readouterr().out
    assert message in said
    assert 'Traceback' not in said
    assert not list(tmp_path.iterdir())


def test_without_libtpu_arrays_and_operations_are_counted_and_the_extra_is_named(monkeypatch, replicated):
    monkeypatch.setattr(preflight, 'compiles', lambda topology: False)
    one, prepared = compiled({**config(), 'batch_size': 128}, 'v5e:1x1')
    assert one.memory | {'data': 0} == {
        'parameters': 4 * PARAMETERS,
        'optimizer': replicated.memory['optimizer'],
        'teacher': 4 * PARAMETERS,
        'data': 0,
    }
    weights, first = PARAMETERS - 1034, 784 * 512
    assert (
        one.flops == 8 * 128 * weights - 2 * 128 * first
    )  # both forward, the student backward; images need no gradient
    assert one.bounds == {'compute': one.flops / 197e12, 'memory': one.moved / 819e9}
    said = verdict(one, prepared.order.batch_size)
    assert said.startswith('arrays fit: 0.01 of 16 GiB per chip')
    assert "pip install '.[tpu-preflight]'" in said


def test_runs_that_take_over_a_model_are_compiled_and_transforms_are_not(capsys):
    study = soup.get_config().to_dict()
    data, own = study['runs']['soup']['data'], 'tests.own_transforms:strongest_units'
    study['runs']['unknown'] = {'transform': {'name': own, 'of': 'run:base'}, 'data': data}
    (part,) = command.distinct(parse_study(study, 'soup'), '*')
    assert sorted(part.runs) == ['base', 'fast', 'slow', 'student']
    assert part.config['networks']['student']['hidden'] == (16,)
    assert "run 'unknown' is left out: its model is known only after a transform" in capsys.readouterr().out
