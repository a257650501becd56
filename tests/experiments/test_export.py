"""The command that exports a network of a finished run."""

import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

import kd_jax
from experiments import export
from kd_jax.config.errors import UserError
from kd_jax.studies.workdir import Workdir
from tests.chain_study import edit_result

FOREIGN = {
    'data': {'source': 'os:system', 'command': 'touch RAN'},
    'networks': {'net': {'model': 'subprocess:getoutput', 'cmd': 'touch RAN'}},
    'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
    'terms': {'hard': {'loss': 'os:system', 'logits': 'net.logits', 'labels': 'batch.label'}},
}


@pytest.fixture
def foreign(chain_study, tmp_path, monkeypatch):
    """A work directory of somebody else, whose result names programs to run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'results').mkdir()
    shutil.copy(chain_study / 'results' / 'teacher-s0.json', tmp_path / 'results' / 'x-s0.json')
    edit_result(tmp_path, 'x-s0', run='x', config=FOREIGN)
    return tmp_path


def test_a_result_of_somebody_else_runs_nothing_and_the_refusal_has_the_whole_flag(foreign, capsys):
    options = [f'--workdir={foreign}', '--run=x-s0', '--out=out']
    assert export.main(options) == 2
    said = capsys.readouterr().err
    assert "results/x-s0.json names the model 'subprocess:getoutput'" in said
    assert said.endswith('with --allow=subprocess:getoutput --allow=os:system.\n')
    assert export.main([*options, '--allow=subprocess:getstatusoutput']) == 2
    with pytest.raises(UserError, match=r"allow=\['subprocess:getoutput'\]"):
        kd_jax.load(foreign, 'x')
    assert not (foreign / 'RAN').exists()


@pytest.fixture
def work(chain_study, tmp_path):
    return shutil.copytree(chain_study, tmp_path / 'work')


def exported(work, out, *options):
    return export.main([f'--workdir={work}', '--run=student', f'--out={out}', *options])


def read_back(out, images):
    weights = safetensors.numpy.load_file(out / 'weights.safetensors')
    program = jax.export.deserialize(bytearray((out / 'logits.stablehlo').read_bytes())).call
    return program(weights, images)


@pytest.mark.parametrize(('network', 'copy'), [('simkd', None), ('average', None), ('second', 1)])
def test_what_is_exported_makes_the_errors_of_the_study(network, copy, chain_study, tmp_path, capsys):
    options = [f'--network={network}'] + ([] if copy is None else [f'--copy={copy}'])
    assert exported(chain_study, tmp_path, *options) == 0
    assert '\nchecked: ' in capsys.readouterr().out
    with np.load(chain_study / 'data.npz') as file:
        images = file['test_image']
    expected = kd_jax.load(chain_study, 'student', network)(images)
    np.testing.assert_allclose(
        read_back(tmp_path, images), expected if copy is None else expected[copy], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--network=student'], "does not evaluate network 'student', so its logits may mean nothing; what it"),
        (['--network=pair'], "network 'pair' has 2 copies; choose one of --copy=0 to --copy=1."),
        (['--network=tags', '--copy=0'], "network 'tags' has no copies; leave out --copy."),
        ([f'--out={__file__}'], f'{__file__} is a file, not a directory; choose another --out.'),
        (['--workdir=/no/such/place'], '/no/such/place does not exist: give the work directory of a study'),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(options, said, chain_study, tmp_path, capsys):
    assert exported(chain_study, tmp_path / 'out', *options) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_other_numbers_than_those_of_the_study_are_refused_and_nothing_is_written(work, tmp_path, capsys):
    last = Workdir(work).result('student-s0')['last']
    last['test']['tags']['accuracy'] += 0.2
    edit_result(work, 'student-s0', last=last)
    assert exported(work, tmp_path / 'out', '--network=tags') == 2
    assert 'the exported program measures accuracy' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_without_the_data_the_program_is_exported_and_not_checked(work, chain_study, tmp_path, capsys):
    edit_result(work, 'student-s0', 'data.npz', 'gone.npz')
    assert exported(work, tmp_path / 'out', '--network=tags') == 0
    assert 'not checked against the study, because the data cannot be loaded: ' in capsys.readouterr().out
    assert exported(chain_study, tmp_path / 'checked', '--network=tags') == 0
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    np.testing.assert_array_equal(read_back(tmp_path / 'out', images), read_back(tmp_path / 'checked', images))
    edit_result(work, 'student-s0', arrays=None)
    assert exported(work, tmp_path / 'out', '--network=tags') == 2
    assert 'the shapes of its inputs are not known, because the data cannot be loaded' in capsys.readouterr().err
