"""Sentences of texts."""

from kd_jax.data.json_lines import JsonLines
from kd_jax.data.sentences import sentences


def test_sentences_end_at_marks_and_with_paragraphs():
    text = 'The first one\nhas two lines. Does it work e.g. here? "Yes, it does work!" (And so on it goes.)'
    text += '\n\nNo mark here ends'
    assert sentences(text) == [
        'The first one has two lines.', 'Does it work e.g. here?', '"Yes, it does work!"', '(And so on it goes.)',
        'No mark here ends',
    ]  # fmt: skip


def test_headings_and_code_are_left_out():
    assert sentences('12.1. RAID\n\nx = np.zeros((2, 3)) + y[4:5, 6]\n\nA sentence of five words.') == [
        'A sentence of five words.'
    ]


def test_the_included_texts_have_sentences_and_reviews_stay_as_they_are():
    handbook = [one for document in JsonLines(['handbook']) for one in sentences(document.text)]
    assert 5_000 < len(handbook) < 15_000
    words = sorted(len(one.split()) for one in handbook)
    assert 15 < words[len(words) // 2] < 30
    reviews = JsonLines(['sentiment'])
    assert sum(sentences(one.text) == [one.text] for one in reviews) > 0.8 * len(reviews)
