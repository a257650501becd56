"""The command that lets a decoder of a finished run write; the decoders are those of smollm2.py:tiny."""

import re

import numpy as np
import pytest

from experiments import generate, run
from kd_jax.studies.evaluated_network import finished_run, open_network
from kd_jax.studies.workdir import Workdir

LESS = ('teacher', 'kd', 'halved')


@pytest.fixture(scope='module')
def work(tmp_path_factory, settings_as_before):
    """A teacher and a student that were trained for two steps."""
    directory = tmp_path_factory.mktemp('smollm2') / 'work'
    fewer = [f'--config.runs.{name}.{text}' for name in LESS for text in ('data.examples=8', 'eval_every=9')]
    few = ['--config.runs.teacher.epochs=1', '--only=kd,halved']
    assert run.main(['--config=configs/smollm2.py:tiny', f'--workdir={directory}', *fewer, *few]) == 0
    return directory


def written(work, capsys, *options):
    status = generate.main([f'--workdir={work}', *options])
    captured = capsys.readouterr()
    return status, captured.out or captured.err


def test_a_run_and_its_teacher_continue_a_prompt_and_tell_their_speed(work, capsys):
    speed = r'\n\n\[read 4 tokens, [\d.,e+]+ a second; wrote 5 tokens(, [\d.,e+]+ a second)?\]\n'
    for options in (['--run=kd'], ['--run=teacher', '--network=teacher']):
        status, said = written(work, capsys, *options, '--prompt=text', '--tokens=5')
        assert status == 0, said
        assert re.fullmatch(f'text.*{speed}', said, re.DOTALL)


def test_a_run_that_trains_nothing_writes_with_the_weights_that_it_took_from_elsewhere(work, capsys):
    status, said = written(work, capsys, '--run=halved', '--prompt=text', '--tokens=2')
    assert status == 0, said
    assert said.startswith('text')


def test_drawn_text_depends_on_the_seed_alone(work, capsys):
    options = ['--run=kd', '--prompt=text', '--prompt=a', '--tokens=8', '--temperature=1']
    first, same, other = (written(work, capsys, *options, f'--seed={seed}')[1].rpartition('[')[0] for seed in (0, 0, 1))
    assert first == same != other


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--run=kid'], "has no finished run 'kid'. Did you mean 'kd'"),
        (['--network=top'], "there is no trained network 'top'. Known: student"),
        (['--prompt='], '--prompt is empty'),
        (['--prompt=a\udcff'], '--prompt is not UTF-8 text: '),
        (['--tokens=0'], '--tokens is 0, but it must be 1 or more'),
        (['--top-p=2', '--temperature=1'], 'top_p is 2.0, but it must be greater than 0 and at most 1'),
        (['--temperature=nan'], 'temperature is nan, but it must be 0 for the most probable token'),
        (['--top-k=5'], 'without --temperature the most probable one is taken; add a temperature'),
        (['--temperature=1', f'--seed={2**80}'], 'but it must be a whole number from 0 to 4294967295'),
        (['--tokens=3000'], 'it would exceed the window of the model, 2048'),
        (['--chat=llama3'], "the chat template llama3 needs the special token '<|start_header_id|>'"),
        (['--system=Be brief.'], '--system is a message of a conversation; name its template with --chat.'),
        (['--chat=chatlm'], "argument --chat: invalid choice: 'chatlm'"),
    ],
)
def test_every_mistake_is_one_sentence(options, sentence, work, capsys):
    status, said = written(work, capsys, '--run=kd', '--prompt=text', *options)
    assert status == 2
    assert said.startswith('error: ')
    assert sentence in said
    assert said.count('\n') == 1


def test_a_conversation_is_asked_in_its_template(work, capsys):
    status, said = written(work, capsys, '--run=kd', '--prompt=Hi', '--chat=chatml', '--tokens=2')
    assert status == 0
    # <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n in bytes: 3 special tokens, 5 + 2 + 1 + 10 bytes.
    assert '[read 21 tokens' in said
    status, said = written(work, capsys, '--run=kd', '--prompt=Hi', '--chat=chatml', '--tokens=2', '--system=Be brief.')
    assert status == 0
    # <|im_start|>system\nBe brief.<|im_end|>\n before it: 2 special tokens, 7 + 9 + 1 bytes.
    assert '[read 40 tokens' in said


def test_the_student_starts_from_every_second_layer_and_is_trained_by_the_labels_and_the_teacher(work):
    workdir = Workdir(work)
    run_id, result = finished_run(workdir, 'kd')
    assert set(result['history'][-1]['terms']) == {'loss', 'grad_norm', 'words', 'soft', 'hidden1', 'hidden2'}
    teacher = open_network(workdir, *finished_run(workdir, 'teacher'), '', 'last').variables['teacher']['params']
    student = open_network(workdir, run_id, result, 'student', 'last').variables['student']['params']
    for name in ('gate', 'output'):  # two steps of Adam at 5e-4 or less, the first at 0
        far = np.abs(student['blocks'][name]['kernel'] - np.asarray(teacher['blocks'][name]['kernel'])[[1, 3]]).max()
        assert 0 < far < 1e-3


def test_the_result_of_a_run_holds_the_samples_that_generate_would_write(work, capsys):
    samples = finished_run(Workdir(work), 'kd')[1]['samples']
    assert samples['parameters'] == samples['megabytes'] * 1e6 / 4
    assert samples['read'] == 64  # one row
    prompt = samples['prompts'][0]
    said = written(work, capsys, '--run=kd', f'--prompt={prompt}', '--tokens=40')[1]
    assert said.startswith(prompt + samples['texts'][0])


def test_no_training_examples_are_evaluated_where_the_run_asks_for_none(work):
    assert set(finished_run(Workdir(work), 'kd')[1]['last']) == {'step', 'epoch', 'test'}
