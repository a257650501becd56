"""The command that exports a network of a finished run."""

import importlib.util
import json
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

import kd_jax
from experiments import export
from kd_jax.config.errors import UserError
from kd_jax.studies.workdir import Workdir
from kd_jax.training.saved_checkpoints import read_variables
from tests.chain_study import edit_result
from tests.text_study import text_study

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
        (
            ['--network=tags', '--format=huggingface'],
            "network 'tags' is no decoder or encoder of its own, so it cannot be written",
        ),
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


@pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
def test_a_decoder_is_written_as_hugging_face_does(tmp_path, capsys):
    work, out = text_study(tmp_path), tmp_path / 'out'
    assert exported(work, out, '--format=huggingface') == 0
    assert "The tokenizer 'bytes' cannot be written as tokenizer.json." in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ['config.json', 'model.safetensors']
    tensors = safetensors.numpy.load_file(out / 'model.safetensors')
    kernels = read_variables(work / 'runs' / 'student-s0' / 'checkpoints', 'here')['student']['params']['blocks']
    np.testing.assert_array_equal(tensors['model.layers.1.mlp.up_proj.weight'], kernels['up']['kernel'][1].T)
    config = json.loads((out / 'config.json').read_text())
    assert (config['num_hidden_layers'], config['eos_token_id'], config['vocab_size']) == (2, 256, 260)
    edit_result(work, 'student-s0', '"source": "text"', '"source": "text", "end": "<|im_end|>"')
    assert exported(work, tmp_path / 'other', '--format=huggingface') == 0
    assert json.loads((tmp_path / 'other' / 'config.json').read_text())['eos_token_id'] == 259


@pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
def test_an_encoder_is_written_as_hugging_face_does(tmp_path, capsys):
    work, out = text_study(tmp_path, 'words', model='encoder', vocabulary=4096, token_types=0), tmp_path / 'out'
    assert exported(work, out, '--format=huggingface') == 0
    assert f"transformers.AutoModelForMaskedLM.from_pretrained('{out}')" in capsys.readouterr().out
    files = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']
    assert sorted(path.name for path in out.iterdir()) == files
    tensors = safetensors.numpy.load_file(out / 'model.safetensors')
    kernels = read_variables(work / 'runs' / 'student-s0' / 'checkpoints', 'here')['student']['params']['blocks']
    up = tensors['distilbert.transformer.layer.1.ffn.lin1.weight']
    np.testing.assert_array_equal(up, kernels['up']['kernel'][1].T)
    assert json.loads((out / 'config.json').read_text())['n_layers'] == 2


@pytest.mark.skipif(
    importlib.util.find_spec('tokenizers') is None or importlib.util.find_spec('transformers') is None,
    reason='the packages tokenizers and transformers are not installed',
)
@pytest.mark.filterwarnings('ignore')
def test_transformers_loads_a_decoder_with_its_tokenizer(tmp_path):
    import tokenizers
    import torch
    import transformers

    built = tokenizers.Tokenizer(tokenizers.models.BPE())
    built.pre_tokenizer, built.decoder = tokenizers.pre_tokenizers.ByteLevel(False), tokenizers.decoders.ByteLevel()
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(special_tokens=['</s>'], initial_alphabet=letters, vocab_size=260)
    built.train_from_iterator(['abcdefgh'], trainer)
    built.save(str(tmp_path / 'tokenizer.json'))
    work, out = text_study(tmp_path, f'json:{tmp_path}/tokenizer.json'), tmp_path / 'out'
    assert exported(work, out, '--format=huggingface') == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert tokenizer.eos_token == '</s>'
    assert model.config.eos_token_id == tokenizer.eos_token_id == 0
    ids = tokenizer('abcd, ab</s>')['input_ids']
    assert ids == [*built.encode('abcd, ab').ids, 0]
    segment = np.ones((1, len(ids)), np.int32)
    ours = kd_jax.load(work, 'student')({'tokens': np.array([ids], np.int32), 'segment': segment})
    with torch.no_grad():
        np.testing.assert_allclose(ours, model(torch.tensor([ids])).logits.numpy(), rtol=1e-4, atol=1e-5)


def test_a_mistake_in_the_options_is_one_sentence(capsys):
    assert export.main(['--workdir=w', '--run=r', '--out=o', '--format=onnx']) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: argument --format: invalid choice: 'onnx'")
    assert said.count('\n') == 1
