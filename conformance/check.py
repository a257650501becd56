"""Checks a Python function against the test vectors of a definition.

  python -m conformance.check jsd my_package.losses:jsd

The function gets the inputs of a case as numpy arrays of float64 and integers and its options, all by name, and returns
the answer; conformance/README.md lists them. A wrapper of a few lines adapts other names and array types:

  def jsd(student, teacher, beta):
      return their_jsd(torch.tensor(student), torch.tensor(teacher), beta).item()

A case passes if the answer is right up to 1e-4 of its size, or 1e-6, so computing in float32 is good enough.
"""

import argparse
import importlib
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

VECTORS = pathlib.Path(__file__).parent / 'vectors'
RELATIVE, ABSOLUTE = 1e-4, 1e-6
DEFINITIONS = sorted(path.stem for path in VECTORS.glob('*.json'))


class Outcome(NamedTuple):
    """What a function said of one case: `said` is its answer, or the error that it raised."""

    variant: str
    options: dict[str, Any]
    passed: bool
    answer: Any
    said: Any


def check(definition: str, function: Callable[..., Any], not_offered: Sequence[str] = ()) -> list[Outcome]:
    """The outcome of every case of a definition, except those of variants that the function does not offer."""
    cases = json.loads((VECTORS / f'{definition}.json').read_text())['cases']
    return [_outcome(case, function) for case in cases if case['variant'] not in not_offered]


def passed_variants(outcomes: Sequence[Outcome]) -> list[str]:
    """The variants of which every case passed."""
    every = dict.fromkeys(outcome.variant for outcome in outcomes)
    return [name for name in every if all(outcome.passed for outcome in outcomes if outcome.variant == name)]


def _outcome(case: dict[str, Any], function: Callable[..., Any]) -> Outcome:
    inputs = {name: np.asarray(values) for name, values in case['inputs'].items()}
    answer, said = np.asarray(case['answer']), None
    try:
        said = np.asarray(function(**inputs, **case['options']))
        counts = inputs['mask'] > 0 if answer.ndim else np.ones((), bool)  # padding has no position
        right = said.shape == answer.shape and np.allclose(said[counts], answer[counts], rtol=RELATIVE, atol=ABSOLUTE)
    except Exception as error:
        right, said = False, error
    return Outcome(case['variant'], case['options'], bool(right), case['answer'], said)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser('python -m conformance.check', description=__doc__.splitlines()[0])
    parser.add_argument('definition', choices=DEFINITIONS)
    parser.add_argument('function', help='package.module:function')
    args = parser.parse_args(argv)
    module, _, name = args.function.partition(':')
    sys.path.insert(0, '')
    outcomes = check(args.definition, getattr(importlib.import_module(module), name))
    for outcome in outcomes:
        verdict = 'pass' if outcome.passed else f'FAIL: {outcome.said!r} instead of {outcome.answer!r}'
        print(f'{outcome.variant} {outcome.options}: {verdict}'.strip())
    return 0 if passed_variants(outcomes) else 1


if __name__ == '__main__':
    raise SystemExit(main())
