"""The command that exports a network of a finished run."""

import json

import pytest

import kd_jax
from experiments import export
from kd_jax.config.errors import UserError

FOREIGN = {
    'data': {'source': 'os:system', 'command': 'touch RAN'},
    'networks': {'net': {'model': 'subprocess:getoutput', 'cmd': 'touch RAN'}},
    'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
    'terms': {'hard': {'loss': 'os:system', 'logits': 'net.logits', 'labels': 'batch.label'}},
}


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A work directory of somebody else, whose result names programs to run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'results').mkdir()
    (tmp_path / 'results' / 'x-s0.json').write_text(json.dumps({'run': 'x', 'seed': 0, 'config': FOREIGN}))
    return tmp_path


def test_a_result_of_somebody_else_runs_nothing_and_the_refusal_has_the_whole_flag(foreign, capsys):
    options = [f'--workdir={foreign}', '--run=x-s0', '--out=out']
    assert export.main(options) == 2
    said = capsys.readouterr().err
    assert "results/x-s0.json names the model 'subprocess:getoutput'" in said
    assert said.endswith('with --allow=subprocess:getoutput --allow=os:system.\n')
    assert export.main([*options, '--allow=subprocess:getstatusoutput']) == 2
    with pytest.raises(UserError, match=r"allow=\['subprocess:getoutput', 'os:system'\]"):
        kd_jax.load(foreign, 'x')
    assert not (foreign / 'RAN').exists()
