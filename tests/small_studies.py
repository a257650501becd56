"""A study of four runs, two of which start from others; nothing is trained."""

import json

from kd_jax.config.checked_json import write_checked
from kd_jax.studies.study import parse_study


def trained(**networks):
    """The config of a run; only the runs that it starts from matter here."""
    start = {'model': 'mlp', 'update': 'frozen'}
    return {'networks': {name: {**start, 'init': init} for name, init in networks.items()}}


RUNS = {
    'student': trained(teacher='run:assistant', other='run:peer/student'),
    'assistant': trained(teacher='run:teacher'),
    'peer': trained(),
    'teacher': trained(),
}


def parsed(runs=RUNS, **options):
    return parse_study({'name': 'chain', 'runs': runs, **options}, 'here')


def ids(runs):
    return [run.id for run in runs]


# The least that a result holds.
RESULT = {'config': {}, 'steps': 0, 'seconds': 0.0, 'last': {'step': 0}, 'best': None}


def finish(workdir, *run_ids, **result):
    for run_id in run_ids:
        name, seed = run_id.rsplit('-s', 1)
        named = {'study': 'chain', 'run': name, 'seed': int(seed)}
        write_checked(workdir.result_path(run_id), {**named, **RESULT, **result})


def begin(workdir, planned):
    """Writes a config and a checkpoint of every run of the study into the work directory."""
    for run in planned.runs:
        (workdir.directory(run.id) / 'checkpoints' / '7').mkdir(parents=True)
        (workdir.directory(run.id) / 'config.json').write_text(json.dumps(run.config))
