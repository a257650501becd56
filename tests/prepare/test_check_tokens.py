import json
import pathlib
import shutil

import flax.linen as nn
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.prepare.check_tokens import PADDING
from kd_jax.prepare.prepared_run import prepare_run

REFERENCE = pathlib.Path(__file__).parents[1] / 'transformers_reference'
SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']


class Words(nn.Module):
    """Logits of the next token, from this token alone: [batch, length, size]."""

    size: int

    @nn.compact
    def __call__(self, tokens, *, train=False):
        return {'logits': nn.Embed(self.size, self.size)(tokens)}


@pytest.fixture
def prepared(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(json.dumps({'text': 'abcdefgh'}) + '\n' for _ in range(8)))

    def prepare(size, data=None, **network):
        words = {'model': Words, 'size': size}
        config = {
            'data': {'source': 'text', 'documents': str(path), 'length': 8, **(data or {})}, 'batch_size': 2,
            'epochs': 1, 'optimizer': {'learning_rate': 0.1},
            'networks': {'net': {'input': 'batch.tokens', **(network if 'model' in network else words | network)}},
            'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label',
                               'mask': 'batch.mask'}},
        }  # fmt: skip
        return prepare_run(config, 0, 'c')

    return prepare


@pytest.mark.parametrize('size', [260, 260 + PADDING])
def test_a_model_may_have_some_more_tokens_than_its_tokenizer(prepared, size):
    assert prepared(size).context['net']['logits'].shape == (2, 8, size)


@pytest.mark.parametrize('size', [259, 260 + PADDING + 1, 49_152])
@pytest.mark.parametrize('copies', [0, 2])
def test_a_tokenizer_that_is_not_that_of_the_model_is_one_sentence(prepared, size, copies):
    with pytest.raises(
        UserError, match=rf"c, network 'net': it knows {size:,} tokens, but data.tokenizer='bytes' has 260"
    ):
        prepared(size, **({'copies': copies} if copies else {}))


def test_an_encoder_that_would_see_the_next_token_is_one_sentence(prepared):
    shape = dict(model='encoder', vocabulary=260, width=8, layers=1, heads=1, mlp_width=8, window=8)
    inputs = ['batch.tokens', 'batch.segment', 'batch.position']
    with pytest.raises(UserError, match=r"c, term 'hard': the label is the next token, which the encoder 'net' sees"):
        prepared(260, input=inputs, **shape)


def test_the_tokens_of_a_teacher_have_a_tokenizer_of_their_own(prepared):
    data = dict(source='aligned_text', tokenizer='bytes', teacher_tokenizer='words', teacher_length=8, longer='cut')
    assert prepared(4096, data, input='batch.teacher_tokens')
    with pytest.raises(UserError, match=r"it knows 260 tokens, but data\.teacher_tokenizer='words' has 4,096, so this"):
        prepared(260, data, input='batch.teacher_tokens')


@pytest.fixture
def started(tmp_path):
    """A function that prepares an encoder of 40 words, which starts from files, for the tokenizer of some words."""
    model = shutil.copytree(REFERENCE / 'bert', tmp_path / 'bert')
    (tmp_path / 'a.jsonl').write_text('{"text": "a b c"}\n' * 8)

    def prepare(words, own=None, **options):
        (tmp_path / 'vocab.txt').write_text('\n'.join([*SPECIAL, *words]))
        if own:
            (model / 'vocab.txt').write_text('\n'.join([*SPECIAL, *own]))
        data = {
            'source': 'text', 'documents': str(tmp_path / 'a.jsonl'), 'length': 8, 'predicts': 'masked',
            'tokenizer': f'vocab:{tmp_path / "vocab.txt"}',
        }  # fmt: skip
        network = dict(
            model='encoder', vocabulary=40, width=16, layers=2, heads=4, mlp_width=24, window=16,
            input=['batch.tokens', 'batch.segment'], **{'init': f'huggingface:{model}', **options},
        )  # fmt: skip
        term = {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label', 'mask': 'batch.mask'}
        config = {
            'data': data, 'batch_size': 2, 'epochs': 1, 'optimizer': {'learning_rate': 0.1},
            'networks': {'net': network}, 'terms': {'words': term},
        }  # fmt: skip
        return prepare_run(config, 0, 'c')

    return prepare


LETTERS = [chr(97 + i) for i in range(26)]


def test_a_tokenizer_of_other_words_than_those_of_the_file_of_the_weights_is_one_sentence(started):
    other = [*LETTERS[:3], *LETTERS[:2:-1]]
    with pytest.raises(
        UserError,
        match=r"c, network 'net': token 8 is 'd' in the file of its weights and 'z' in data.tokenizer='vocab:.*', and "
        r'22 of 31 tokens differ, so this is not its tokenizer; set data.tokenizer to that of the model',
    ):
        started(other, LETTERS)
    assert started(other, LETTERS, fresh=('embedding', 'embedding_norm')).recipe.network('net').fresh


def test_spare_tokens_and_a_file_without_tokens_are_no_mistake(started):
    assert started(LETTERS)
    assert started(LETTERS, [*LETTERS, '[unused1]'])


@pytest.mark.parametrize('inputs', ['batch.tokens', ['batch.tokens', 'batch.position']])
def test_a_tokenizer_of_other_words_than_those_of_the_run_of_the_weights_is_one_sentence(started, tmp_path, inputs):
    run, own = tmp_path / 'run', tmp_path / 'own.txt'
    run.mkdir()

    def trained(words, **network):
        own.write_text('\n'.join([*SPECIAL, *words]))
        networks = {'net': {'input': inputs, **network}}
        (run / 'config.json').write_text(json.dumps({'data': {'tokenizer': f'vocab:{own}'}, 'networks': networks}))

    other = [*LETTERS[:3], *LETTERS[:2:-1]]
    trained(LETTERS)
    with pytest.raises(UserError, match=r"token 8 is 'd' in .*/run and 'z' in data.tokenizer='vocab:.*', and 22 of 31"):
        started(other, init=str(run))
    assert started(other, init=str(run), fresh='embedding')
    assert started(LETTERS, init=str(run))
    trained(LETTERS, update='frozen')  # it was not trained there
    assert started(other, init=str(run))
    (run / 'config.json').write_text('[]')
    assert started(other, init=str(run))


ROW = '{"text": "abcdefgh"}\n'  # 8 positions, of which the last one predicts the end token
ASKED = '{"prompt": "abc", "answer": "d"}\n'  # 4 positions, of which 2 count
BOTH = {'student': 'net.logits', 'target': '~net.logits'}
NEXT = {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label'}


@pytest.fixture
def counted(tmp_path):
    """A function that prepares a run with one term on lines of text."""

    def prepare(lines, term, network=None, **data):
        (tmp_path / 'a.jsonl').write_text(lines)
        net = {'model': Words, 'size': 260, 'input': 'batch.tokens'} if network is None else network
        config = {
            'data': {'source': 'text', 'documents': str(tmp_path / 'a.jsonl'), 'length': 8, **data}, 'batch_size': 2,
            'epochs': 1, 'optimizer': {'learning_rate': 0.1}, 'networks': {'net': net}, 'terms': {'one': term},
            'evaluate': {},
        }  # fmt: skip
        return prepare_run(config, 0, 'c')

    return prepare


def of_rows(student, target):
    """A number for each row."""
    return losses.kd(student, target).mean(-1)


@pytest.mark.parametrize('in_memory', [True, False])
def test_a_term_that_would_count_padding_or_prompts_needs_a_mask(counted, in_memory):
    data = {'in_memory': in_memory}
    message = "c, term 'one' has no mask, so it counts tokens that 'batch.mask' leaves out, such as padding; set its ma"
    for lines in (ROW * 8 + '{"text": "abc"}', ASKED * 8):
        for term in (NEXT, {'loss': 'kd', **BOTH}):
            with pytest.raises(UserError, match=message):
                counted(lines, term, **data)
            assert counted(lines, {**term, 'mask': 'batch.segment'}, **data)
    assert counted(ROW * 8, NEXT, **data)  # every token of every row counts
    assert counted(ASKED * 8, {'loss': of_rows, **BOTH}, **data)
    copies = {'model': Words, 'size': 260, 'input': 'batch.tokens', 'copies': 2}
    with pytest.raises(UserError, match=message):
        counted(ASKED * 8, NEXT, copies, **data)


FULL, SHORT = '{"text": "abcdefg"}\n' * 8, '{"text": "abcdef"}\n' * 8  # rows of 8 and 7 tokens with the end token


def test_words_that_are_not_masked_count_without_a_mask_if_no_label_is_read(counted):
    soft, data = {'loss': 'kd', **BOTH}, {'predicts': 'masked'}
    assert counted(FULL, soft, **data)
    message = r"counts tokens that 'batch\.segment' leaves out, such as padding; set its mask: 'batch\.mask' for"
    with pytest.raises(UserError, match=message):
        counted(SHORT, soft, **data)
    with pytest.raises(UserError, match=r"counts tokens that 'batch\.mask' leaves out"):
        counted(FULL, NEXT, **data)


def test_an_encoder_must_know_what_is_padding(counted):
    shape = dict(model='encoder', vocabulary=260, width=8, layers=1, heads=1, mlp_width=8, window=8, head='none')
    term, data = {'loss': 'mse', 'student': 'net.sentence', 'target': '~net.sentence'}, {'predicts': 'nothing'}
    assert counted(SHORT, term, {**shape, 'input': ['batch.tokens', 'batch.segment']}, **data)
    assert counted(FULL, term, {**shape, 'input': 'batch.tokens'}, **data)  # no row has padding
    for wrong in ('batch.tokens', ['batch.tokens', 'batch.position']):
        with pytest.raises(UserError, match=r"c, network 'net' reads 'batch\.tokens' without 'batch\.segment', so it"):
            counted(SHORT, term, {**shape, 'input': wrong}, **data)
