"""Every config file, in every variant: its names, paths, shapes and its report are right."""

import pathlib

import pytest

from kd_jax import report
from kd_jax.config.config_file import config_variants, load_config
from kd_jax.config.errors import UserError
from kd_jax.config.references import HUGGINGFACE
from kd_jax.data import placeholder_sources
from kd_jax.studies import prepare_study as prepared_studies
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study
from kd_jax.training.initial_weights import load_from_files
from kd_jax.training.run_result import expected_result

ROOT = pathlib.Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(path for path in ROOT.rglob('*.py') if 'def get_config' in path.read_text('utf-8'))
VARIANTS = [(path, variant) for path in CONFIGS for variant in config_variants(path)]


def loaded(path, variant):
    """The config and its report; skips a stage whose methods are chosen by results that are not committed yet."""
    try:
        return load_config(f'{path}:{variant}')
    except UserError as error:
        if 'chooses by the results of' not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _without_models_to_download(monkeypatch):
    """Configs may start from directories that a user downloads; their weights are checked where they exist."""

    def load(network, origin, shapes, where):
        missing = origin.kind == HUGGINGFACE and not pathlib.Path(origin.file).exists()
        return None if missing else load_from_files(network, origin, shapes, where)

    monkeypatch.setattr(prepared_studies, 'load_from_files', load)


def few_images(run):
    """The run with fewer numbers of several digits, which take long to make."""
    data = run.get('data', {})
    made = {key: min(data[key], 4_000) for key in ('train', 'examples') if key in data and 'digits' in data}
    return {**run, 'data': {**data, **made}} if made else run


@pytest.mark.parametrize(('path', 'variant'), VARIANTS, ids=[f'{p.stem}:{v}' for p, v in VARIANTS])
def test_every_run_of_a_config_can_start(path, variant):
    config, shown = loaded(path, variant)
    config['runs'] = {name: few_images(placeholder_sources.without_data(run)) for name, run in config['runs'].items()}
    planned = parse_study(config, path.name)
    about = {**planned.about, 'report': shown}
    report.check_report(about, {run.name for run in planned.runs})
    try:
        prepared_runs = prepare_study(planned)
    except UserError as error:
        if 'is not installed: pip install' not in str(error):
            raise
        pytest.skip(str(error))
    report.check_values(about, {name: expected_result(prepared) for name, prepared in prepared_runs.items()})
    assert set(prepared_runs) == set(config['runs'])
    assert all(prepared.total_steps > 0 or not prepared.config.get('epochs') for prepared in prepared_runs.values())
