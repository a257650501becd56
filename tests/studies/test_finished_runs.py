"""The weights of trained networks of finished runs."""

import jax
import numpy as np

from kd_jax.config.json_files import flat
from kd_jax.data.sources import Source
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies.execute import execute_group
from kd_jax.studies.finished_runs import load_trained
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.chunk_program import make_initial_state
from tests.text_study import text_study


def source():
    split = {'image': np.zeros((6, 5), np.float32), 'label': np.arange(6) % 2}
    return Source(split, split, 2)


def test_the_weights_are_those_of_the_checkpoint(tmp_path, assert_bitwise):
    config = {
        'data': {'source': source}, 'batch_size': 2, 'optimizer': {'learning_rate': 0.1},
        'networks': {'student': {'model': 'mlp', 'hidden': [4], 'num_classes': 2}},
    }  # fmt: skip
    made = prepare_run(config, 0, 'here')
    state, _ = make_initial_state(made, {})
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(state, {'step': 0})
    checkpoints.close()
    loaded = load_trained(made, made.recipe.network('student'), tmp_path)
    assert_bitwise(loaded, {'params': jax.device_get(state.params['student'])})


def test_what_a_network_started_from_does_not_matter_to_what_it_has_learned(tmp_path):
    """A run of one layer starts from the second of two, and from a new head; all that it trained is loaded."""
    work = Workdir(text_study(tmp_path, tied=False))
    result = work.result('student-s0')
    own = result['config']['networks']['student'] | dict(
        layers=1, init='run:student', init_layers=[2], fresh=['head']
    )  # fmt: skip
    half = {**result['config'], 'networks': {'student': own}}
    study = parse_study({'name': 'text', 'runs': {'student': result['config'], 'half': half}}, 'here')
    (finished,) = execute_group(study, [one for one in study.runs if one.name == 'half'], work, lambda *_: None)
    prepared = prepare_run(finished['config'], 0, 'half')
    found = load_trained(prepared, prepared.recipe.network('student'), work.directory('half-s0'))
    sizes = {name: array.shape[0] for name, array in flat(found['params']).items()}
    assert {count for name, count in sizes.items() if name.startswith('blocks')} == {1}
    assert any(name.startswith('head') for name in sizes)
