"""Tests of what is checked before a study trains."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study


def planned(valid, init, weight=1.0):
    net = {'model': 'mlp', 'hidden': (4,)}
    teacher = {
        'data': {'source': 'mnist', 'examples': 60, 'valid': valid},
        'epochs': 1,
        'batch_size': 20,
        'networks': {'net': net},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label'}},
        'optimizer': {'learning_rate': 0.1},
    }
    hard = {**teacher['terms']['hard'], 'weight': weight}
    student = {**teacher, 'networks': {'net': {**net, 'init': init}}, 'terms': {'hard': hard}}
    return parse_study({'name': 'two', 'runs': {'teacher': teacher, 'student': student}}, 'here')


def test_the_best_checkpoint_of_a_run_needs_a_validation_split():
    with pytest.raises(UserError) as error:
        prepare_study(planned(0, 'run:teacher@best'))
    assert str(error.value) == (
        "here: run 'student', network 'net' starts from the best checkpoint of run 'teacher', which is not evaluated "
        "on validation: set runs.teacher.data.valid, or leave out '@best' to take the last checkpoint."
    )
    prepare_study(planned(20, 'run:teacher@best'))
    prepare_study(planned(0, 'run:teacher'))


def test_a_wrong_init_is_refused_with_its_place():
    with pytest.raises(UserError) as error:
        prepare_study(planned(0, 'rnu:teacher'))
    assert str(error.value) == (
        "here: run 'student', network 'net': init is 'rnu:teacher', and there is no such directory. Did you mean "
        "'run:'?"
    )


def test_a_value_that_the_other_run_will_not_have_is_refused_before_training():
    prepare_study(planned(0, 'run:teacher', 'result:teacher.last.test.net.accuracy'))
    with pytest.raises(UserError) as error:
        prepare_study(planned(0, 'run:teacher', 'result:teacher.last.test.nte.accuracy'))
    assert str(error.value).startswith(
        "here: run 'student': 'result:teacher.last.test.nte.accuracy': the result of run 'teacher' will have no "
        "'last.test.nte.accuracy'. Did you mean 'last.test.net.accuracy'?"
    )


DECODER = dict(model='decoder', vocabulary=260, width=8, layers=1, heads=2, mlp_width=8, window=8)


@pytest.fixture
def language(tmp_path):
    """A function that prepares a study of two decoders, of which the second starts from the first."""
    (tmp_path / 'a.jsonl').write_text('{"text": "abcdefgh"}\n' * 8)
    for name in ('one', 'other'):
        words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *'abcdefgh'[:: 1 if name == 'one' else -1]]
        (tmp_path / f'{name}.txt').write_text('\n'.join(words))

    def prepare(tokenizers=('bytes', 'bytes'), **network):
        def run(tokenizer, **options):
            term = {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label', 'mask': 'batch.mask'}
            inputs = ['batch.tokens', 'batch.position', 'batch.segment']
            data = {'source': 'text', 'documents': str(tmp_path / 'a.jsonl'), 'length': 8, 'tokenizer': tokenizer}
            vocabulary = 260 if tokenizer == 'bytes' else 13
            return {
                'data': data, 'batch_size': 2, 'epochs': 1, 'optimizer': {'learning_rate': 0.1},
                'networks': {'net': {**DECODER, 'vocabulary': vocabulary, 'input': inputs, **options}},
                'terms': {'hard': term},
            }  # fmt: skip

        named = [each.replace('vocab:', f'vocab:{tmp_path}/') for each in tokenizers]
        runs = {'first': run(named[0]), 'second': run(named[1], init='run:first', **network)}
        return prepare_study(parse_study({'name': 'two', 'runs': runs}, 'here'))

    return prepare


@pytest.mark.parametrize(
    ('option', 'theirs', 'value'),
    [('heads', 2, 4), ('norm_epsilon', 1e-05, 1e-3), ('rotary_base', 10000.0, 5e5)],
)
def test_options_that_no_shape_shows_must_be_those_of_the_run_that_trained_the_weights(language, option, theirs, value):
    assert language()
    with pytest.raises(UserError) as error:
        language(**{option: value})
    assert str(error.value) == (
        f"here: run 'second', network 'net': run 'first' has {option}={theirs!r}, but this model has "
        f'{option}={value!r}: give it these options.'
    )


def test_a_network_reads_the_tokens_with_which_another_run_has_trained_it(language):
    assert language(('vocab:one.txt', 'vocab:one.txt'))
    with pytest.raises(
        UserError,
        match=r"network 'net': token 5 is 'a' in run 'first' and 'h' in data\.tokenizer='vocab:.*other\.txt', "
        r'and 8 of 13 tokens differ, so this is not its tokenizer',
    ):
        language(('vocab:one.txt', 'vocab:other.txt'))
    assert language(('vocab:one.txt', 'vocab:other.txt'), fresh='embedding')
