"""Training one group of a study: from what, which runs, and what is written."""

import types

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies import execute
from kd_jax.studies.execute import execute_group
from kd_jax.studies.run_groups import plan_groups
from tests.small_studies import RESULT, finish, parsed


def test_a_group_is_trained_from_what_it_needs_and_its_result_is_written_when_whole(workdir, monkeypatch):
    planned, seen = parsed(), []

    def trained(runs_to_train, *_, **__):
        outcomes = []
        for _, directory, sources in runs_to_train:
            if directory.name == 'student-s0':
                raise UserError('enough')
            seen.append((directory.name, {name: path.name for name, path in sources.items()}))
            outcomes.append(RESULT)
        return outcomes

    prepared = types.SimpleNamespace(splits=types.SimpleNamespace(checksum='crc32:1'), weight_checksums={})
    monkeypatch.setattr(execute, 'prepare_run_of_study', lambda study, run, config: prepared)
    monkeypatch.setattr(execute, 'check_memory', lambda prepared: None)
    monkeypatch.setattr(execute, 'train_group', trained)
    finish(workdir, 'peer-s0')
    for group in plan_groups([run for run in planned.runs if run.name in ('teacher', 'assistant')]):
        execute_group(planned, group, workdir, lambda *_: None)
    assert seen == [('teacher-s0', {}), ('assistant-s0', {'teacher': 'teacher-s0'})]
    assert workdir.result('assistant-s0') == {'study': 'chain', 'run': 'assistant', 'seed': 0, **RESULT}
    with pytest.raises(UserError, match='enough'):
        execute_group(planned, planned.runs[-1:], workdir, lambda *_: None)
    assert workdir.result('student-s0') is None


def test_a_run_that_another_process_has_finished_meanwhile_is_not_trained_again(workdir, monkeypatch):
    monkeypatch.setattr(execute, 'prepare_run_of_study', lambda study, run, config: config)
    monkeypatch.setattr(execute, 'train_group', lambda *_, **__: pytest.fail('trained again'))
    finish(workdir, 'peer-s0', steps=7)
    group = tuple(run for run in parsed().runs if run.name == 'peer')
    (found,) = execute_group(parsed(), group, workdir, lambda *_: None)
    assert found['steps'] == 7
