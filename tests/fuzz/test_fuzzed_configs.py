"""Whatever a config or an override says, a plan is shown, or one sentence says what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import run
from tests import chain_study
from tests.fuzz import valid_configs
from tests.fuzz.amount import examples
from tests.fuzz.mutations import EXTREME, JSON_VALUES, ODD, TEXTS, changed_tree, paths
from tests.fuzz.outcomes import ends_well

pytestmark = pytest.mark.usefixtures('settings_as_before')
VALUES = (*EXTREME, *JSON_VALUES, *ODD)
LITERALS = (
    *TEXTS, *(str(value).replace('inf', '1e999') for value in VALUES), '(' * 300, '[' * 90 + ']' * 90,
    "{'a': 1, 'a': 2}", 'f()', '-', '{',
)  # fmt: skip


@pytest.fixture(scope='module')
def studies(tmp_path_factory):
    return valid_configs.studies(chain_study.data(tmp_path_factory.mktemp('fuzz') / 'data.npz'))


def planned(config, report, *overrides):
    valid_configs.GIVEN.update(config=config, report=report)
    return ends_well(run.main, [f'--config={valid_configs.FILE}', '--workdir=/nowhere/fuzz', '--plan', *overrides])


def test_the_configs_that_are_changed_are_valid(studies):
    for config, report in studies.values():
        code, said = planned(config, report)
        assert code == 0, said


@examples(80)
@given(data=st.data())
def test_a_changed_config_is_planned_or_refused_in_one_sentence(studies, data):
    configs = {name: config for name, (config, _) in studies.items()}
    name = data.draw(st.sampled_from(sorted(studies)))
    planned(data.draw(changed_tree(configs[name], [*configs.values()], VALUES)), studies[name][1])


@examples(20)
@given(data=st.data())
def test_a_changed_report_is_planned_or_refused_in_one_sentence(studies, data):
    config, report = studies['taught']
    planned(config, data.draw(changed_tree(report, [report, config], VALUES)))


@examples(40)
@given(data=st.data())
def test_overrides_are_planned_or_refused_in_one_sentence(studies, data):
    config, report = studies[data.draw(st.sampled_from(sorted(studies)))]
    overrides = []
    for _ in range(data.draw(st.integers(1, 2))):
        path = '.'.join(map(str, data.draw(st.sampled_from(paths(config)))))
        path = data.draw(st.sampled_from((path, path, path, f'{path}.x', f'{path}x', path[1:], f'{path}.', '')))
        value = data.draw(st.sampled_from(LITERALS))
        overrides.append(f'--config.{path}{data.draw(st.sampled_from(("=", "=", "=", "==", "", "= ")))}{value}')
    planned(config, report, *overrides)


@pytest.fixture(scope='module')
def methods():
    return valid_configs.methods()


@examples(8)
@given(data=st.data())
def test_a_changed_method_is_planned_or_refused_in_one_sentence(methods, data):
    config = methods[data.draw(st.sampled_from(sorted(methods)))]
    name = next(iter(config['runs']))
    others = [study['runs'] for study in methods.values()]
    run = data.draw(changed_tree(config['runs'][name], others, VALUES))
    planned({**config, 'runs': {**config['runs'], name: run}}, {})
