"""kd_jax: knowledge distillation in JAX and Flax. A method is a config; one training step runs them all."""
