"""Rules by which the parameters of one network follow those of another: moving averages, copies, federated averages."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kd_jax.config import hyperparameters
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import Fraction, parse_number, value_at
from kd_jax.core.state import Tree

RULES = ('ema', 'copy', 'average')
OPTIONS = {'decay': 'ema', 'warmup': 'ema', 'broadcast': 'average'}  # the rule of each option that not all rules have


@dataclasses.dataclass(frozen=True)
class Follow:
    """How a network follows another one, its source.

    Attributes:
      rule: 'ema', an exponential moving average: d * own + (1 - d) * source with d = min(1 - 1 / (n + 1), decay) when
        it is applied for the n-th time (Tarvainen & Valpola 2017, section 2, and the warm-up of their code); 'copy',
        the source's values, as a target network takes them (Mnih et al. 2015); 'average', the mean over the copies
        of the source, as the server of federated averaging takes it (McMahan et al. 2017, algorithm 1).
      every: number of steps from one application of the rule to the next; in between nothing changes.
      broadcast: for 'average', whether the copies take the mean back, as the clients of federated averaging do.
      schedule: the schedule of the decay; '' for a constant.
      warmup: for 'ema', whether d grows with n. Until decay is reached, the follower is the plain mean of its own first
        values and all of the source's since. Without it, d is always the decay, and a young follower is mostly what it
        started from: right for weights that `init` loaded, and in papers whose codes do so (BYOL, MoCo).
    """

    rule: str
    every: int = 1
    broadcast: bool = False
    schedule: str = ''
    warmup: bool = True


def parse_follow(options: dict[str, Any], where: str) -> tuple[Follow, dict[str, Any]]:
    """Takes the options of a rule out of `options`; returns the rule, and its numbers, which are leaves of `hparams`.

    Raises:
      UserError: no such rule, an option that the rule does not have, or a value of the wrong kind or range.
    """
    rule = options.pop('rule', None)
    if rule not in RULES:
        what = f'there is no rule {rule!r}' if rule else 'it follows another network, but has no rule'
        raise UserError(f'{where}: {what}. {suggest(str(rule or ""), RULES)}')
    for key, own in OPTIONS.items():
        if key in options and rule != own:
            raise UserError(f'{where}: rule {rule!r} takes no {key}; it is an option of rule {own!r}.')
    every, broadcast = options.pop('every', 1), options.pop('broadcast', False)
    if not isinstance(every, int) or isinstance(every, bool) or not 1 <= every < 2**31:
        raise UserError(
            f'{where}.every is {every!r}, but it must be a whole number of steps, 1 or more and of 32 bits.'
        )
    hyperparameters.check_option(broadcast, bool, f'{where}.broadcast')
    if rule != 'ema':
        return Follow(rule, every, broadcast), {}
    decay, warmup = options.pop('decay', 0.999), options.pop('warmup', True)
    hyperparameters.check_option(warmup, bool, f'{where}.warmup')
    if not hyperparameters.is_number(decay):
        raise UserError(f'{where}.decay is {decay!r}; it must be a number between 0 and 1, or a schedule.')
    schedule, numbers = parse_number(decay, Fraction, f'{where}.decay')
    return Follow(rule, every, schedule=schedule, warmup=warmup), {'decay': numbers}


def follow(
    rule: Follow, source: Tree, own: Tree, numbers: Mapping[str, Any], progress: jax.Array, steps: jax.Array
) -> tuple[Tree, Tree]:
    """The follower's and the source's values (parameters, or collections) after `steps` steps.

    Values that are not floating-point numbers, such as counters, are taken from the source; if it
    has copies, from the first of them.
    """
    if rule.rule == 'ema':
        decay = value_at(rule.schedule, numbers['decay'], progress)
        if rule.warmup:
            decay = jnp.minimum(decay, 1.0 - 1.0 / (steps // rule.every + 1))
        new = moving_average(source, own, decay)
    else:
        new = mean_of_copies(source) if rule.rule == 'average' else source
    sent = broadcast_to_copies(new, source) if rule.broadcast else source
    if rule.every == 1:
        return new, sent
    due = steps % rule.every == 0
    return tuple(jax.tree.map(lambda a, b: jnp.where(due, a, b), *pair) for pair in ((new, own), (sent, source)))


def start_values(rule: Follow, source: Tree, own: Tree, loaded: bool, source_loaded: bool) -> tuple[Tree, Tree]:
    """The follower's and the source's variables before the first step.

    A follower that `init` did not load starts from its source. Copies that take the mean back start alike: from the
    follower's own initial values, unless `init` loaded the copies.
    """
    if rule.rule != 'average':
        return (own if loaded else jax.tree.map(jnp.copy, source)), source
    if not loaded and (source_loaded or not rule.broadcast):
        own = mean_of_copies(source)
    return own, broadcast_to_copies(own, source) if rule.broadcast else source


def moving_average(source: Tree, own: Tree, decay: Any) -> Tree:
    """decay * own + (1 - decay) * source, for each array."""

    def one(new, old):
        return optax.incremental_update(new, old, 1.0 - decay) if jnp.issubdtype(old.dtype, jnp.floating) else new

    return jax.tree.map(one, source, own)


def mean_of_copies(source: Tree) -> Tree:
    """The mean of each array over its leading axis, that of copies."""
    return jax.tree.map(lambda a: jnp.mean(a, axis=0) if jnp.issubdtype(a.dtype, jnp.floating) else a[0], source)


def broadcast_to_copies(own: Tree, source: Tree) -> Tree:
    """One network's values for every copy of `source`."""
    return jax.tree.map(lambda a, copies: jnp.broadcast_to(a, copies.shape), own, source)
