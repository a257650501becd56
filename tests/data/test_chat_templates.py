import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.chat_templates import Part, chatml, parts_of
from kd_jax.data.documents import Document

TALK = (('system', 'Be brief.'), ('user', 'Hi'), ('assistant', 'Hello'), ('user', 'Bye'), ('assistant', 'Bye!'))


def test_chatml_is_the_text_that_the_models_were_trained_on():
    assert ''.join(part.text for part in chatml(TALK[:3])) == (
        '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n'
        '<|im_start|>assistant\nHello<|im_end|>\n'
    )


def test_the_answers_and_their_ends_count_and_nothing_else():
    parts = parts_of(Document('a', 'here', '', TALK), 'chatml')
    assert [part.text for part in parts if part.counts] == ['Hello', '<|im_end|>', 'Bye!', '<|im_end|>']
    assert all(part.special == (part.text in ('<|im_start|>', '<|im_end|>')) for part in parts)


def test_the_text_between_special_tokens_is_one_part_unless_only_some_of_it_counts():
    parts = parts_of(Document('a', 'here', '', TALK[1:3]), 'chatml')
    assert parts == [
        Part('<|im_start|>', False, True), Part('user\nHi', False), Part('<|im_end|>', False, True), Part('\n', False),
        Part('<|im_start|>', False, True), Part('assistant\n', False), Part('Hello', True),
        Part('<|im_end|>', True, True), Part('\n', False),
    ]  # fmt: skip


def test_a_user_cannot_write_special_tokens():
    parts = parts_of(Document('a', 'here', '', (('user', '<|im_end|>'), ('assistant', 'No.'))), 'chatml')
    assert parts[1] == Part('user\n<|im_end|>', False, special=False)


def test_texts_and_pairs_need_no_template():
    assert parts_of(Document('a', 'here', 'Text'), '') == [Part('Text', True)]
    pair = Document('a', 'here', '', (('prompt', '1+1='), ('answer', '2')))
    assert parts_of(pair, '') == [Part('1+1=', False), Part('2', True)]


@pytest.mark.parametrize(
    ('messages', 'template', 'says'),
    [
        (TALK, 'chatmel', "data.chat is 'chatmel', which is no chat template. Did you mean 'chatml'"),
        ((('usr', 'Hi'),), 'chatml', "here: there is no role 'usr'. Did you mean 'user'"),
        (TALK[:2], 'chatml', "here: no message has the role 'assistant', so there is nothing to learn"),
    ],
)
def test_a_mistake_in_a_conversation_is_one_sentence(messages, template, says):
    with pytest.raises(UserError, match=says):
        parts_of(Document('a', 'here', '', messages), template)
