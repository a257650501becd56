"""The table of published implementations is what its file of answers says."""

import json
import pathlib

from conformance.check import DEFINITIONS, VECTORS, Outcome, passed_variants

FOLDER = pathlib.Path(__file__).parents[2] / 'conformance'
ANSWERS = json.loads((FOLDER / 'published.json').read_text())


def test_every_answer_is_to_a_case_as_it_is_today():
    for one in ANSWERS:
        assert one['definition'] in DEFINITIONS
        cases = json.loads((VECTORS / f'{one["definition"]}.json').read_text())['cases']
        asked = [(case['variant'], case['options'], case['answer']) for case in cases]
        assert [(case['variant'], case['options'], case['answer']) for case in one['cases']] == asked
        assert passed_variants([Outcome(**case) for case in one['cases']]) == one['variants passed']


def test_every_function_has_its_row():
    page = (FOLDER / 'README.md').read_text()
    for one in ANSWERS:
        passed = ', '.join(name or 'yes' for name in one['variants passed']) or '**no**'
        row = f'| {one["definition"]} | {one["package"]} {one["version"]} | `{one["what"]}` | {passed} |'
        assert row in page
