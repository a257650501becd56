"""Checks the section `samples` of a run's config: texts that a decoder of the run writes after the last step."""

from collections.abc import Mapping
from typing import Any

from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.core.paths import Context
from kd_jax.core.recipe import Recipe
from kd_jax.data.chat_templates import TEMPLATES
from kd_jax.data.model_tokenizer import model_tokenizer
from kd_jax.data.prompts import prompt_tokens
from kd_jax.data.splits import Splits
from kd_jax.language.decoder import Decoder

SAMPLES = {
    'network': Described('a decoder of the run', REQUIRED, 'text'),
    'prompts': Described('the texts that it continues, taking the most probable token each time', REQUIRED, 'list'),
    'tokens': Described('the most tokens that it writes after each', 48, 'whole number, 1 or more'),
    'chat': Described("the chat template in which a prompt is a user's message; '' for the prompt alone", '', 'text'),
}


def check_samples(config: Mapping[str, Any], recipe: Recipe, context: Context, splits: Splits, where: str) -> None:
    """Checks the section `samples`, if there is one.

    Args:
      config: the config of the run.
      recipe: its recipe.
      context: shapes of everything that a path can read.
      splits: its data.
      where: the place in the config, for messages.
    Raises:
      UserError: an option is unknown or wrong, the network is no decoder, the data is no text, or the tokenizer lacks
        the special tokens of the chat template.
    """
    if 'samples' not in config:
        return
    place, options = f'{where}, samples', config['samples']
    if not isinstance(options, Mapping):
        raise UserError(f"{place} is {options!r}, but it must be a dictionary, such as dict(network='student', ...).")
    for key in options:
        if key not in SAMPLES:
            raise UserError(f'{place}: there is no option {key!r}. {suggest(key, SAMPLES)}')
    for key in ('network', 'prompts'):
        if key not in options:
            raise UserError(f'{place} needs {key}.')
    _check_prompts(options, place)
    decoders = {n.name: n for n in recipe.networks if isinstance(n.module, Decoder) and not n.copies}
    if not isinstance(options['network'], str) or options['network'] not in decoders:
        raise UserError(
            f'{place}: {options["network"]!r} is no decoder of this run. {suggest(str(options["network"]), decoders)}'
        )
    network = decoders[options['network']]
    window = network.module.window
    if splits.vocabulary is None:
        raise UserError(f'{place}: the data of the run is no text, so its tokenizer is not known; leave samples out.')
    tokenizer, chat = model_tokenizer(config['data'], network.inputs), options.get('chat', '')
    if chat and (not isinstance(chat, str) or chat not in TEMPLATES):
        raise UserError(f'{place}: there is no chat template {chat!r}. {suggest(str(chat), TEMPLATES)}')
    if chat:
        tokenizer.id_of(TEMPLATES[chat].end, f'{place}.chat={chat!r}')
    prompts = [prompt_tokens(text, chat or None, tokenizer, f'{place}.prompts') for text in options['prompts']]
    longest = max(map(len, prompts))
    longest = max(longest, context['batch']['tokens'].shape[1])
    if longest + options.get('tokens', SAMPLES['tokens'].default) > window:
        raise UserError(
            f'{place}: {longest} tokens of a prompt or of a row, and the new ones, exceed the window of the model, '
            f'{window}; write fewer tokens.'
        )


def _check_prompts(options: Mapping[str, Any], place: str) -> None:
    prompts, tokens = options['prompts'], options.get('tokens', 1)
    if not (isinstance(prompts, list | tuple) and prompts and all(isinstance(p, str) and p.strip() for p in prompts)):
        raise UserError(f'{place}.prompts is {prompts!r}, but it must be a list of texts that are not empty.')
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        raise UserError(f'{place}.tokens is {tokens!r}, but it must be a whole number, 1 or more.')
