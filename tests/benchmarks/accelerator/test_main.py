"""The command from its options to its file."""

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks.accelerator import __main__ as command

ROOT = pathlib.Path(__file__).parents[3]


def test_it_starts_where_nothing_is_installed():
    asked = [sys.executable, '-S', '-m', 'benchmarks.accelerator', '--help']
    assert '--wheels' in subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_a_real_part_gives_rows_and_a_part_that_cannot_run_gives_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.wheels, 'installed', lambda name: None if name == 'torch' else '1')
    assert command.main([f'--out={tmp_path}/new/card.json', '--parts=mlp,pytorch-mlp']) == 0
    found = json.loads((tmp_path / 'new' / 'card.json').read_text())
    assert found['not measured'] == {'pytorch-mlp': 'PyTorch is not installed'}
    assert [row['what'] for row in found['rows']] == ['live teacher', 'cached teacher']
    assert all(row['images/s'] > 0 and row['share of peak'] is None for row in found['rows'])
    assert 'pytorch-mlp: PyTorch is not installed' in capsys.readouterr().out


def test_a_part_may_use_the_time_that_earlier_ones_left_and_not_that_of_later_ones(tmp_path, monkeypatch):
    given = {}

    def outcome(asked, seconds, environment):
        part = asked[-1]
        given[part] = seconds
        if part == 'mlp':
            return [], 'it ended with status 1: no memory'
        facts = {'hardware': {'kind': 'NVIDIA H200', 'backend': 'gpu'}, 'command': 'of the part'}
        row = dict(of='a', what='b', library='kd_jax', dtype='bfloat16', steps=1, images=1, flops=989e9, seconds=[0.01])
        return [{'facts': facts}, {'row': row}, {'test': ['t', 'PASSED']}], None

    monkeypatch.setattr(command, 'outcome', outcome)
    out = tmp_path / 'card.json'
    assert command.main([f'--out={out}', '--parts=environment,mlp,cache', '--seconds=100']) == 0
    cuts = {'environment': 100 - 15 - 15, 'mlp': 100 - 15, 'cache': 100}  # nothing has taken any time
    assert {part: round(seconds) for part, seconds in given.items()} == pytest.approx(cuts, abs=2)
    found = json.loads(out.read_text())
    assert found['not measured'] == {'mlp': 'it ended with status 1: no memory'}
    assert [row['share of peak'] for row in found['rows']] == pytest.approx([0.1, 0.1])
    assert found['tests'] == {'t': 'PASSED'}
    assert (
        found['command'] == f'python -m benchmarks.accelerator --out={out} --parts=environment,mlp,cache --seconds=100'
    )


def test_a_card_without_a_known_peak_is_said(tmp_path):
    found = {'hardware': {'kind': 'NVIDIA X1', 'backend': 'gpu'}, 'not measured': {}}
    command.add_rates(found, [])
    assert found['peak'] is None
    assert found['not measured'] == {'share of peak': "benchmarks/accelerator/peaks.py has no peak of 'NVIDIA X1'"}


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('--parts=mpl', "--parts: there is no 'mpl'; the parts are environment, mlp"),
        ('--wheels=missing', '--wheels=missing is not a folder'),
        ('--out=/dev/null/card.json', '--out=/dev/null/card.json cannot be written: '),
    ],
)
def test_a_wrong_option_is_one_sentence_before_anything_runs(option, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, 'measure_parts', lambda *_: pytest.fail('a part ran'))
    with pytest.raises(SystemExit) as ended:
        command.main([f'--out={tmp_path}/card.json', option])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
