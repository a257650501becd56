"""Packs: runs trained as one program end where they end alone, and are runs like any other."""

import functools
import json
import os
import pathlib
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from kd_jax import config_file, executors, metrics, packs, sharding, study, train
from kd_jax.errors import UserError
from kd_jax.job import prepare
from kd_jax.workdir import Workdir

CONFIG = str(pathlib.Path(__file__).with_name('tiny_config.py'))
# The tests of resumed runs ask Orbax for whatever is there.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
TEMPERATURES = (1.0, 9.0)


@pytest.fixture(autouse=True, scope='module')
def compiled_once_a_session(tmp_path_factory):
    cache = str(tmp_path_factory.getbasetemp() / '.cache' / 'kd_jax' / 'xla')
    settings = {'jax_compilation_cache_dir': cache, 'jax_persistent_cache_min_compile_time_secs': 0.0}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def planned(pack):
    """Two seeds of a teacher, and of students that differ in every number there is."""
    config, _ = config_file.load(CONFIG, ['seeds=2'])
    student = config['runs'].pop('student')
    for number, t in enumerate(TEMPERATURES):
        own = config['runs'][f'student{number}'] = json.loads(json.dumps(student))
        own['terms']['soft']['t'], own['terms']['hard']['weight'] = t, 0.1 * number
        own['optimizer']['learning_rate'] = 0.01 / (1 + number)
    return study.parse({**config, 'pack': pack}, 'tiny')


def of(plan, *names):
    return [run for run in plan.runs if run.name in names]


def execute(plan, path, progress=lambda *_: None, runs=None):
    workdir = Workdir(path)
    with workdir.locked():
        waiting = [run for run in runs or plan.runs if workdir.result(run.id) is None]
        units = study.units(waiting, plan.about['pack'])
        executors.in_process()(plan, units, workdir, progress, lambda *_: None)
    return workdir


def final_state(workdir, run_id):
    directory = workdir.directory(run_id) / 'checkpoints'
    with ocp.training.Checkpointer(directory.absolute()) as checkpointer:
        newest = max(checkpoint.step for checkpoint in checkpointer.checkpoints)
        return checkpointer.load_checkpointables(newest)['state']


def assert_same_runs(got, wanted, runs, rtol=0.0, atol=0.0):
    """The same final states, histories and results, bit for bit unless there is a tolerance."""
    for run in runs:
        states = [jax.tree.map(raw, final_state(workdir, run.id)) for workdir in (got, wanted)]
        histories = [without_seconds(workdir.result(run.id)['history']) for workdir in (got, wanted)]
        lasts = [workdir.result(run.id)['last'] for workdir in (got, wanted)]
        assert without_seconds(metrics.read_history(got.directory(run.id) / 'metrics.jsonl')) == histories[0]
        for one, other in (states, histories, lasts):
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), one, other)


def raw(array):
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array


def without_seconds(history):
    return [{key: value for key, value in row.items() if key != 'seconds'} for row in history]


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The study, one run after another."""
    return execute(planned(False), tmp_path_factory.mktemp('alone'))


@pytest.fixture(scope='module')
def mapped(tmp_path_factory):
    """The study, packed by 'map'."""
    return execute(planned('map'), tmp_path_factory.mktemp('mapped'))


@pytest.fixture
def taught(mapped, tmp_path):
    """A work directory in which the teachers are finished."""
    for seed in range(2):
        shutil.copytree(mapped.directory(f'teacher-s{seed}'), Workdir(tmp_path).directory(f'teacher-s{seed}'))
    (tmp_path / 'results').mkdir()
    for path in (mapped.path / 'results').glob('teacher-*'):
        shutil.copy(path, tmp_path / 'results')
    return tmp_path


def test_runs_packed_by_map_are_the_runs_alone_bit_for_bit(mapped, alone):
    assert_same_runs(mapped, alone, planned('map').runs)
    for run in planned('map').runs:
        size = 2 if run.name == 'teacher' else 4
        assert mapped.result(run.id)['packed'] == [{'from_step': 0, 'by': 'map', 'runs': size}]


def test_runs_packed_by_vmap_are_the_runs_alone_to_rounding(alone, taught):
    plan = planned('vmap')
    workdir = execute(plan, taught)
    # A test image on the border of two classes may change sides: counts of errors are whole numbers.
    assert_same_runs(workdir, alone, of(plan, 'student0', 'student1'), rtol=2e-3, atol=2e-4)
    assert workdir.result('student0-s1')['packed'] == [{'from_step': 0, 'by': 'vmap', 'runs': 4}]


def test_runs_of_one_pack_differ_as_their_numbers_and_seeds_do(mapped):
    runs = of(planned('map'), 'student0', 'student1')
    heads = [np.asarray(final_state(mapped, run.id)['params']['student']['head']['kernel']) for run in runs]
    assert all(np.any(a != b) for i, a in enumerate(heads) for b in heads[:i])


def test_the_result_of_a_run_alone_names_no_pack(alone):
    assert all(alone.result(run.id)['packed'] == [] for run in planned(False).runs)


def test_a_pack_that_was_stopped_goes_on_bit_for_bit_together_and_apart(alone, taught):
    plan = planned('map')
    students = of(plan, 'student0', 'student1')

    def ask_to_stop(run, done, *_):
        if done == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(train.Preempted, match="run 'student0' and 3 packed with it stopped at step 12 of 24"):
        execute(plan, taught, ask_to_stop)
    assert [int(final_state(Workdir(taught), run.id)['step']) for run in students] == [12] * 4
    execute(planned(False), taught, runs=[students[0]])
    workdir = execute(plan, taught)
    packed = [workdir.result(run.id)['packed'] for run in students]
    whole = {'from_step': 0, 'by': 'map', 'runs': 4}
    assert packed[0] == [whole, {'from_step': 12, 'by': 'alone', 'runs': 1}]
    assert packed[1:] == [[whole, {'from_step': 12, 'by': 'map', 'runs': 3}]] * 3
    assert_same_runs(workdir, alone, students)


def test_runs_at_unlike_steps_are_not_one_program_and_end_the_same(alone, tmp_path):
    """A process killed between the checkpoints of a pack's runs leaves some a checkpoint behind the others."""
    plan = planned('map')

    def die(run, done, *_):
        if done == 18:
            raise MemoryError

    with pytest.raises(MemoryError):
        execute(plan, tmp_path, die)
    newest = Workdir(tmp_path).directory('teacher-s1') / 'checkpoints' / '12'
    newest.rename(newest.with_name('12.lost'))
    begun = []
    workdir = execute(plan, tmp_path, lambda run, done, *_: begun.append(done), of(plan, 'teacher'))
    assert begun == [12, 18, 24, 6, 12, 18, 24]
    assert_same_runs(workdir, alone, of(plan, 'teacher'))


def test_a_run_that_is_not_finite_stops_with_its_name_and_the_others_end(alone, taught):
    plan = planned('map')
    for run in of(plan, 'student1'):
        run.config['optimizer']['learning_rate'] = 1e30
    with pytest.raises(UserError, match=r"run 'student1': .* became non-finite at step .*lower the learning rate"):
        execute(plan, taught)
    assert_same_runs(Workdir(taught), alone, of(plan, 'student0'))
    assert all(Workdir(taught).result(run.id) is None for run in of(plan, 'student1'))


def test_auto_measures_once_and_a_pack_that_goes_on_does_not_change_its_way(alone, tmp_path, monkeypatch):
    timed = []

    def measured(key, trial):
        timed.append([trial(by)[1]() for by in packs.WAYS])
        return 'map'

    monkeypatch.setattr(packs, 'fastest', measured)
    plan = planned('auto')

    def ask_to_stop(run, done, *_):
        if done == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(train.Preempted):
        execute(plan, tmp_path, ask_to_stop, of(plan, 'teacher'))
    workdir = execute(plan, tmp_path, runs=of(plan, 'teacher'))
    assert len(timed) == 1
    for (states, _), size in zip(timed[0], (2, 2), strict=True):
        np.testing.assert_array_equal(states.step, [train.TRIAL] * size)
    assert workdir.result('teacher-s1')['packed'] == [{'from_step': 0, 'by': 'map', 'runs': 2}]
    assert_same_runs(workdir, alone, of(plan, 'teacher'))


def test_the_faster_way_is_the_one_that_takes_less_time(monkeypatch):
    monkeypatch.setattr(packs, '_fastest', [])
    clock = [0.0]
    monkeypatch.setattr(packs.time, 'monotonic', lambda: clock[0])
    cost = {'vmap': 1.0, 'map': 2.0}
    big = type('Compiled', (), {'memory_analysis': lambda self: self, 'temp_size_in_bytes': packs.TEMPORARY_BYTES + 1})
    small = type('Compiled', (), {'memory_analysis': lambda self: self, 'temp_size_in_bytes': 10})

    def trial_of(compiled):
        def trial(by):
            def run():
                clock[0] += cost[by]

            return compiled, run

        return trial

    assert packs.fastest('a', trial_of(small())) == 'vmap'
    cost['map'] = 0.5
    assert packs.fastest('a', trial_of(small())) == 'vmap'
    assert packs.fastest('b', trial_of(small())) == 'map'
    cost['map'] = 2.0
    assert packs.fastest('c', trial_of(big())) == 'map'


def job(seed=0, **overrides):
    config, _ = config_file.load(CONFIG, [f'runs.teacher.{path}={value}' for path, value in overrides.items()])
    return prepare(config['runs']['teacher'], seed, "run 'teacher'")


def test_a_pack_is_bounded_by_the_bytes_of_its_states_and_split_evenly(monkeypatch):
    own = job()
    # 784 * 16 + 16 + 16 * 10 + 10 parameters and as many momenta of 4 bytes, the step of 4.
    assert packs.state_bytes(own) == 2 * 12_730 * 4 + 4
    monkeypatch.setattr(packs, 'STATE_BYTES', 4 * packs.state_bytes(own) + 1)
    assert [len(part) for part in packs.partition([own] * 9, [0] * 9, 'auto')] == [3, 3, 3]
    assert packs.partition([own] * 3, [0] * 3, False) == [[0], [1], [2]]


def test_streamed_data_is_not_packed():
    own = job(**{'data.resident': False})
    assert packs.partition([own] * 2, [0, 0], 'auto') == [[0], [1]]


def test_equal_splits_are_joined_once_and_each_run_finds_its_own_examples():
    def split(first):
        return {'image': np.arange(first, first + 6).reshape(3, 2), 'id': np.arange(first, first + 3)}

    arrays, starts = packs.joined([split(0), split(10), split(0)])
    assert starts == [0, 3, 0]
    for own, start in zip((0, 10, 0), starts, strict=True):
        jax.tree.map(np.testing.assert_array_equal, {k: a[start : start + 3] for k, a in arrays.items()}, split(own))
    assert len(arrays['id']) == 6


def test_runs_are_split_over_the_stack_axis_if_it_divides_them():
    mesh = sharding.make_mesh({'stack': 1}, jax.devices()[:1], 'here')
    own = NamedSharding(mesh, PartitionSpec('fsdp'))
    assert packs.shardings({'a': own}, 4)['a'].spec == PartitionSpec('stack', 'fsdp')
    assert packs.shardings({'a': own}, 4, frozenset(['a'])) == {'a': own}
    assert packs.shardings({'a': own}, 1) == {'a': own}
    of_copies = NamedSharding(mesh, PartitionSpec('stack'))
    assert packs.shardings(of_copies, 4).spec == PartitionSpec(None, 'stack')
