"""Every config file, in every variant: its names, paths, shapes and its report are right."""

import pathlib

import pytest

from kd_jax import config_file, report, study
from kd_jax.data import described

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / 'configs').glob('*.py'))
VARIANTS = [(path, variant) for path in CONFIGS for variant in config_file.variants(path)]


@pytest.mark.parametrize(('path', 'variant'), VARIANTS, ids=[f'{p.stem}:{v}' for p, v in VARIANTS])
def test_every_run_of_a_config_can_start(path, variant):
    config, shown = config_file.load(f'{path}:{variant}')
    config['runs'] = {name: described.without_data(run) for name, run in config['runs'].items()}
    planned = study.parse(config, path.name)
    report.check({**planned.about, 'report': shown}, {run.name for run in planned.runs})
    jobs = study.jobs(planned)
    assert set(jobs) == set(config['runs'])
    assert all(job.total_steps > 0 or job.config['epochs'] == 0 for job in jobs.values())
