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
        offered = [case for case in cases if case['variant'] not in one['variants not offered']]
        asked = [(case['variant'], case['options'], case['answer']) for case in offered]
        assert {case['variant'] for case in cases} >= set(one['variants not offered'])
        assert [(case['variant'], case['options'], case['answer']) for case in one['cases']] == asked
        assert passed_variants([Outcome(**case) for case in one['cases']]) == one['variants passed']


def test_every_function_has_its_row():
    page = (FOLDER / 'README.md').read_text()
    for one in ANSWERS:
        passed = ', '.join(name or 'yes' for name in one['variants passed']) or '**no**'
        cases = f'{sum(case["passed"] for case in one["cases"])} of {len(one["cases"])}'
        row = f'| {one["definition"]} | {one["package"]} {one["version"]} | `{one["what"]}` | {passed} |'
        row += f' {", ".join(one["variants not offered"])} | {cases} | {one["remark"]} |'
        assert row in page
