"""Checks that networks which read tokens have the tokenizer of the data, and that padding counts nowhere as text."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kd_jax.config.checked_json import read_checked
from kd_jax.config.errors import UserError
from kd_jax.config.references import GGUF, HUGGINGFACE, JSON, VOCABULARY, RunDirectory, WeightsFile, parse_init
from kd_jax.core.check_recipe import values_at_the_start
from kd_jax.core.network import Network
from kd_jax.core.own_batches import parts_of_term
from kd_jax.core.paths import Context
from kd_jax.core.recipe import Recipe, trained_copies
from kd_jax.core.term import Term
from kd_jax.data.batches import fetch_batch
from kd_jax.data.gguf_files import read_gguf
from kd_jax.data.model_tokenizer import TEACHER_TOKENS, model_tokenizer
from kd_jax.data.source import ReadFromFiles, Vocabulary
from kd_jax.data.splits import Splits
from kd_jax.data.tokenizers import FIELDS, load_tokenizer
from kd_jax.language.encoder import Encoder

# A model may have some more tokens than its tokenizer, so that their number divides evenly: 128, or 2% of them.
PADDING, PADDING_SHARE = 128, 0.02
LOOKED_AT = 8  # rows of those that are read from files
MASKS = {  # arrays of a batch that leave tokens out
    'mask': 'for the labels that count', 'segment': 'for all tokens that are no padding',
    'places_mask': 'for the places at which two tokenizers are compared',
}  # fmt: skip
UNLIKE = 0.01  # share of the tokens that may differ; fine-tuned models give spare tokens a meaning


def check_tokens(recipe: Recipe, context: Context, splits: Splits, where: str) -> None:
    """Refuses what would go wrong in silence: another tokenizer than that of a network, and padding taken for text.

    Args:
      recipe: the recipe.
      context: shapes of everything that a path can read.
      splits: the data; nothing is checked unless it is text.
      where: the place in the config, for messages.
    Raises:
      UserError: a network that reads 'batch.tokens' has fewer tokens than the tokenizer, or many more; the file that it
        starts from has other tokens; an encoder, which sees all tokens, learns the next one, or reads padding; or a
        term without a mask counts tokens that should not count.
    """
    if (vocabulary := splits.vocabulary) is None:
        return
    if vocabulary.predicts == 'next':
        _check_answers_are_hidden(recipe, where)
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        _check(network, _vocabulary_size(network, context, 'tokens'), vocabulary, 'data.tokenizer', place)
        if vocabulary.teacher is not None:
            size = _vocabulary_size(network, context, 'teacher_tokens')
            _check(network, size, vocabulary.teacher, 'data.teacher_tokenizer', place)
        _check_padding(network, splits, place)
    for term in recipe.terms:
        if term.mask is None:
            _check_all_count(term, recipe, context, splits, f"{where}, term '{term.name}'")


def check_tokens_of_run(
    network: Network, vocabulary: Vocabulary, trained: Network, its: Vocabulary, where: str, origin: str
) -> None:
    """Refuses the tokenizer of a network whose weights another run has trained with other tokens.

    Args:
      network: the network; nothing is compared if its embedding is `fresh`.
      vocabulary: the tokens of its data.
      trained: the network that it starts from.
      its: the tokens of that network's data.
      where: the place in the config, for messages.
      origin: the other run, for messages.
    """
    option, now = _tokens_read(network, vocabulary)
    _, before = _tokens_read(trained, its)
    if now and before and now.tokenizer != before.tokenizer and 'embedding' not in network.fresh:
        _compare(_tokens_of(before.tokenizer), f'in {origin}', now, option, where)


def _tokens_read(network: Network, vocabulary: Vocabulary) -> tuple[str, Vocabulary | None]:
    """The option of the tokenizer whose tokens a network reads, and its vocabulary; None if it reads no tokens."""
    inputs = set(map(str, network.inputs))
    if TEACHER_TOKENS in inputs:
        return 'data.teacher_tokenizer', vocabulary.teacher
    return 'data.tokenizer', vocabulary if 'batch.tokens' in inputs else None


def _check_answers_are_hidden(recipe: Recipe, where: str) -> None:
    encoders = [network.name for network in recipe.networks if isinstance(network.module, Encoder)]
    for term in recipe.terms:
        paths = {str(path).removeprefix('~') for path in term.paths()}
        sees = [name for name in encoders if f'{name}.logits' in paths]
        if 'batch.label' in paths and sees:
            raise UserError(
                f"{where}, term '{term.name}': the label is the next token, which the encoder '{sees[0]}' sees in its "
                "input; set data.predicts='masked', or take a decoder."
            )


def _check_padding(network: Network, splits: Splits, place: str) -> None:
    """Refuses an encoder that cannot tell padding from text: its features would change with the length of the rows."""
    first, second = (*map(str, network.inputs), '', '')[:2]
    if not isinstance(network.module, Encoder) or first != 'batch.tokens' or second == 'batch.segment':
        return
    computed = second and network.inputs[1].source != 'batch'  # by a network of the user's own
    if not computed and any(_leaves_out(arrays, 'segment') for arrays in splits.arrays.values()):
        raise UserError(
            f"{place} reads 'batch.tokens' without 'batch.segment', so it would take the padding of rows for text; set "
            "input=['batch.tokens', 'batch.segment']."
        )


def _check_all_count(term: Term, recipe: Recipe, context: Context, splits: Splits, place: str) -> None:
    """Refuses a term without a mask if it has a value for each token, and some tokens of training should not count.

    Words that are not masked count if the term does not read the label: a teacher may say something of each word.
    """
    assert splits.vocabulary is not None
    parts, batch = parts_of_term(term, recipe), context['batch']
    if 'tokens' not in batch:
        return
    values = jax.eval_shape(functools.partial(values_at_the_start, term, recipe), context)
    rows, length = batch['tokens'].shape
    first = int(bool(parts or trained_copies(term, recipe)))
    if values.shape[first : first + 2] != (rows // max(1, parts), length):
        return
    paths = {str(path).removeprefix('~') for path in term.paths()}
    labelled = 'batch.label' in paths or splits.vocabulary.predicts == 'next'
    mask = 'mask' if labelled and 'mask' in batch else 'segment'
    if _leaves_out(splits.arrays['train'], mask):
        choices = [f"'batch.{name}' {words}" for name, words in MASKS.items() if name in batch]
        raise UserError(
            f"{place} has no mask, so it counts tokens that 'batch.{mask}' leaves out, such as padding; set its mask: "
            f'{", or ".join(choices)}.'
        )


def _leaves_out(arrays: Mapping[str, Any], name: str) -> bool:
    """Whether an array of tokens is 0 anywhere in a split; of rows that are read from files, some are looked at."""
    read = {key: array for key, array in arrays.items() if isinstance(array, ReadFromFiles) and name in array.gives}
    if read:
        some = np.linspace(0, len(arrays['id']) - 1, LOOKED_AT).astype(int)
        arrays = fetch_batch({**read, 'id': arrays['id']}, some)
    return name in arrays and not np.all(arrays[name])


def _check(network: Network, size: int, vocabulary: Vocabulary, option: str, place: str) -> None:
    padding = max(PADDING, int(PADDING_SHARE * vocabulary.size))
    if size and not vocabulary.size <= size <= vocabulary.size + padding:
        raise UserError(
            f'{place}: it knows {size:,} tokens, but {option}={vocabulary.tokenizer!r} has {vocabulary.size:,}, so '
            f'this is not its tokenizer; set {option} to that of the model, or train a model with '
            f'vocabulary={vocabulary.size}.'
        )
    if size and 'embedding' not in network.fresh:
        _check_texts(network, vocabulary, option, place)


def _check_texts(network: Network, vocabulary: Vocabulary, option: str, place: str) -> None:
    """Refuses a tokenizer of the right size whose tokens are others than those of the file or run of the weights."""
    origin = parse_init(network.init) if network.init else None
    if isinstance(origin, WeightsFile):
        _compare(_tokens_of_file(origin), 'in the file of its weights', vocabulary, option, place)
    elif isinstance(origin, RunDirectory):
        _compare(_tokens_of_run_in(origin.directory), f'in {origin.directory}', vocabulary, option, place)


def _compare(own: Sequence[str], origin: str, vocabulary: Vocabulary, option: str, place: str) -> None:
    """Refuses a tokenizer if more than a few of its tokens are others than those that a model has learned."""
    given = _tokens_of(vocabulary.tokenizer) if own else ()
    both = [number for number, texts in enumerate(zip(own, given, strict=False)) if all(texts)]
    unlike = [number for number in both if own[number] != given[number]]
    if len(unlike) > UNLIKE * len(both):
        one = unlike[0]
        raise UserError(
            f'{place}: token {one} is {own[one]!r} {origin} and {given[one]!r} in {option}='
            f'{vocabulary.tokenizer!r}, and {len(unlike):,} of {len(both):,} tokens differ, so this is not its '
            f'tokenizer; set {option} to that of the model.'
        )


def _tokens_of_run_in(directory: pathlib.Path) -> Sequence[str]:
    """The tokens that the trained networks of a run read, by its config; () if it does not say them, or is damaged."""
    try:
        config = read_checked(directory / 'config.json', dict[str, Any], '').content
        moving = [network for network in config['networks'].values() if network.get('update') != 'frozen']
        inputs = [[own] if isinstance(own := network['input'], str) else own for network in moving]
        reading = [own for own in inputs if 'batch.tokens' in own or TEACHER_TOKENS in own]
        found = [model_tokenizer(config['data'], own).tokens for own in reading]
        return found[0] if found and found.count(found[0]) == len(found) else ()
    except (UserError, LookupError, TypeError, AttributeError):
        return ()


def _tokens_of_file(reference: WeightsFile) -> Sequence[str]:
    """The tokens that the file says from which a network starts; () if it says none, or is damaged."""
    if reference.kind == GGUF:
        try:
            tokens = read_gguf(reference.file).fields.get(f'{FIELDS}tokens')
        except (OSError, ValueError):
            return ()
        return tokens if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens) else ()
    files = {JSON: 'tokenizer.json', VOCABULARY: 'vocab.txt'} if reference.kind == HUGGINGFACE else {}
    found = (_tokens_of(f'{begins}{pathlib.Path(reference.file, name)}') for begins, name in files.items())
    return next(filter(None, found), ())


def _tokens_of(tokenizer: str) -> Sequence[str]:
    """The tokens of a tokenizer; () if they are bytes, or if it cannot be loaded."""
    try:
        return load_tokenizer(tokenizer).tokens
    except UserError:
        return ()


def _vocabulary_size(network: Network, context: Context, name: str) -> int:
    """The number of tokens that a network knows; 0 if that cannot be told, or if it does not read these tokens."""
    if f'batch.{name}' not in map(str, network.inputs):
        return 0
    if isinstance(declared := getattr(network.module, 'vocabulary', None), int):
        return declared
    logits, tokens = context[network.name].get('logits'), context['batch'][name]
    if logits is None or logits.ndim != tokens.ndim + 1 + (network.copies > 0):
        return 0  # logits of the row, not of its tokens
    return logits.shape[-1]
