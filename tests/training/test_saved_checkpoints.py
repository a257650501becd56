"""What is read from a checkpoint is what was saved, or one sentence says which file is damaged and what to do."""

import gc
import json
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import pytest
import tensorstore

from kd_jax.config.errors import UserError
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.saved_checkpoints import NEWEST, newest_checkpoint, read_variables
from tests.training.saved_states import position, state, variables

# Orbax does not await some coroutines when a part of a checkpoint cannot be read.
pytestmark = [
    pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning'),
    pytest.mark.filterwarnings('ignore:(?s)Exception ignored in.*coroutine:pytest.PytestUnraisableExceptionWarning'),
]


def restored(directory):
    """State and position of the newest readable checkpoint."""
    checkpoints = Checkpoints(directory / 'checkpoints')
    found = checkpoints.restore(state(0))
    checkpoints.close()
    gc.collect()
    return found


def with_arrays_of_another(saved):
    """Puts other arrays, intact in themselves, in the place of those of step 2."""
    checkpoints = Checkpoints(saved / 'other')
    checkpoints.save(state(2, net=variables(9)), position(2))
    checkpoints.close()
    shutil.rmtree(saved / 'checkpoints' / '2' / 'state')
    shutil.copytree(saved / 'other' / '2' / 'state', saved / 'checkpoints' / '2' / 'state')


def test_arrays_that_are_not_those_that_were_saved_are_passed_over(saved, caplog, assert_bitwise):
    with_arrays_of_another(saved)
    assert_bitwise(restored(saved)[0], state(1))
    assert 'checkpoints/2 cannot be read (params/net/' in caplog.text
    assert 'is not what was saved' in caplog.text


def test_another_run_does_not_start_from_them(saved):
    with_arrays_of_another(saved)
    where = str(saved / 'checkpoints' / '2')
    with pytest.raises(UserError, match=rf'here: the checkpoint {where} is damaged .*is not what was saved.*; delete'):
        read_variables(saved / 'checkpoints', 'here')


def test_what_is_read_in_another_type_is_checked_in_its_own(saved):
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with newest_checkpoint(saved / 'checkpoints', 'here') as checkpoint:
        like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float16, sharding=one), checkpoint.shapes())
        like = {**like, 'key': ..., 'step': ...}
        kernel = checkpoint.load(like)['params']['net']['dense1']['kernel']
    assert kernel.dtype == jnp.float16
    assert jnp.array_equal(kernel, variables(2)['params']['dense1']['kernel'].astype(jnp.float16))


def test_a_lost_newest_checkpoint_is_no_reason_to_start_from_an_older_one(saved):
    shutil.rmtree(saved / 'checkpoints' / '2')
    with pytest.raises(
        UserError, match=r'the checkpoint .*checkpoints/2 is missing; delete the result .*step 1 instead'
    ):
        read_variables(saved / 'checkpoints', 'here')
    (saved / 'checkpoints' / NEWEST).unlink()
    assert jnp.array_equal(
        read_variables(saved / 'checkpoints', 'here')['net']['params']['dense1']['kernel'],
        variables(1)['params']['dense1']['kernel'],
    )


def test_training_goes_back_over_a_lost_newest_checkpoint_and_says_so(saved, caplog, assert_bitwise):
    shutil.rmtree(saved / 'checkpoints' / '2')
    assert_bitwise(restored(saved)[0], state(1))
    assert 'checkpoints/2 is missing' in caplog.text


def test_checkpoints_that_are_dropped_are_not_missed(saved, caplog, assert_bitwise):
    checkpoints = Checkpoints(saved / 'checkpoints')
    checkpoints.drop_after(1)
    checkpoints.close()
    assert_bitwise(restored(saved)[0], state(1))
    assert not caplog.records
    read_variables(saved / 'checkpoints', 'here')


def test_a_best_checkpoint_is_intact_only_if_it_is_there_and_can_be_read(tmp_path):
    best = Checkpoints(tmp_path / 'best')
    for step in (1, 2):
        best.save_variables(step, {'params': variables(step)['params'], 'collections': {}})
    assert [best.is_intact(step) for step in (0, 1, 2)] == [False, True, True]
    best.close()
    (data,) = (tmp_path / 'best' / '2' / 'state' / 'd').iterdir()
    data.write_bytes(data.read_bytes()[:-9])
    best = Checkpoints(tmp_path / 'best')
    assert [best.is_intact(step) for step in (1, 2)] == [True, False]
    best.close()
    gc.collect()


def flip(path: pathlib.Path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def edit_digit(path: pathlib.Path):
    data = bytearray(path.read_bytes())
    for i, byte in enumerate(data):
        if chr(byte).isdecimal():
            data[i] = ord(str((int(chr(byte)) + 1) % 10))
            break
    path.write_bytes(data)


DAMAGES = {
    'a bit is flipped': flip,
    'it is cut in half': lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    'it is empty': lambda path: path.write_bytes(b''),
    'it is deleted': pathlib.Path.unlink,
    'a digit is edited': edit_digit,
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_to_any_file_is_reported_or_does_not_matter(damage, saved, tmp_path, assert_bitwise, caplog):
    names = [path.relative_to(saved) for path in sorted(saved.rglob('*')) if path.is_file() and '1' not in path.parts]
    assert len(names) > 15
    # Every file is cut in half; of the other damages every third file has its turn, and they begin at different ones.
    names = names if damage == 'it is cut in half' else names[list(DAMAGES).index(damage) % 3 :: 3]
    wanted = variables(2)['params']
    for name in names:
        copy = tmp_path / 'copy'
        shutil.copytree(saved / 'checkpoints', copy / 'checkpoints')
        DAMAGES[damage](copy / name)
        caplog.clear()
        try:
            assert_bitwise(read_variables(copy / 'checkpoints', 'here')['net']['params'], wanted)
        except UserError as error:
            text = str(error)
            assert str(copy / 'checkpoints') in text, name
            assert 'delete' in text, name
            assert '\n' not in text, name
        got, where = restored(copy)
        assert_bitwise(got, state(where['step']))
        if where['step'] != 2:
            assert 'checkpoints/2' in caplog.text, name
        assert where['sums'] == {'hard': [0.1 * where['step'], 3.0]}
        shutil.rmtree(copy)


def claim(checkpoint, chunks, shapes):
    """Changes what the arrays of a checkpoint say about their first axis: one of 2^31 rows, or chunks of so many."""
    place = {'driver': 'file', 'path': f'{checkpoint / "state"}/'}
    store, rows = tensorstore.KvStore.open({'driver': 'ocdbt', 'base': place}).result(), 2**31 // 15 * 15
    for key in store.list().result():
        if key.startswith(b'params') and key.endswith(b'zarr.json'):
            array = json.loads(store.read(key).result().value)
            if shapes:
                array['shape'][0] = rows
            if chunks:
                for grid in (array['chunk_grid'], array['codecs'][0]):
                    grid['configuration']['chunk_shape'][0] = rows
            store.write(key, json.dumps(array).encode()).result()


@pytest.mark.parametrize(('chunks', 'shapes'), [(True, False), (False, True), (True, True)])
def test_arrays_that_claim_more_than_the_files_can_hold_are_not_read(chunks, shapes, saved):
    claim(saved / 'checkpoints' / '2', chunks, shapes)
    with pytest.raises(UserError, match=r'checkpoints/2 has [\d,]+ bytes and would take \d\d,[\d,]+ bytes of memory'):
        read_variables(saved / 'checkpoints', 'c')
    got, _ = restored(saved)
    assert got.step == 1


def test_a_fifo_or_device_in_a_checkpoint_is_refused_and_does_not_hang(saved):
    manifest = saved / 'checkpoints' / '2' / 'state' / 'manifest.ocdbt'
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(UserError, match=r'manifest.ocdbt is a FIFO'):
        read_variables(saved / 'checkpoints', 'c')
    manifest.unlink()
    manifest.symlink_to('/dev/zero')
    with pytest.raises(UserError, match=r'manifest.ocdbt is a device'):
        read_variables(saved / 'checkpoints', 'c')


@pytest.mark.parametrize('name', ['_CHECKPOINT_METADATA', 'state/_METADATA', 'state/manifest.ocdbt'])
def test_a_description_of_a_terabyte_is_not_read(name, saved):
    os.truncate(saved / 'checkpoints' / '2' / name, 2**40)  # a file with a hole
    for read in (lambda: read_variables(saved / 'checkpoints', 'c'), lambda: restored(saved)):
        with pytest.raises(UserError, match=f'checkpoints/2/{name} has 1,099,511,627,776 bytes'):
            read()
