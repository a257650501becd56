"""The page of the paper's claims and the README's table come from the committed results."""

import pytest

from experiments import replication
from kd_jax.report.paper_claims import Claim


def claim(title, papers='', verdict='', why=''):
    command = 'python -m experiments.run --config=a.py --only=a'
    rule = 'at least 70%'
    return Claim(title, title, 'share', 0.5, None, None, 'words', rule, '50%', papers, verdict, why, 90.0, command)


@pytest.fixture
def found():
    claims = [claim('of both', '80%', 'not reproduced', 'Too | short.'), claim('ours alone')]
    return [
        replication.Shown('Section 1', 'a.py', 'a', claims, ''),
        replication.Shown('Section 2', 'b.py', 'b', [], 'This study has not run yet.'),
    ]


def test_the_readme_shows_what_the_paper_has_a_number_for_and_says_what_has_not_run(found):
    assert replication.table(found).splitlines()[2:] == [
        '| of both | 80% | 50% | not reproduced | 1 min 30 s | `--config=a.py --only=a` |',
        '| Section 2 | | not run yet | | | `--config=b.py` |',
    ]


def test_the_page_shows_every_claim_with_its_whole_command_and_why_it_is_not_reproduced(found):
    page = replication.page(found)
    for title in ('of both', 'ours alone'):
        assert f'| {title} |' in page
    assert page.count('| at least 70% | `python -m experiments.run --config=a.py --only=a` |') == 2
    assert page.count('`python -m experiments.run --config=a.py --only=a`') == 2
    assert r'- **of both**: Too \| short.' in page
    assert 'This study has not run yet.' in page


def test_a_table_replaces_the_one_between_the_markers_alone():
    page = f'before\n{replication.START}\nold\n{replication.END}\nafter\n'
    assert replication.with_table(page, 'new') == page.replace('old', 'new')


def test_the_committed_page_and_readme_are_those_that_the_committed_results_give():
    found = replication.studies()
    assert replication.PAGE.read_text() == replication.page(found)
    readme = replication.README.read_text()
    assert replication.with_table(readme, replication.table(found)) == readme
