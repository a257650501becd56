"""Optimizers: makes the optax transformation of a network from its config and the numbers in `hparams`."""

import dataclasses
import inspect
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kd_jax.config import hyperparameters
from kd_jax.config.described import Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import Below1, Fraction, NonNegative, Positive, parse_number, value_at

NAMES = ('adam', 'adamw', 'adagrad', 'adafactor', 'lamb', 'lars', 'lion', 'rmsprop', 'sgd')
OURS = {  # our own options, of every optimizer
    'weight_decay': Described(
        'L2: this times the weights is added to the gradient, if the optimizer has no weight decay of its own', None
    ),
    'weight_decay_on': Described(
        "which weights decay: 'kernels' leaves out biases and the scales of norms", 'all', "'all', 'kernels'"
    ),
    'clip': Described('largest global norm of the gradient; a longer one is scaled down', None),
    'max_norm': Described('largest norm of the incoming weights of each unit (Hinton et al. 2012)', None),
}
DECAYS = ('weight_decay', 'weight_decay_rate')
DECAYED = ('all', 'kernels')


# arguments of optax that are functions or trees, which no config can hold
MASKS = ('mask', 'weight_decay_mask', 'trust_ratio_mask')
NEEDS = {  # the option without which an option of optax does nothing
    'nesterov': 'momentum', 'accumulator_dtype': 'momentum', 'dtype_momentum': 'momentum',
    'min_dim_size_to_factor': 'factored',
}  # fmt: skip
DTYPES = ('mu_dtype', 'accumulator_dtype', 'dtype_momentum')
# These scale the update of a parameter by means or norms over all of it. All others treat each number on its own.
OF_WHOLE_PARAMETERS = ('adafactor', 'lamb', 'lars')


RANGES = {
    'learning_rate': NonNegative, 'weight_decay': NonNegative, 'clip': Positive, 'max_norm': Positive,
    'momentum': Fraction, 'b1': Below1, 'b2': Below1, 'decay': Below1, 'decay_rate': Fraction, 'eps': NonNegative,
    'eps_root': NonNegative, 'initial_scale': NonNegative, 'initial_accumulator_value': NonNegative,
    'weight_decay_rate': NonNegative, 'trust_coefficient': Positive, 'clipping_threshold': Positive,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Optimizer:
    """The name of an optimizer, its fixed options, and the schedule of each of its numbers ('' for a constant).

    `weight_decay_on` says which parameters decay: 'all', or 'kernels' (see the function `kernels`).
    """

    name: str
    static: Mapping[str, Any]
    schedules: Mapping[str, str]
    weight_decay_on: str = 'all'


def parse_optimizer(config: Mapping[str, Any], where: str) -> tuple[Optimizer, dict[str, Any]]:
    """Parses an optimizer, such as `dict(name='sgd', learning_rate=0.1, momentum=0.9, weight_decay=5e-4, clip=1.0)`.

    The options are the arguments of the optax function of that name, and four more: `weight_decay` (L2, added to the
    gradient if the optax function has no weight decay of its own), `weight_decay_on` ('all', or 'kernels' to leave out
    biases and the scales of norms), `clip` (the largest global norm of the gradient) and `max_norm` (see the function
    `max_norm`).

    Returns:
      the `Optimizer`, and its numbers, which are leaves of `hparams`.
    Raises:
      UserError: the optimizer or an option is unknown, the learning rate is missing, a number is out of range, an
        option does nothing because another is missing, or an option of optax is a function or a tree of parameters,
        which a config cannot hold.
    """
    if not isinstance(config, Mapping):
        raise UserError(
            f"{where} is {config!r}, but it must be a dictionary such as dict(name='adam', learning_rate=0.001)."
        )
    options = dict(config)
    name = options.pop('name', 'sgd')
    if name not in NAMES:
        raise UserError(f'{where}: there is no optimizer {name!r}. {suggest(name, NAMES)}')
    own = inspect.signature(getattr(optax, name)).parameters
    _check_masks(options, name, where)
    known = {*own, *OURS} - {*MASKS}
    decayed = options.pop('weight_decay_on', DECAYED[0])
    static, schedules, numbers = {}, {}, {}
    for key, option in options.items():
        if key not in known:
            raise UserError(f'{where}: optimizer {name!r} takes no {key!r}. {suggest(key, known)}')
        place, default = f'{where}.{key}', own[key].default if key in own else None
        if key in DTYPES and option is not None:
            static[key] = _dtype(option, place)
        elif isinstance(default, int):
            hyperparameters.check_option(option, type(default), place)
            static[key] = option
        elif hyperparameters.is_number(option):
            schedules[key], numbers[key] = parse_number(option, RANGES.get(key, float), place)
        elif option is not None:
            hyperparameters.check_option(option, float if key in RANGES or isinstance(default, float) else Any, place)
            static[key] = option
    _check_effects(options, own, where)
    if 'learning_rate' not in numbers:
        raise UserError(f'{where}: optimizer {name!r} needs a learning_rate.')
    if decayed not in DECAYED:
        raise UserError(f'{where}: there is no weight_decay_on {decayed!r}. {suggest(str(decayed), DECAYED)}')
    if decayed != 'all' and not any(key in numbers or (key in own and own[key].default) for key in DECAYS):
        raise UserError(f'{where}: weight_decay_on is {decayed!r}, but there is no weight decay: set weight_decay.')
    return Optimizer(name, static, schedules, decayed), numbers


def _check_masks(options: Mapping[str, Any], name: str, where: str) -> None:
    for key in MASKS:
        if key in options:
            raise UserError(
                f'{where}: {key!r} of optimizer {name!r} is a function or a tree of parameters, which a config cannot '
                "hold; to leave biases and the scales of norms out of the weight decay, set weight_decay_on='kernels'."
            )


def _check_effects(options: Mapping[str, Any], own: Mapping[str, inspect.Parameter], where: str) -> None:
    """Refuses options that do nothing because another option is missing."""
    for key, needed in NEEDS.items():
        if not (options.get(key) and key in own and needed in own):
            continue
        given = options.get(needed, own[needed].default)
        if given is None or given is False:
            raise UserError(f'{where}.{key} does nothing without {needed}: set {needed}, or leave {key} out.')


def _dtype(option: Any, where: str) -> Any:
    try:
        found = jnp.dtype(option)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise UserError(f"{where} is {option!r}, but it must be a floating-point type, such as 'bfloat16'.")
    return option


def make_transformation(
    optimizer: Optimizer, numbers: Mapping[str, Any], progress: jax.Array, layer_stacks: Collection[str] = ()
) -> optax.GradientTransformation:
    """Makes the optax transformation of a network.

    Args:
      optimizer: the optimizer.
      numbers: its numbers, which may be traced.
      progress: the share of the run that is done, at which schedules are read; it may be traced.
      layer_stacks: the top-level modules of the network whose arrays lead with an axis of layers
        (`Network.layer_stacks`). Each of their layers is treated as it would be on its own, but for `clip`, whose norm
        is that of the whole network.
    """
    now = {key: value_at(schedule, numbers[key], progress) for key, schedule in optimizer.schedules.items()}
    factory = getattr(optax, optimizer.name)
    own = set(inspect.signature(factory).parameters)
    chain = []
    if 'clip' in now:
        chain.append(optax.clip_by_global_norm(now['clip']))
    mask = None if optimizer.weight_decay_on == 'all' else kernels
    if 'weight_decay' in now and 'weight_decay' not in own:
        chain.append(optax.add_decayed_weights(now['weight_decay'], mask))
    masks = {key: mask for key in ('mask', 'weight_decay_mask') if mask and key in own}
    main = factory(**{key: v for key, v in now.items() if key in own}, **optimizer.static, **masks)
    chain.append(for_each_layer(main, layer_stacks) if optimizer.name in OF_WHOLE_PARAMETERS else main)
    if 'max_norm' in now:
        chain.append(for_each_layer(max_norm(now['max_norm']), layer_stacks))
    return optax.chain(*chain)


def for_each_layer(tx: optax.GradientTransformation, layer_stacks: Collection[str]) -> optax.GradientTransformation:
    """Applies a transformation to each layer of a stack on its own, and to the modules that are no stack as it is.

    Args:
      tx: a transformation that treats each parameter on its own.
      layer_stacks: the top-level modules whose arrays lead with an axis of layers.
    """
    if not layer_stacks:
        return tx
    each = optax.GradientTransformation(jax.vmap(tx.init), jax.vmap(tx.update))
    return optax.partition(
        {'': tx, **dict.fromkeys(layer_stacks, each)},
        lambda params: {name: name if name in layer_stacks else '' for name in params},
    )


def kernels(params: Any) -> Any:
    """A tree of booleans: True for parameters of two or more axes that are named neither 'bias' nor 'scale'.

    These are the kernels of dense layers and convolutions, and embeddings. Biases, the scales of norms and single
    numbers, such as a learned temperature, are left out. The axis of stacked copies does not count.
    """

    def one(path, param):
        return param.ndim >= 2 and getattr(path[-1], 'key', None) not in ('bias', 'scale')

    return jax.tree_util.tree_map_with_path(one, params)


def max_norm(limit: float | jax.Array) -> optax.GradientTransformation:
    """Keeps the L2 norm of the incoming weights of every unit at or below `limit`, by projection after the update.

    Hinton et al. (2012), "Improving neural networks by preventing co-adaptation of feature detectors", section 2. The
    constraint lets training with dropout start from large learning rates. It acts on parameters named `kernel`, and the
    norm is over all axes but the last. Optimizers of stacked copies are vmapped, so each copy has norms of its own, and
    so has each layer of a stack (`for_each_layer`).
    """

    def update(updates, state, params):
        def projected(path, change, param):
            if getattr(path[-1], 'key', None) != 'kernel':
                return change
            moved = param + change
            norm = jnp.linalg.norm(moved.reshape(-1, moved.shape[-1]), axis=0)
            return moved * jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-12)) - param

        return jax.tree_util.tree_map_with_path(projected, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
