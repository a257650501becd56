"""The section `samples` of a run: every mistake is one sentence before training."""

import json

import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import prepare_run
from tests.text_study import DECODER


@pytest.fixture
def prepared(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(json.dumps({'text': 'abcdefgh'}) + '\n' for _ in range(8)))

    def prepare(samples, **network):
        student = {**DECODER, 'input': ['batch.tokens', 'batch.segment'], **network}
        data = {'source': 'text', 'documents': str(path), 'length': 8}
        nothing = {'metrics': 'sequences', 'logits': 'student.logits'}
        config = {
            'data': data,
            'optimizer': {'learning_rate': 0.1},
            'networks': {'student': student},
            'evaluate': {'it': nothing},
            'samples': samples,
        }
        return prepare_run(config, 0, 'here')

    return prepare


def test_samples_of_a_decoder_are_accepted(prepared):
    prepared({'network': 'student', 'prompts': ['Hi'], 'tokens': 24})
    prepared({'network': 'student', 'prompts': ['Hi'], 'tokens': 11, 'chat': 'chatml'})


@pytest.mark.parametrize(
    ('changed', 'said'),
    [
        ({'network': 'studnt'}, "here, samples: 'studnt' is no decoder of this run. Did you mean 'student'"),
        ({'prompts': []}, 'samples.prompts is [], but it must be a list of texts that are not empty'),
        ({'prompts': ['a', ' ']}, 'that are not empty'),
        ({'tokens': 0}, 'samples.tokens is 0, but it must be a whole number, 1 or more'),
        ({'tokens': 25}, '8 tokens of a prompt or of a row, and the new ones, exceed the window of the model, 32'),
        ({'network': ['student']}, "here, samples: ['student'] is no decoder of this run"),
        # <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n has 1 + 7 + 1 + 1 + 1 + 10 tokens.
        ({'tokens': 12, 'chat': 'chatml'}, '21 tokens of a prompt or of a row, and the new ones, exceed the window'),
        ({'chat': ['chatml']}, "there is no chat template ['chatml']"),
        ({'chat': 'chatlm'}, "there is no chat template 'chatlm'. Did you mean 'chatml'"),
        ({'chat': 'llama3'}, "here, samples.chat='llama3' needs the special token '<|eot_id|>'"),
        ({'promts': ['a']}, "there is no option 'promts'. Did you mean 'prompts'"),
    ],
)
def test_a_mistake_is_one_sentence(changed, said, prepared):
    with pytest.raises(UserError) as error:
        prepared({'network': 'student', 'prompts': ['Hi'], **changed})
    assert said in str(error.value)


def test_samples_must_be_complete_and_of_one_network(prepared):
    for wrong, said in (({'network': 'student'}, 'samples needs prompts'), (3, 'samples is 3, but it must be a dict')):
        with pytest.raises(UserError, match=said):
            prepared(wrong)
    with pytest.raises(UserError, match='is no decoder of this run'):
        prepared({'network': 'student', 'prompts': ['Hi']}, copies=2)
