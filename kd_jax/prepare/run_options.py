"""The options of a run's config: their names, types and ranges."""

import math
from collections.abc import Mapping
from typing import Any

from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.names import check_name
from kd_jax.config.references import parse_result
from kd_jax.devices.matmul_precision import MATMUL_PRECISIONS

RUN_OPTIONS = {
    'data': Described('the data that it trains on and is evaluated on', REQUIRED, 'dictionary'),
    'networks': Described('its networks: name -> options of the network', REQUIRED, 'dictionary'),
    'terms': Described('the terms that are added up to its loss: name -> options of the term', {}, 'dictionary'),
    'optimizer': Described('the optimizer of every trained network that has none of its own', None, 'dictionary'),
    'batch_size': Described('examples in a batch, over all devices', 128),
    'epochs': Described('how often training goes over the training examples; 0 trains nothing', 0),
    'accumulate': Described(
        'number of parts of a batch that are computed one after another to save memory; the gradient is that of the '
        'whole batch',
        1,
    ),
    'eval_every': Described('epochs from one evaluation to the next; a checkpoint may be saved at an evaluation', 1),
    'evaluate': Described(
        'what is measured: name -> options of the evaluation; by default every network that is not frozen and has '
        'logits, as a classifier',
        {},
        'dictionary',
    ),
    'evaluate_train': Described(
        'whether its training examples are evaluated, too, after the last step; each costs as much as a test example',
        True,
        'True, False',
    ),
    'patience': Described(
        'stop after so many evaluations in a row that are no better on validation than the best; '
        'without it, a run never stops early',
        None,
    ),
    'analyses': Described('what is computed from its predictions at the end: name -> options', {}, 'dictionary'),
    'cache': Described('record the outputs of frozen networks once and replay them', False, 'True, False, dictionary'),
    'compute_dtype': Described(
        "the precision in which its networks run, unless a network has its own; stored weights are 'float32'",
        'float32',
        "'float32', 'bfloat16'",
    ),
    'matmul_precision': Described(
        "'bfloat16' rounds the inputs of matrix products and convolutions to bfloat16 while it trains and records; "
        'sums and all arrays stay float32',
        'default',
        "'default', 'bfloat16'",
    ),
    'checkpoint_seconds': Described('seconds from one checkpoint to the next, at least; the last is always saved', 60),
    'mesh': Described('how many devices share the batch, parameters and runs', {}, 'dictionary'),
    'resources': Described('what it needs while it trains, for executors', {}, 'dictionary'),
    'samples': Described('texts that a decoder of the run writes after the last step', None, 'dictionary'),
    'seeds': Described(
        'how often it is trained, with the seeds 0, 1 and so on', 'that of the study', 'whole number, 1 or more'
    ),
    'transform': Described(
        'make a network from the networks of other runs instead of training; then only analyses, compute_dtype, data, '
        'evaluate, mesh, networks, resources and seeds may be set beside it',
        None,
        'dictionary',
    ),
}


TRANSFORM_RUN_KEYS = (
    'analyses', 'compute_dtype', 'data', 'evaluate', 'mesh', 'networks', 'resources', 'seeds', 'transform',
)  # fmt: skip
RESOURCES = {
    'cpu': Described('cores', 1),
    'gpu': Described('GPUs; needs --executor=ray', 0),
    'tpu': Described('TPU chips; needs --executor=ray', 0),
}
SECTIONS = {'analyses': 'analysis', 'evaluate': 'evaluation', 'networks': 'network', 'terms': 'term'}
TAKEN = {'networks': ('batch',), 'terms': ('loss', 'grad_norm')}  # names of what every run has


NUMBERS = {  # type and least value; `MOST` has the largest values
    'accumulate': (int, 1), 'batch_size': (int, 1), 'epochs': (float, 0), 'eval_every': (float, 1e-6),
    'checkpoint_seconds': (float, 0), 'patience': (int, 1), 'data.examples': (int, 0), 'data.label_noise': (float, 0),
    'data.valid': (int, 0), 'data.views': (int, 0), 'data.workers': (int, 0),
    'resources.cpu': (float, 0), 'resources.gpu': (float, 0), 'resources.tpu': (float, 0),
}  # fmt: skip


MOST = {'data.label_noise': 1.0, 'data.workers': 256}  # workers are processes of this machine


def run_option(config: Mapping[str, Any], key: str) -> Any:
    """The value of an option of a run, or its default."""
    return config.get(key, RUN_OPTIONS[key].default)


def check_options(config: Mapping[str, Any], where: str) -> None:
    """Raises a UserError if an option of a run is unknown, or is not of the right type and range.

    A number of `data` may be a reference to a result of another run, which is checked once it is known. The others
    shape the program, so they must be known before training.
    """
    for key in config:
        if key not in RUN_OPTIONS:
            raise UserError(f'{where}: there is no option {key!r}. {suggest(key, RUN_OPTIONS)}')
        if 'transform' in config and key not in TRANSFORM_RUN_KEYS:
            raise UserError(
                f'{where} has a transform, so it trains nothing; leave {key} out, or train in a run that starts from '
                'this one.'
            )
    if not isinstance(train := run_option(config, 'evaluate_train'), bool):
        raise UserError(f'{where}: evaluate_train is {train!r}, but it must be True or False.')
    if (precision := run_option(config, 'matmul_precision')) not in MATMUL_PRECISIONS:
        near = suggest(str(precision), MATMUL_PRECISIONS)
        raise UserError(f'{where}: there is no matmul_precision {precision!r}. {near}')
    for key in SECTIONS:
        for name, options in check_dictionary(config.get(key, {}), f'{where}.{key}').items():
            check_name(name, SECTIONS[key], f'{where}.{key}')
            if name in TAKEN.get(key, ()):
                raise UserError(f"{where}.{key}: '{name}' has another meaning in every run; choose another name.")
            check_dictionary(options, f'{where}.{key}.{name}')
    within = {key: check_dictionary(config.get(key, {}), f'{where}.{key}') for key in ('data', 'resources')}
    for key in within['resources']:
        if key not in RESOURCES:
            raise UserError(f'{where}.resources: there is no {key!r}. {suggest(key, RESOURCES)}')
    for key, (kind, least) in NUMBERS.items():
        section, _, leaf = key.rpartition('.')
        value = within[section].get(leaf, 0) if section else config.get(key, 1)
        whole = isinstance(value, int) and not isinstance(value, bool)
        right_kind = whole or (kind is float and isinstance(value, float) and math.isfinite(value))
        most = MOST.get(key, 2**31 - 1 if kind is int else 1e9)
        reference = parse_result(value)
        if (reference and section == 'data') or (right_kind and least <= value <= most):
            continue
        what = 'a whole number' if kind is int else 'a number'
        room = 'greater than 0' if 0 < least < 1 else f'{least} or more'
        if right_kind and value > most:
            room = f'at most {most:g}'
        if key in MOST:
            room = f'between {least} and {most:g}'
        hint = (
            ' Only options of data and of models, and numbers of terms, may be results of other runs.'
            if reference
            else ''
        )
        raise UserError(f'{where}: {key} is {value!r}, but it must be {what}, {room}.{hint}')


def check_dictionary(value: Any, where: str) -> Mapping[str, Any]:
    """Returns the value; raises a UserError if it is not a dictionary."""
    if not isinstance(value, Mapping):
        raise UserError(f'{where} is {value!r}, but it must be a dictionary.')
    return value
