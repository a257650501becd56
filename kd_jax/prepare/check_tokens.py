"""Checks that networks which read tokens have the vocabulary of the data's tokenizer."""

from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.core.paths import Context
from kd_jax.core.recipe import Recipe
from kd_jax.data.splits import Splits

PADDING = 1024  # a model may have some more tokens than its tokenizer, so that their number divides evenly


def check_tokens(recipe: Recipe, context: Context, splits: Splits, where: str) -> None:
    """Refuses a tokenizer that is not that of a network; JAX would read other rows of the embedding, in silence.

    Args:
      recipe: the recipe.
      context: shapes of everything that a path can read.
      splits: the data; nothing is checked unless it is text.
      where: the place in the config, for messages.
    Raises:
      UserError: a network that reads 'batch.tokens' has fewer tokens than the tokenizer, or many more.
    """
    if (vocabulary := splits.vocabulary) is None:
        return
    for network in recipe.networks:
        size = _vocabulary_size(network, context)
        if size and not vocabulary.size <= size < vocabulary.size + PADDING:
            raise UserError(
                f"{where}, network '{network.name}': it knows {size:,} tokens, but data.tokenizer="
                f'{vocabulary.tokenizer!r} has {vocabulary.size:,}, so this is not its tokenizer; set data.tokenizer '
                f'to that of the model, or train a model with vocabulary={vocabulary.size}.'
            )


def _vocabulary_size(network: Network, context: Context) -> int:
    """The number of tokens that a network knows; 0 if that cannot be told, or if it reads none."""
    if 'batch.tokens' not in map(str, network.inputs):
        return 0
    if isinstance(declared := getattr(network.module, 'vocabulary', None), int):
        return declared
    logits, tokens = context[network.name].get('logits'), context['batch']['tokens']
    if logits is None or logits.ndim != tokens.ndim + 1 + (network.copies > 0):
        return 0  # logits of the row, not of its tokens
    return logits.shape[-1]
