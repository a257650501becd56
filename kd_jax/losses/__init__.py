"""Losses: pure functions from activations to nats per example. A function's name here is its name in a config.

Positional parameters are paths in a config, keyword-only ones are hyperparameters.
"""

from kd_jax.losses.logits import cross_entropy, kd, mse

__all__ = ['cross_entropy', 'kd', 'mse']
