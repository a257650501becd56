"""The training step. Every distillation method is a recipe for this one function."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.core.accumulation import value_and_gradient
from kd_jax.core.follow import follow
from kd_jax.core.forward import network_numbers, open_context, run_networks
from kd_jax.core.network import Network
from kd_jax.core.optimizers import make_transformation
from kd_jax.core.recipe import Recipe, outside_gradient, recordable, trained_copies
from kd_jax.core.state import Metrics, State, Tree, all_variables, moving_variables
from kd_jax.core.term_values import loss_values, numbers_now, sum_and_count


def make_train_step(recipe: Recipe, total_steps: int, accumulate: int = 1) -> Callable[..., tuple[State, Metrics]]:
    """Makes the training step of a recipe: a pure function `step(state, hparams, frozen, batch) -> state, metrics`.

    Args:
      recipe: what to train and how.
      total_steps: length of the run; schedules are functions of the share of it that is done.
      accumulate: the number of parts into which each batch is cut (see `core.accumulation`). Every part has its own
        random key, so dropout differs from that of the whole batch.
    Returns:
      the step. `hparams` has the structure of `recipe.hparams`. `frozen` maps each frozen network to its variables.
      `batch` maps names to arrays [batch, ...] (see `arrays.batch_names`). `metrics` has (sum, count) for every term,
      for 'loss' and for 'grad_norm'; they can be added up over steps.
    """
    fixed = outside_gradient(recipe)
    moving = tuple(network for network in recipe.networks if network not in fixed)

    def train_step(state: State, hparams: Tree, frozen: Mapping[str, Tree], batch: Mapping[str, jax.Array]):
        progress = state.step / total_steps
        key = jax.random.fold_in(state.key, state.step)
        constant = all_variables(state, frozen, network_numbers(recipe, hparams, progress))
        live = tuple(n for n in fixed if RECORDED not in batch or n not in recordable(recipe))

        def loss_fn(trainable, batch, key, counts=None):
            seen, _ = run_networks(live, constant, open_context(batch, recipe), key, train=True)
            variables = {**constant, **moving_variables(trainable, state.collections)}
            context, updated = run_networks(moving, variables, seen, key, train=True)
            total, metrics = jnp.zeros(()), {}
            for term in recipe.terms:
                now = numbers_now(term, context, hparams['terms'][term.name], progress)
                summed, count = sum_and_count(term, recipe, context, loss_values(term, recipe, context, now))
                copies = max(1, trained_copies(term, recipe))
                metrics[term.name] = (summed, count * copies)
                count = counts[term.name] / copies if counts else count
                total += now['weight'] * summed / jnp.where(count > 0, count, 1.0)
            return total, (metrics, updated)

        trainable = {network.name: state.params[network.name] for network in recipe.trained}
        gradient = value_and_gradient(loss_fn, accumulate)
        (total, (metrics, updated)), grads = gradient(trainable, batch, key)
        params, opt_state = dict(state.params), dict(state.opt_state)
        collections = {**state.collections, **updated}
        for network in recipe.trained:
            name = network.name
            update = _update(network, hparams['optimizers'][name], progress)
            params[name], opt_state[name] = update(grads[name], state.opt_state[name], state.params[name])
        for network in recipe.following:
            assert network.follow is not None
            name, (of,), numbers = network.name, network.of, hparams['follow'][network.name]
            for trees in (params, collections):
                trees[name], trees[of] = follow(
                    network.follow, trees[of], trees[name], numbers, progress, state.step + 1
                )
        one = jnp.ones(())
        metrics |= {'loss': (total, one), 'grad_norm': (optax.tree.norm(grads), one)}
        return State(state.step + 1, params, collections, opt_state, state.key), metrics

    return train_step


def _update(network: Network, numbers: Mapping[str, Any], progress: jax.Array) -> Callable[..., tuple[Tree, Tree]]:
    assert network.optimizer is not None
    tx = make_transformation(network.optimizer, numbers, progress, network.layer_stacks)

    def update(grads, opt_state, params):
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return jax.vmap(update) if network.copies else update
