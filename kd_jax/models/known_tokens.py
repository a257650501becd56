"""Logits of the tokens that a tokenizer knows, without those that only fill a vocabulary up."""

import flax.linen as nn
import jax

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count


class KnownTokens(nn.Module):
    """The logits of the first `size` tokens; their softmax is the distribution given that the token is one of them.

    Models with one tokenizer may have vocabularies of unlike sizes, because they are filled up to numbers that divide
    evenly: 151,936 and 152,064 tokens of Qwen2.5, of which its tokenizer knows 151,665. Cut both to what they share.

    In a config: `dict(model='known_tokens', input='teacher.logits', update='frozen', size=151_665)`.

    Attributes:
      size: number of tokens of the tokenizer.
    """

    size: Count

    @nn.compact
    def __call__(self, logits: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: logits: [..., vocabulary].

        Returns:
          logits: [..., size].
        Raises:
          UserError: the vocabulary is smaller.
        """
        if self.size > logits.shape[-1]:
            raise UserError(f'size is {self.size}, but there are {logits.shape[-1]} tokens')
        return {'logits': logits[..., : self.size]}
