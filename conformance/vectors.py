"""Writes conformance/vectors/*.json: inputs and float64 answers of every definition, with numpy alone.

  python -m conformance.vectors

Every case has a `variant`: where the field has several definitions under one name, an implementation should pass all
cases of one variant, and say which.
"""

import inspect
import json
import pathlib
from typing import Any

import numpy as np

from conformance import definitions

FOLDER = pathlib.Path(__file__).parent / 'vectors'
VOCABULARY = 7
# Prompts, completions and padding by the end-of-text token 0: of each row, where the completion begins and ends.
TOKENS = np.array([[3, 1, 4, 2, 2, 0], [2, 2, 1, 0, 0, 0], [4, 3, 1, 0, 0, 0], [1, 4, 5, 6, 0, 0]])
BEGIN, END = (2, 3, 1, 4), (6, 4, 4, 4)
MASK = np.array([[b <= i < e for i in range(6)] for b, e in zip(BEGIN, END, strict=True)], int)


def normal(seed: int, *shape: int, scale: float = 2.0) -> np.ndarray:
    """Normal numbers with three decimals, so that they are the same in every text and precision."""
    return np.round(np.random.default_rng(seed).normal(size=shape) * scale, 3)


def logits(*shape: int, seed: int = 0, scale: float = 2.0) -> dict[str, np.ndarray]:
    return {'student': normal(seed, *shape, scale=scale), 'teacher': normal(seed + 1, *shape, scale=scale)}


def zipf() -> dict[str, np.ndarray]:
    """A teacher with the probabilities of Zipf's law over 200 classes, and a student with too little on the first 4."""
    teacher = np.round(-np.log(np.arange(1, 201)), 3)
    return {'student': np.where(np.arange(200) < 4, teacher - 1, teacher)[None], 'teacher': teacher[None]}


def distilbert_inputs() -> dict[str, np.ndarray]:
    real = (np.arange(5) < np.array([5, 3])[:, None]).astype(int)
    masked = np.array([[0, 1, 0, 1, 0], [1, 0, 0, 0, 0]])
    hidden = {'student_hidden': normal(8, 2, 5, 4), 'teacher_hidden': normal(9, 2, 5, 4)}
    labels = np.array([[1, 2, 3, 4, 5], [6, 5, 4, 3, 2]])
    return logits(2, 5, VOCABULARY) | {'labels': labels, 'masked': masked, 'real': real} | hidden


def text(seed: int = 0) -> dict[str, np.ndarray]:
    return logits(4, 6, VOCABULARY, seed=seed) | {'tokens': TOKENS, 'mask': MASK}


def parts() -> dict[str, np.ndarray]:
    inputs = {name: array.reshape(2, 2, *array.shape[1:]) for name, array in text(4).items()}
    return {name: array for name, array in inputs.items() if name != 'teacher'}


def equal_pair() -> dict[str, np.ndarray]:
    features = {'student': normal(2, 5, 3), 'teacher': normal(3, 5, 4)}
    return {name: array[[0, 1, 2, 3, 4, 0]] for name, array in features.items()}


def cases() -> dict[str, list[tuple[str, dict[str, np.ndarray], dict[str, Any]]]]:
    """Variant, inputs and options of every case, by the name of the definition."""
    plain, wide = logits(4, 5), logits(3, 100, seed=2)
    labels = {'labels': np.array([0, 1, 4, 2])}
    sure = {'student': np.array([[0.0, 1.0, -2.0]]), 'teacher': np.array([[150.0, 0.0, 2.0]]), 'labels': np.array([0])}
    wrong = sure | {'student': sure['teacher'], 'teacher': sure['student']}
    teachers = {'student': plain['student'], 'teachers': normal(5, 3, 4, 5)}
    features = {'student': normal(2, 5, 3), 'teacher': normal(3, 5, 2, 2)}
    positions, far = logits(2, 3, VOCABULARY), logits(2, 3, VOCABULARY, seed=6, scale=6.0)
    padded = {'mask': np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]), 'segments': np.array([[0, 0, 1, 1, 1], [1] * 5])}
    packed = {
        'mask': np.array([[1, 1, 1, 1, 1, 0]] * 2),
        'segments': np.array([[1, 1, 2, 2, 2, 0], [1, 2, 2, 3, 3, 0]]),
    }
    averages, forms = ('probabilities', 'logits', 'losses'), ('paper', 'code')
    return {
        'kd': [('', plain, {'t': 1.0}), ('', plain, {'t': 4.0}), ('', wide, {'t': 4.0})],
        'ensemble_targets': [(a, teachers, {'t': t, 'average': a}) for a in averages for t in (1.0, 3.0)],
        'dkd': [
            ('', plain | labels, {'t': 4.0, 'alpha': 1.0, 'beta': 8.0}),
            ('', plain | labels, {'t': 1.0, 'alpha': 0.5, 'beta': 2.0}),
            ('', sure, {'t': 1.0, 'alpha': 1.0, 'beta': 8.0}),
            ('', wrong, {'t': 1.0, 'alpha': 1.0, 'beta': 8.0}),
        ],
        'dist': [(f, plain, {'t': t, 'form': f}) for f in forms for t in (1.0, 4.0)],
        'logit_standardisation': [
            (d, inputs, {'t': 2.0, 'deviation': d}) for d in ('population', 'sample') for inputs in (plain, wide)
        ],
        'similarity_preserving': [('', features, {}), ('', equal_pair(), {})],
        'rkd_distance': [
            (f'{f}{more}', inputs, {'form': f})
            for f in forms for more, inputs in (('', logits(5, 3)), (', two equal examples', equal_pair()))
        ],
        'top_k_with_tail': [
            ('plain', positions, {'k': 3, 't': 1.0}), ('plain', zipf(), {'k': 4, 't': 1.0}),
            ('softened', positions, {'k': 3, 't': 2.0}), ('softened', positions, {'k': VOCABULARY, 't': 2.0}),
        ],
        'jsd': [('', inputs, {'beta': b}) for inputs in (positions, far) for b in (0.5, 0.1, 0.9, 0.001)],
        'skew_kl': [(d, inputs, {'alpha': a, 'direction': d}) for d in ('forward', 'reverse')
                    for inputs, a in ((positions, 0.1), (far, 0.1), (positions, 0.3))],
        'reverse_kl': [
            ('plain', positions, {'t': 1.0}), ('plain', far, {'t': 1.0}), ('softened', positions, {'t': 2.0}),
        ],
        'shift_and_mask': [(loss, text(), {'t': t, 'loss': loss}) for loss, t in (('labels', 1.0), ('kd', 1.0))],
        'global_normalisation': [('', parts(), {})],
        'position_ids': [(name, inputs, {'layout': name}) for name, inputs in (('padded', padded), ('packed', packed))],
        'distilbert': [('', distilbert_inputs(), {})],
    }  # fmt: skip


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def documents() -> dict[str, dict[str, Any]]:
    """What is written: for every definition its statement, and its cases with their answers."""
    out = {}
    for name, listed in cases().items():
        function = getattr(definitions, name)
        out[name] = {
            'definition': name,
            'statement': inspect.getdoc(function),
            'cases': [
                {
                    'variant': variant,
                    'inputs': {key: plain(array) for key, array in inputs.items()},
                    'options': options,
                    'answer': plain(function(**inputs, **options)),
                }
                for variant, inputs, options in listed
            ],
        }
    return out


if __name__ == '__main__':
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / f'{name}.json').write_text(json.dumps(document, allow_nan=False) + '\n', encoding='utf-8')
