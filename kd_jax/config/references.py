"""Parses references in a config: 'run:NAME/NETWORK', 'result:RUN.PATH', 'torch:FILE' and files of other kinds, or the
directory of a run.

'run:NAME@best/NETWORK' and 'DIRECTORY@best' mean the checkpoint of the run's best evaluation on validation. Without
'@best' they mean its last checkpoint.
"""

import difflib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.ordinary_files import user_path

RUN, RESULT = 'run:', 'result:'
TORCH, GGUF, HUGGINGFACE = 'torch:', 'gguf:', 'huggingface:'
FILES = (TORCH, GGUF, HUGGINGFACE)
VOCABULARY, JSON = 'vocab:', 'json:'
TOKENIZERS = (VOCABULARY, GGUF, JSON)  # files of `data.tokenizer`
LAST, BEST = 'last', 'best'
DIRECTORIES = {LAST: 'checkpoints', BEST: 'best'}  # where a run's directory has these checkpoints


class RunReference(NamedTuple):
    """A network of another run of the study, 'run:NAME/NETWORK'. `network` may be '' if the run trains one network."""

    run: str
    network: str = ''
    checkpoint: str = LAST

    def __str__(self) -> str:
        at = '' if self.checkpoint == LAST else f'@{self.checkpoint}'
        return f'{RUN}{self.run}{at}{"/" if self.network else ""}{self.network}'


class ResultReference(NamedTuple):
    """A value in the result of another run with the same seed, 'result:RUN.PATH'. No `path` means the whole result."""

    run: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return '.'.join([f'{RESULT}{self.run}', *self.path])


class WeightsFile(NamedTuple):
    """Weights in files: 'torch:FILE' (PyTorch or safetensors), 'gguf:FILE', or 'huggingface:DIRECTORY'.

    `kind` is the part up to the colon, with it.
    """

    kind: str
    file: str


class RunDirectory(NamedTuple):
    """The directory of a run of this study or of another study."""

    directory: pathlib.Path
    checkpoint: str = LAST


def parse_init(init: str) -> RunReference | WeightsFile | RunDirectory:
    """Parses the `init` of a network, which must not be empty.

    Raises:
      UserError: there is no checkpoint of the name after '@', or `init` begins almost like a kind of file.
    """
    if init.startswith(RUN):
        return _parse_run(init)
    for kind in FILES:
        if init.startswith(kind):
            return WeightsFile(kind, str(user_path(init.removeprefix(kind))))
    begins, colon, _ = init.partition(':')
    near = difflib.get_close_matches(begins + colon, (RUN, *FILES), n=1) if colon else []
    if near and not user_path(init).exists():
        raise UserError(f'init is {init!r}, and there is no such directory. Did you mean {near[0]!r}?')
    directory, at, checkpoint = init.rpartition('@')
    known = at and checkpoint in (LAST, BEST)  # another '@' belongs to the path
    return RunDirectory(user_path(directory), checkpoint) if known else RunDirectory(user_path(init))


def parse_checkpoint(name: str) -> tuple[str, str]:
    """Parses 'NAME' or 'NAME@CHECKPOINT'; returns the name, and 'last' or 'best'.

    Raises:
      UserError: there is no such checkpoint.
    """
    name, _, checkpoint = name.partition('@')
    if checkpoint not in ('', LAST, BEST):
        raise UserError(
            f"'{name}@{checkpoint}': a run has no checkpoint {checkpoint!r}. {suggest(checkpoint, (LAST, BEST))}"
        )
    return name, checkpoint or LAST


def _parse_run(reference: str) -> RunReference:
    run, _, network = reference.removeprefix(RUN).partition('/')
    run, checkpoint = parse_checkpoint(run)
    return RunReference(run, network, checkpoint)


def parse_result(value: Any) -> ResultReference | None:
    """Parses a value of a config as 'result:RUN.PATH'; returns None if it is any other value."""
    if not (isinstance(value, str) and value.startswith(RESULT)):
        return None
    run, *path = value.removeprefix(RESULT).split('.')
    return ResultReference(run, tuple(path))


def parse_reference(value: Any) -> RunReference | ResultReference | None:
    """Parses a value of a config as a reference to another run; returns None if it is any other value."""
    return _parse_run(value) if isinstance(value, str) and value.startswith(RUN) else parse_result(value)


def leaves(tree: Any) -> Iterator[Any]:
    """Iterates over the leaves of a config, through dictionaries, lists and tuples."""
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    if isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


def children(tree: Any) -> Mapping[str, Any]:
    """What lies directly below a value of a config or a result, by key or by number in a list; empty for a leaf."""
    if isinstance(tree, list | tuple):
        return {str(index): value for index, value in enumerate(tree)}
    return tree if isinstance(tree, Mapping) else {}


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Applies `function` to every leaf of a config; lists stay lists and tuples stay tuples."""
    if isinstance(tree, Mapping):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map_leaves(function, value) for value in tree)
    return function(tree)


def runs_referred_to(config: Any) -> tuple[str, ...]:
    """The names of the runs that a config refers to, in the order in which they first appear."""
    found = (parse_reference(leaf) for leaf in leaves(config))
    return tuple(dict.fromkeys(reference.run for reference in found if reference is not None))


def with_runs_renamed(config: Any, names: Mapping[str, str]) -> Any:
    """Changes the references to renamed runs in a config; `names` maps old names to new names."""

    def renamed(leaf: Any) -> Any:
        reference = parse_reference(leaf)
        return leaf if reference is None else str(reference._replace(run=names.get(reference.run, reference.run)))

    return map_leaves(renamed, config)
