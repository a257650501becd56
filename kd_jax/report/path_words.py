"""Value paths of results in words, for titles, axes and sentences."""

from typing import Literal

Difference = Literal['metric', 'examples', '']

EXAMPLES = {'train': 'training', 'valid': 'validation', 'test': 'test'}
ABBREVIATIONS = ('bce', 'ece', 'kl', 'mae', 'mse', 'nll')


def last_key(path: str) -> str:
    """The last key of a value path that is not an index."""
    return next((key for key in reversed(path.split('.')) if not key.isdecimal()), '')


def metric_in_words(path: str) -> str:
    """The metric of a value path as a title names it: 'valid.student.nll' -> 'NLL'."""
    key = last_key(path)
    return key.upper() if key in ABBREVIATIONS else key.replace('_', ' ')


def axis_label(path: str) -> str:
    """The metric of a value path and its examples: 'valid.student.nll' -> 'NLL, validation examples'."""
    splits = [words for split, words in EXAMPLES.items() if split in path.split('.')]
    return ', '.join([metric_in_words(path), *(f'{words} examples' for words in splits[:1])])


def differs(path: str, other: str) -> Difference:
    """In what two value paths differ: 'metric', 'examples', or '' for the same metric on the same examples."""
    label, others = axis_label(path), axis_label(other)
    return '' if label == others else 'examples' if metric_in_words(path) == metric_in_words(other) else 'metric'


def path_in_words(path: str) -> str:
    """Says what a value path is: 'last.test.net.accuracy' -> 'accuracy of net on test examples'."""
    keys = path.split('.')
    if keys[0] in ('last', 'best') and len(keys) == 4:
        epoch = ' (best epoch)' if keys[0] == 'best' else ''
        return f'{keys[3]} of {keys[2]} on {EXAMPLES.get(keys[1], keys[1])} examples{epoch}'
    inner = ', '.join(keys[1:-1])
    return f'{keys[-1]} ({inner})' if inner else keys[-1]
