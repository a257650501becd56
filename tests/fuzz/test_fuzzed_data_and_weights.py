"""Whatever a .npz file or a file of weights holds, it is read, or one sentence says why not, in little memory."""

import contextlib
import io
import pathlib
import pickletools
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from experiments import run
from kd_jax.data.npz_files import read_npz
from kd_jax.interop.pytorch_files import read_pytorch_file
from tests import chain_study
from tests.fuzz import valid_configs
from tests.fuzz.amount import examples
from tests.fuzz.mutations import changed_array, changed_bytes
from tests.fuzz.outcomes import ends_well, read_or_refused

pytestmark = pytest.mark.usefixtures('settings_as_before')
WEIGHTS = pathlib.Path(__file__).parents[1] / 'torch_reference'
MEMORY = 2**27  # bytes that reading one of these small files may take


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
    made = tmp_path_factory.mktemp('fuzz')
    valid_configs.GIVEN.update(
        config=valid_configs.studies(chain_study.data(made / 'data.npz'))['taught'][0], report={}
    )
    return made


def plan(directory, *overrides):
    return ends_well(run.main, [f'--config={valid_configs.FILE}', '--workdir=/nowhere/fuzz', '--plan', *overrides])


def npz(directory):
    with np.load(directory / 'data.npz') as file:
        return dict(file)


@examples(40)
@given(data=st.data())
def test_a_damaged_npz_file_is_read_or_refused(directory, data):
    path = directory / 'damaged.npz'
    path.write_bytes(data.draw(damaged_zip((directory / 'data.npz').read_bytes())))
    with contextlib.suppress(OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile):  # as it promises
        read_or_refused(lambda: read_npz(path, lambda name: True), MEMORY)
    plan(directory, f'--config.runs.student.data.path={path}')


@examples(40)
@given(data=st.data())
def test_arrays_that_do_not_fit_are_refused_before_training(directory, data):
    arrays = npz(directory)
    for name in data.draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=3, unique=True)):
        kind = data.draw(st.sampled_from(('array', 'array', 'array', 'drop', 'rename', 'double', 'other')))
        if kind == 'array':
            arrays[name] = data.draw(changed_array(arrays[name]))
        elif kind == 'other':
            arrays[name] = arrays[data.draw(st.sampled_from(sorted(arrays)))]
        else:
            old = arrays[name] if kind == 'double' else arrays.pop(name)
            if kind != 'drop':
                split, _, field = name.partition('_')
                new = (f'valid_{field}', f'{split}_id', f'{split}_a/b', f'{split}_', field, f'{name}s', f'{name}.x')
                arrays[data.draw(st.sampled_from(new))] = old
    np.savez(directory / 'changed.npz', **arrays)
    option = data.draw(st.sampled_from(('', 'valid=0', 'valid=30', 'examples=1', 'label_noise=1.0', 'num_classes=1')))
    overrides = [f'--config.runs.{run}.data.path={directory / "changed.npz"}' for run in ('teacher', 'student')]
    plan(directory, *overrides, *([f'--config.runs.teacher.data.{option}'] if option else []))


@st.composite
def damaged_zip(draw, content):
    """A zip file that was damaged: as a whole, or one of its members, so that its checksum fits."""
    if draw(st.booleans()):
        return draw(changed_bytes(content))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    chosen = draw(st.sampled_from(sorted(members)))
    change = changed_pickle if chosen.endswith('data.pkl') and draw(st.integers(0, 3)) else changed_bytes
    # The header of an array, and what a short member holds, say more than the numbers do.
    head = 128 if len(members[chosen]) > 128 and draw(st.booleans()) and change is changed_bytes else None
    members[chosen] = draw(change(members[chosen][:head])) + (members[chosen][head:] if head else b'')
    if not draw(st.integers(0, 5)):
        members[chosen + draw(st.sampled_from(('x', '/', '')))] = members.pop(chosen)
    written = io.BytesIO()
    with zipfile.ZipFile(written, 'w') as archive:
        for name, one in members.items():
            archive.writestr(name, one)
    return written.getvalue()


OPERATIONS = (
    b'J\xff\xff\xff\x7f', b'J\0\0\0\x80', b'K\0', b'K\x03', b'\x8a\x09' + b'\xff' * 8 + b'\0', b'\x8a\x40' + b'a' * 64,
    b'G\x7f\xf8' + b'\0' * 6, b'N', b')', b'}', b']', b'(', b'0', b'2', b'r\0\0\0\x7f', b'h\0',
)  # fmt: skip


@st.composite
def changed_pickle(draw, content):
    """A pickle some of whose operations were removed, repeated, moved or exchanged."""
    begins = [at for _, _, at in pickletools.genops(content)]
    parts = [content[a:b] for a, b in zip(begins, [*begins[1:], len(content)], strict=True)]
    for _ in range(draw(st.integers(1, 3))):
        at, to = (draw(st.integers(0, len(parts) - 1)) for _ in range(2))
        kind = draw(st.sampled_from(('remove', 'repeat', 'move', 'exchange', 'number', 'many')))
        if kind == 'number':
            parts[at] = draw(st.sampled_from(OPERATIONS))
        elif kind == 'many':
            parts[at:at] = parts[at : at + 20] * 50
        elif kind == 'exchange':
            parts[at], parts[to] = parts[to], parts[at]
        else:
            moved = parts[at] if kind == 'repeat' else parts.pop(at)
            if kind != 'remove':
                parts.insert(to, moved)
        if not parts:
            break
    return b''.join(parts)


@examples(40)
@given(data=st.data())
def test_a_damaged_file_of_weights_is_read_or_refused(directory, data):
    name = data.draw(st.sampled_from(('zipped.pth', 'half.pth', 'legacy.pth')))
    content = (WEIGHTS / name).read_bytes()
    changed = changed_bytes(content) if name == 'legacy.pth' else damaged_zip(content)
    path = directory / name
    path.write_bytes(data.draw(changed))
    found = read_or_refused(lambda: read_pytorch_file(path, 'here'), MEMORY)
    for array in (found or {}).values():
        assert array.tobytes() is not None  # every element lies in the storage


SAVED = {'dense1.weight': np.ones((6, 16), 'f4'), 'dense1.bias': np.ones(6, 'f4'),
         'head.weight': np.ones((3, 6), 'f4'), 'head.bias': np.ones(3, 'f4')}  # fmt: skip


@examples(30)
@given(data=st.data())
def test_weights_that_do_not_fit_are_refused_before_training(directory, data):
    state = dict(SAVED)
    for name in data.draw(st.lists(st.sampled_from(sorted(state)), max_size=2, unique=True)):
        state[name] = data.draw(changed_array(state[name]).filter(lambda a: a.dtype.kind in 'biuf' and a.itemsize < 9))
        if not data.draw(st.integers(0, 3)):
            state[data.draw(st.sampled_from((f'module.{name}', f'{name}s', name[1:], '', '\0')))] = state.pop(name)
    content = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in state.items()})
    if data.draw(st.booleans()):
        content = data.draw(changed_bytes(content[:200])) + content[200:]
    path = directory / 'weights.safetensors'
    path.write_bytes(content)
    plan(directory, f'--config.runs.student.networks.teacher.init=torch:{path}')


def test_what_is_damaged_here_is_read_as_it_is(directory):
    assert plan(directory)[0] == 0
    assert len(read_npz(directory / 'data.npz', lambda name: True)[0]) == 8
    for name in ('zipped.pth', 'half.pth', 'legacy.pth'):
        assert read_pytorch_file(WEIGHTS / name, 'here')
    (directory / 'sound.safetensors').write_bytes(safetensors.numpy.save(SAVED))
    code, said = plan(directory, f'--config.runs.student.networks.teacher.init=torch:{directory}/sound.safetensors')
    assert code == 0, said
