import jinja2.sandbox
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.chat_templates import TEMPLATES, Part, jinja_template, parts_of, prompt_of, special_tokens
from kd_jax.data.documents import Document

TALK = (('system', 'Be brief.'), ('user', 'Hi'), ('assistant', 'Hello'), ('user', 'Bye'), ('assistant', 'Bye!'))


def text_of(parts):
    return ''.join(part.text for part in parts)


@pytest.mark.parametrize(
    ('template', 'prompt', 'rest'),
    [
        (
            'chatml',
            '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
            'Hello<|im_end|>\n',
        ),
        (
            'llama3',
            '<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>'
            '<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>'
            '<|start_header_id|>assistant<|end_header_id|>\n\n',
            'Hello<|eot_id|>',
        ),
    ],
)
def test_a_template_is_the_text_that_the_models_were_trained_on(template, prompt, rest):
    assert text_of(parts_of(Document('a', 'here', '', TALK[:3]), template)) == prompt + rest
    assert text_of(prompt_of(TALK[:2], template)) == prompt


@pytest.mark.parametrize('template', TEMPLATES)
def test_the_prompt_of_generation_is_what_stands_before_the_answer_in_training(template):
    for said in (2, 4):
        prompt, whole = prompt_of(TALK[:said], template), parts_of(Document('a', 'here', '', TALK), template)
        assert whole[: len(prompt)] == [
            part._replace(counts=whole[i].counts) for i, part in enumerate(prompt)
        ]  # part by part, so token by token
        assert whole[len(prompt)] == Part(TALK[said][1], True)
        assert not any(part.counts for part in prompt)


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


@pytest.mark.parametrize('name', TEMPLATES)
def test_the_template_for_transformers_writes_the_same_text(name):
    messages = (('system', 'Be "brief".'), ('user', 'two\nlines, {{ braces }}'), ('assistant', 'Yes.'))
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    given = dict(messages=[dict(role=role, content=content) for role, content in messages], bos_token='<|begin|>')
    template = environment.from_string(jinja_template(name, begins=True))
    asked = text_of(prompt_of(messages, name))
    assert template.render(given, add_generation_prompt=True) == '<|begin|>' + asked
    told = text_of(parts_of(Document('a', 'here', messages=messages), name))
    assert template.render(given) == '<|begin|>' + told
    assert environment.from_string(jinja_template(name, begins=False)).render(given) == told
    assert {part.text for part in prompt_of(messages, name) if part.special} == special_tokens(name)
