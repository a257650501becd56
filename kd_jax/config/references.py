"""Parses references in a config: 'run:NAME/NETWORK', 'result:RUN.PATH', 'torch:FILE', or the directory of a run."""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

RUN, RESULT, TORCH = 'run:', 'result:', 'torch:'


class RunReference(NamedTuple):
    """A network of another run of the study, 'run:NAME/NETWORK'. `network` may be '' if the run trains one network."""

    run: str
    network: str = ''

    def __str__(self) -> str:
        return f'{RUN}{self.run}{"/" if self.network else ""}{self.network}'


class ResultReference(NamedTuple):
    """A value in the result of another run with the same seed, 'result:RUN.PATH'. No `path` means the whole result."""

    run: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return '.'.join([f'{RESULT}{self.run}', *self.path])


class TorchFile(NamedTuple):
    """A PyTorch or safetensors file, 'torch:FILE'."""

    file: str


class RunDirectory(NamedTuple):
    """The directory of a run of this study or of another study."""

    directory: pathlib.Path


def parse_init(init: str) -> RunReference | TorchFile | RunDirectory:
    """Parses the `init` of a network, which must not be empty."""
    if init.startswith(RUN):
        run, _, network = init.removeprefix(RUN).partition('/')
        return RunReference(run, network)
    if init.startswith(TORCH):
        return TorchFile(init.removeprefix(TORCH))
    return RunDirectory(pathlib.Path(init))


def parse_result(value: Any) -> ResultReference | None:
    """Parses a value of a config as 'result:RUN.PATH'; returns None if it is any other value."""
    if not (isinstance(value, str) and value.startswith(RESULT)):
        return None
    run, *path = value.removeprefix(RESULT).split('.')
    return ResultReference(run, tuple(path))


def parse_reference(value: Any) -> RunReference | ResultReference | None:
    """Parses a value of a config as a reference to another run; returns None if it is any other value."""
    if isinstance(value, str) and value.startswith(RUN):
        run, _, network = value.removeprefix(RUN).partition('/')
        return RunReference(run, network)
    return parse_result(value)


def leaves(tree: Any) -> Iterator[Any]:
    """Iterates over the leaves of a config, through dictionaries, lists and tuples."""
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    if isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


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
