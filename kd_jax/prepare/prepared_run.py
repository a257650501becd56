"""Turns a run's config into objects and checks everything that can be checked before training."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from kd_jax.config.errors import UserError
from kd_jax.config.references import parse_result
from kd_jax.core.accumulation import check_accumulation
from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.check_recipe import check_recipe, evaluation_context
from kd_jax.core.forward import network_numbers
from kd_jax.core.initial_state import init_state
from kd_jax.core.network import Network
from kd_jax.core.paths import Context
from kd_jax.core.recipe import Recipe
from kd_jax.core.state import State
from kd_jax.data import splits
from kd_jax.data.batches import batch_shapes, evaluation_view, training_view
from kd_jax.data.example_order import ExampleOrder
from kd_jax.data.splits import check_option_names, example_count, load_splits
from kd_jax.devices.compiler_options import compiler_options
from kd_jax.devices.mesh import check_batch_size, make_mesh
from kd_jax.evaluation.evaluator import Evaluator
from kd_jax.models.pretrained import Pretrained
from kd_jax.prepare.check_analyses import check_analysis
from kd_jax.prepare.check_data import (
    check_evaluated_labels,
    check_evaluated_splits,
    check_labels_of_terms,
    check_memories,
    check_mixing,
    check_multi_label_targets,
)
from kd_jax.prepare.check_effects import check_effects, check_tensor
from kd_jax.prepare.check_samples import check_samples
from kd_jax.prepare.check_tokens import check_tokens
from kd_jax.prepare.convolution_work import convolution_work
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.prepare.run_options import check_dictionary, check_options, run_option
from kd_jax.prepare.weight_checksums import weight_checksums
from kd_jax.teacher_cache.cache_options import TeacherCache, plan_cache
from kd_jax.teacher_cache.recording import View


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """A run's config as objects, with all names and shapes checked.

    Attributes:
      config: the run's config.
      seed: the seed of the run.
      where: the place of the run in the study, for messages.
      recipe: its networks and terms.
      splits: its data.
      order: the order of the training examples.
      evaluator: what is evaluated.
      context: the shape of everything that a path can read in training.
      mesh: the devices that it trains on.
      view: (batch, key of augmentation, number of the view) -> the batch that training sees.
      cache: which outputs of frozen networks are recorded and replayed; None without `cache` in the config.
      compiler_options: the compiler options of training and recording.
      convolution_work: see `convolution_work`.
    """

    config: Mapping[str, Any]
    seed: int
    where: str
    recipe: Recipe
    splits: splits.Splits
    order: ExampleOrder
    evaluator: Evaluator
    context: Context
    mesh: Mesh
    view: View
    cache: TeacherCache | None
    compiler_options: Mapping[str, str]
    convolution_work: int

    @property
    def resident(self) -> bool:
        """Whether the training split, with all outputs recorded for it, is kept on the devices."""
        return self.splits.resident and (self.cache is None or self.cache.in_memory)

    @functools.cached_property
    def initial_shapes(self) -> tuple[State, dict[str, Any]]:
        """The shapes of the state before the first step and of the variables of frozen networks."""
        return jax.eval_shape(lambda: init_state(self.recipe, self.context['batch'], self.seed))

    @functools.cached_property
    def weight_checksums(self) -> dict[str, str]:
        """Those of the networks that start from files and directories, as they were when this was first read."""
        return weight_checksums(self.recipe.owners)

    @property
    def convolves_on_cpu(self) -> bool:
        """Whether the run trains convolutions on CPUs; in a compiled loop their gradients need another layout."""
        convolves = any(network.convolves(variable_shapes(self, network)['params']) for network in self.recipe.trained)
        return convolves and self.mesh.devices.flat[0].platform == 'cpu'

    @property
    def matmul_precision(self) -> str:
        """The precision of matrix products in training and in recording, 'default' or 'bfloat16'."""
        return run_option(self.config, 'matmul_precision')

    @property
    def total_steps(self) -> int:
        """The number of training steps of the whole run."""
        return round(run_option(self.config, 'epochs') * self.order.steps_per_epoch)

    @property
    def splits_at_end(self) -> tuple[str, ...]:
        """The splits that are evaluated after the last step, as far as the data has them."""
        return ('train', 'valid', 'test') if run_option(self.config, 'evaluate_train') else ('valid', 'test')

    @property
    def validates(self) -> bool:
        """Whether the run is evaluated on validation examples while it trains, so that one evaluation is the best."""
        return 'valid' in self.splits.arrays and bool(self.evaluator.measured) and self.total_steps > 0

    @property
    def eval_steps(self) -> int:
        """The number of steps from one evaluation to the next."""
        return max(1, round(run_option(self.config, 'eval_every') * self.order.steps_per_epoch))

    def numbers_after(self, steps: int) -> dict[str, dict[str, np.ndarray]]:
        """The numbers of networks that are schedules, by network and option, as they are after so many steps."""
        progress = np.float32(steps) / np.float32(max(1, self.total_steps))
        return jax.device_get(network_numbers(self.recipe, jax.tree.map(np.float32, self.recipe.hparams), progress))


def prepare_run(config: Mapping[str, Any], seed: int, where: str, devices: Sequence[Any] | None = None) -> PreparedRun:
    """Turns a run's config into objects and checks everything that can be checked before training.

    Options may still refer to a result of another run ('result:RUN.PATH') that is not known yet. Such data options are
    left out; then labels, targets and patience are not checked, and the data has no checksum. Such numbers of terms
    become 1.

    Args:
      config: the run's config.
      seed: the seed of its data order, initial parameters and all randomness.
      where: the place of the run in the study, for messages.
      devices: the devices for its mesh; None for all devices of this machine or cluster.
    Raises:
      UserError: something in the config is wrong; the message says what and where.
    """
    check_options(config, where)
    recipe = parse_recipe(config, where)
    _check_init(recipe, where)
    known = {key: value for key, value in config.get('data', {}).items() if not parse_result(value)}
    complete = len(known) == len(config.get('data', {}))
    splits = _load_known(config, known, seed, where)
    batch_size = run_option(config, 'batch_size')
    order = ExampleOrder(splits, batch_size, seed, known.get('views', 0) if splits.augment else 1)
    view = functools.partial(training_view, options=splits.augment, num_classes=splits.num_classes)
    mesh = make_mesh(check_dictionary(config.get('mesh', {}), f'{where}.mesh'), devices or jax.devices(), where)
    accumulate = run_option(config, 'accumulate')
    if run_option(config, 'epochs'):
        _check_trains(config['epochs'], order, recipe, where)
        check_batch_size(mesh, batch_size, where, accumulate)
    batch = batch_shapes(splits.arrays['train'], batch_size)
    shapes = jax.eval_shape(view, batch, jax.random.key(0), np.zeros((), np.int32))
    check_mixing(recipe, splits, where)
    check_memories(recipe, splits, where)
    context = check_recipe(recipe, shapes, where)
    work = convolution_work(recipe, context)
    kind = (mesh.devices.flat[0].platform, work > 0, recipe.loops_over_layers)
    evaluator = Evaluator(recipe, config.get('evaluate', {}), where, mesh, compiler_options(*kind))
    options = compiler_options(*kind, run_option(config, 'matmul_precision'))
    if accumulate > 1:
        check_accumulation(recipe, context, accumulate, where)
    check_effects(recipe, config, context, where)
    check_tensor(recipe, mesh, where)
    evaluated = evaluation_context(recipe, context, jax.eval_shape(evaluation_view, batch))
    _check_evaluations(config, evaluator, evaluated, recipe, splits, where)
    check_tokens(recipe, context, splits, where)
    if complete:
        _check_labels(evaluator, evaluated, recipe, context, splits, where)
    recorded = None
    if (chosen := run_option(config, 'cache')) is not False:
        recorded = plan_cache(
            chosen, recipe, context, splits.arrays['train'], order, mesh, view, splits.augment, where, options,
            run_option(config, 'matmul_precision'),
        )  # fmt: skip
    prepared = PreparedRun(
        config, seed, where, recipe, splits, order, evaluator, context, mesh, view, recorded, options, work
    )
    if complete:
        _check_patience(prepared)
    return prepared


def _load_known(config: Mapping[str, Any], known: Mapping[str, Any], seed: int, where: str) -> splits.Splits:
    """Loads the splits with the data options that are known; if others are not, the data has no checksum."""
    check_option_names(config.get('data', {}), f'{where}, data')
    loaded = load_splits(known, seed, where)
    return loaded if len(known) == len(config.get('data', {})) else dataclasses.replace(loaded, checksum='')


def _check_evaluations(
    config: Mapping[str, Any], evaluator: Evaluator, evaluated: Context, recipe: Recipe, data: splits.Splits, where: str
) -> None:
    evaluator.check(evaluated, where, max(example_count(arrays) for arrays in data.arrays.values()))
    for name, analysis in config.get('analyses', {}).items():
        check_analysis(analysis, evaluated, data.arrays, f"{where}, analysis '{name}'")
    check_evaluated_splits(evaluator.measured.values(), recipe, data, where)
    check_samples(config, recipe, evaluated, data, where)


def _check_labels(
    evaluator: Evaluator, evaluated: Context, recipe: Recipe, context: Context, data: splits.Splits, where: str
) -> None:
    check_evaluated_labels(evaluator.measured.values(), evaluated, data, where)
    check_labels_of_terms(recipe, context, data.arrays['train'], where)
    check_multi_label_targets(recipe, evaluator.measured.values(), data, where)


def _check_patience(prepared: PreparedRun) -> None:
    if (patience := prepared.config.get('patience')) and not prepared.validates:
        raise UserError(
            f'{prepared.where}: patience={patience} stops a run that no longer gets better on validation, but the run '
            'is not evaluated on validation: set data.valid.'
        )


def _check_init(recipe: Recipe, where: str) -> None:
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        if not isinstance(network.init, str):
            raise UserError(
                f"{place}: init is {network.init!r}, but it must be 'run:NAME', 'torch:FILE', 'gguf:FILE', "
                "'huggingface:DIRECTORY' or the directory of a run."
            )
        brought = isinstance(network.module, Pretrained)
        if brought and network.copies:
            raise UserError(f'{place}: copies of a model that brings its own weights would all be equal; set copies=0.')


def _check_trains(epochs: float, order: ExampleOrder, recipe: Recipe, where: str) -> None:
    if not order.steps_per_epoch:
        size = len(order.epoch(0))
        raise UserError(f'{where}: batch_size is {order.batch_size}, but an epoch has only {size} examples.')
    if not round(epochs * order.steps_per_epoch):
        raise UserError(
            f'{where}: epochs is {epochs}, which is less than one step; an epoch has {order.steps_per_epoch}.'
        )
    if epochs * order.steps_per_epoch >= 2**31:
        raise UserError(
            f'{where}: epochs is {epochs:g}, which is {epochs * order.steps_per_epoch:.3g} steps, but steps are '
            'counted in 32 bits: train fewer than 2**31 steps.'
        )
    if not (recipe.terms and recipe.trained):
        raise UserError(f'{where} has no {"networks to train" if recipe.terms else "terms"}: set some, or epochs=0.')


def count_parameters(prepared: PreparedRun, network: Network) -> int:
    """The number of parameters that a network runs with, in all copies; those of all networks whose function it is."""
    shapes = variable_shapes(prepared, network)
    params = [own.get('params', {}) for own in (shapes if isinstance(shapes, tuple) else (shapes,))]
    return sum(a.size for a in jax.tree.leaves(params))


def variable_shapes(prepared: PreparedRun, network: Network) -> Any:
    """The shapes of a network's variables; of a function of several networks, a tuple of theirs."""
    return network_shapes(network, prepared.context)[0]
