"""A run's config made into objects, everything checked that can be known before it trains."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from kd_jax import analyses, cache, initialize, lookup, sharding
from kd_jax import recipe as recipes
from kd_jax.data import augment, pipeline
from kd_jax.data import splits as data_splits
from kd_jax.errors import UserError, suggest
from kd_jax.evaluate import Evaluator
from kd_jax.models.adapters import Pretrained
from kd_jax.network import Network, Path
from kd_jax.recipe import Recipe
from kd_jax.recording import View
from kd_jax.step import Context

KEYS = (
    'analyses', 'batch_size', 'cache', 'checkpoint_seconds', 'compute_dtype', 'data', 'epochs', 'eval_every',
    'evaluate', 'mesh', 'networks', 'optimizer', 'resources', 'terms',
)  # fmt: skip
RESOURCES = ('cpu', 'gpu', 'tpu')
SECTIONS = ('analyses', 'evaluate', 'networks', 'terms')
NUMBERS = {  # kind, least value; `MOST`: largest
    'batch_size': (int, 1), 'epochs': (float, 0), 'eval_every': (float, 0), 'checkpoint_seconds': (float, 0),
    'data.examples': (int, 0), 'data.jitter': (int, 0), 'data.label_noise': (float, 0), 'data.valid': (int, 0),
    'data.views': (int, 0), 'data.workers': (int, 0),
    'resources.cpu': (float, 0), 'resources.gpu': (float, 0), 'resources.tpu': (float, 0),
}  # fmt: skip
MOST = {'data.label_noise': 1.0}


@dataclasses.dataclass(frozen=True)
class Job:
    """A run's config made into objects, all its names and shapes checked.

    `view` makes of a batch, the key of augmentation and the number of a view what training sees.
    """

    config: Mapping[str, Any]
    seed: int
    where: str
    recipe: Recipe
    splits: data_splits.Splits
    order: pipeline.Order
    evaluator: Evaluator
    context: Context
    mesh: Mesh
    view: View
    cache: cache.Cache | None

    @property
    def resident(self) -> bool:
        """Whether the training split, and all that is recorded for it, lives on the devices."""
        return self.splits.resident and (self.cache is None or self.cache.in_memory)

    @property
    def convolves_on_cpu(self) -> bool:
        """Whether it trains convolutions on CPUs, whose gradients XLA computes many times slower inside a loop.

        Outside of loops XLA first brings them to a form that its fast routines know (jax issue 12868).
        """
        convolves = any(network.convolves(variable_shapes(self, network)['params']) for network in self.recipe.trained)
        return convolves and self.mesh.devices.flat[0].platform == 'cpu'

    @property
    def total_steps(self) -> int:
        return round(self.config.get('epochs', 0) * self.order.steps_per_epoch)

    @property
    def eval_steps(self) -> int:
        """Steps from one evaluation to the next."""
        return max(1, round(self.config.get('eval_every', 1) * self.order.steps_per_epoch))


def prepare(config: Mapping[str, Any], seed: int, where: str, devices: Sequence[Any] | None = None) -> Job:
    """Checks everything about a run that can be known before it trains.

    Data options that still refer to another run's result ('result:RUN.PATH') are left out, and with them the check of
    class counts; a term's numbers that do are taken to be 1.

    Args:
      config: of the run.
      seed: of its data order, initial parameters and randomness.
      where: the place in the study, for messages.
      devices: what its mesh is made of; all there are unless said otherwise.
    Raises:
      UserError: whatever is wrong with the config, in one sentence.
    """
    _check_options(config, where)
    recipe = recipes.parse(config, where)
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        if not isinstance(network.init, str):
            raise UserError(
                f"{place}: init is {network.init!r}, but it must be one 'run:NAME', 'torch:FILE' or a run's directory."
            )
        brought = isinstance(network.module, Pretrained)
        if brought and network.copies:
            raise UserError(f'{place}: copies of a network that brings its weights would be all alike; set copies=0.')
    known = {key: value for key, value in config.get('data', {}).items() if not str(value).startswith('result:')}
    splits = data_splits.load(known, seed, where)
    batch_size = config.get('batch_size', 128)
    order = pipeline.Order(splits, batch_size, seed, known.get('views', 0) if splits.augment else 1)
    view = functools.partial(pipeline.view, options=splits.augment, num_classes=splits.num_classes)
    mesh = sharding.make_mesh(
        _dictionary(config.get('mesh', {}), f'{where}.mesh'), jax.devices() if devices is None else devices, where
    )
    if config.get('epochs', 0):
        _check_trains(config['epochs'], order, recipe, where)
        sharding.check_batch(mesh, batch_size, where)
    evaluator = Evaluator(recipe, config.get('evaluate', {}), where, mesh)
    batch = pipeline.shapes(splits.arrays['train'], batch_size)
    shapes = jax.eval_shape(view, batch, jax.random.key(0), np.zeros((), np.int32))
    _check_mixing(recipe, splits, where)
    context = initialize.check(recipe, shapes, where)
    _check_starts(recipe, context, where)
    evaluated = {**context, 'batch': jax.eval_shape(pipeline.plain_view, batch)}
    evaluator.check(evaluated, where)
    for name, options in config.get('analyses', {}).items():
        _check_analysis(name, options, evaluated, where)
    for path in [p['logits'] for p in evaluator.measured.values() if str(p['labels']) == 'batch.label']:
        classes = context[path.source][path.name].shape[-1]
        if classes != splits.num_classes and len(known) == len(config['data']):
            raise UserError(
                f"{where}: '{path}' has {classes} classes, but the data has {splits.num_classes}; "
                f'set networks.{path.source}.num_classes={splits.num_classes}.'
            )
    recorded = None
    if config.get('cache'):
        train = splits.arrays['train']
        recorded = cache.plan(config['cache'], recipe, context, train, order, mesh, view, splits.augment, where)
    return Job(config, seed, where, recipe, splits, order, evaluator, context, mesh, view, recorded)


def _check_options(config: Mapping[str, Any], where: str) -> None:
    for key in config:
        if key not in KEYS:
            raise UserError(f'{where}: there is no option {key!r}. {suggest(key, KEYS)}')
    for key in SECTIONS:
        for name, options in _dictionary(config.get(key, {}), f'{where}.{key}').items():
            _dictionary(options, f'{where}.{key}.{name}')
    within = {key: _dictionary(config.get(key, {}), f'{where}.{key}') for key in ('data', 'resources')}
    for key in within['resources']:
        if key not in RESOURCES:
            raise UserError(f'{where}.resources: there is no {key!r}. {suggest(key, RESOURCES)}')
    for key, (kind, least) in NUMBERS.items():
        section, _, leaf = key.rpartition('.')
        value = within[section].get(leaf, 0) if section else config.get(key, 1)
        whole = isinstance(value, int) and not isinstance(value, bool)
        right_kind = whole or (kind is float and isinstance(value, float) and math.isfinite(value))
        most = MOST.get(key, math.inf)
        if str(value).startswith('result:') or (right_kind and least <= value <= most):
            continue
        what = 'a whole number' if kind is int else 'a number'
        room = f'{least} or more' if most == math.inf else f'between {least} and {most:g}'
        raise UserError(f'{where}: {key} is {value!r}, but it must be {what}, {room}.')


def _dictionary(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f'{where} is {value!r}, but it must be a dictionary.')
    return value


def _check_trains(epochs: float, order: pipeline.Order, recipe: Recipe, where: str) -> None:
    if not order.steps_per_epoch:
        size = len(order.epoch(0))
        raise UserError(f'{where}: batch_size is {order.batch_size}, but an epoch has only {size} examples.')
    if not round(epochs * order.steps_per_epoch):
        raise UserError(f'{where}: epochs is {epochs}, which is not even one step of {order.steps_per_epoch} an epoch.')
    if not (recipe.terms and recipe.trained):
        raise UserError(f'{where} has no {"networks to train" if recipe.terms else "terms"}: set some, or epochs=0.')


def _check_starts(recipe: Recipe, context: Context, where: str) -> None:
    """Refuses frozen networks whose parameters would stay at random values."""
    for network in recipe.frozen:
        if network.init or isinstance(network.module, Pretrained):
            continue
        if jax.tree.leaves(initialize.shapes(network, context)[0]):
            raise UserError(
                f"{where}, network '{network.name}' is frozen but starts from nothing: set init='run:NAME' or "
                "init='torch:FILE'."
            )


def _check_mixing(recipe: Recipe, splits: data_splits.Splits, where: str) -> None:
    """Refuses terms that teach a mixed image the label of one of its two."""
    for term in recipe.terms if augment.mixes(splits.augment) else ():
        if any((path.source, path.name) == ('batch', 'label') for path in term.paths()):
            raise UserError(
                f"{where}, term '{term.name}' reads 'batch.label', but data.augment mixes the images: read the mixed "
                "labels 'batch.target' with a loss that takes distributions, such as cross_entropy."
            )


def _check_analysis(name: str, options: Mapping[str, Any], context: Context, where: str) -> None:
    place = f"{where}, analysis '{name}'"
    function = lookup.named(options.get('analysis', ''), analyses, 'analysis', place)
    positional, keywords = lookup.signature(function)
    for key in options:
        if key not in (*positional, *keywords, 'analysis', 'splits'):
            hint = suggest(key, [*positional, *keywords])
            raise UserError(f'{place}: {function.__name__} takes no {key!r}. {hint}')
    for key in positional:
        if key not in options:
            raise UserError(f'{place}: {function.__name__} needs a path for {key}.')
        read = read_paths(options[key], place)
        initialize.check_paths(read if isinstance(read, tuple) else (read,), context, place)


def read_paths(read: Any, where: str) -> Path | tuple[Path, ...]:
    """The path, or the tuple of paths, that a config names."""
    return Path.parse(read, where) if isinstance(read, str) else tuple(Path.parse(p, where) for p in read)


def parameters(job: Job, network: Network) -> int:
    """How many parameters a network has, its copies counted."""
    return sum(a.size for a in jax.tree.leaves(variable_shapes(job, network).get('params', {})))


def variable_shapes(job: Job, network: Network) -> Any:
    """The shapes of a network's variables."""
    return initialize.shapes(network, job.context)[0]
