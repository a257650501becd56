"""A run whose best evaluation on validation is not its last."""

from kd_jax.config.config_file import load_config
from kd_jax.prepare.prepared_run import prepare_run
from tests.train_one import CONFIG

# The learning rate jumps after 60% of the run, so that the network forgets and the best evaluation is not the last.
RATE = {'schedule': 'steps', 'start': 0.05, 'at': (0.6,), 'factor': 400.0}


def prepare_forgetful(**options):
    config, _ = load_config(CONFIG, [])
    run = {**config['runs']['teacher'], 'optimizer': {'name': 'sgd', 'learning_rate': RATE}, **options}
    return prepare_run(run, 0, "run 'teacher'")
