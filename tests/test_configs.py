"""Every config file, in every variant: its names, paths, shapes and its report are right."""

import pathlib

import numpy as np
import pytest

from kd_jax import config_file, report, study
from kd_jax.data import sources

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / 'configs').glob('*.py'))
VARIANTS = [(path, variant) for path in CONFIGS for variant in config_file.variants(path)]
CLASSES = {'cifar10': 10, 'cifar100': 100, 'imagenet2012': 1000}


class Examples:
    """Black images in place of a prepared data set."""

    def __init__(self, num_classes, size):
        self.num_classes, self.image = num_classes, np.zeros((size, size, 3), np.uint8)

    def __len__(self):
        return 5000

    def __getitem__(self, number):
        return {'image': self.image, 'label': number % self.num_classes}


@pytest.fixture(autouse=True)
def _prepared_data_sets(monkeypatch):
    def prepared(name, data_dir, splits):
        return [Examples(CLASSES[name], 32 if 'cifar' in name else 256) for _ in splits], CLASSES[name]

    monkeypatch.setattr(sources, '_prepared', prepared)
    for name in set(CLASSES) & set(sources.__all__):
        source = getattr(sources, name)
        # A cached source would hold what it read here for the tests that follow.
        monkeypatch.setattr(sources, name, getattr(source, '__wrapped__', source))


@pytest.mark.parametrize(('path', 'variant'), VARIANTS, ids=[f'{p.stem}:{v}' for p, v in VARIANTS])
def test_every_run_of_a_config_can_start(path, variant):
    config, shown = config_file.load(f'{path}:{variant}')
    planned = study.parse(config, path.name)
    report.check({**planned.about, 'report': shown}, {run.name for run in planned.runs})
    jobs = study.jobs(planned)
    assert set(jobs) == set(config['runs'])
    assert all(job.total_steps > 0 or job.config['epochs'] == 0 for job in jobs.values())
