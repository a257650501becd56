"""The grammar of references in a config: 'run:NAME/NETWORK', 'result:RUN.PATH', 'torch:FILE', or a run's directory."""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

RUN, RESULT, TORCH = 'run:', 'result:', 'torch:'


class RunReference(NamedTuple):
    """A network of another run of the study, 'run:NAME/NETWORK'. `network` is '' for the run's only trained network."""

    run: str
    network: str = ''

    def __str__(self) -> str:
        return f'{RUN}{self.run}{"/" if self.network else ""}{self.network}'


class ResultReference(NamedTuple):
    """A value in the result of another run at the same seed, 'result:RUN.PATH'; an empty `path` is the whole result."""

    run: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return '.'.join([f'{RESULT}{self.run}', *self.path])


class TorchFile(NamedTuple):
    """A PyTorch or safetensors file, 'torch:FILE'."""

    file: str


class RunDirectory(NamedTuple):
    """The directory of a run, of this study or of another."""

    directory: pathlib.Path


def parse_init(init: str) -> RunReference | TorchFile | RunDirectory:
    """What a network's `init` names; it must not be empty."""
    if init.startswith(RUN):
        run, _, network = init.removeprefix(RUN).partition('/')
        return RunReference(run, network)
    if init.startswith(TORCH):
        return TorchFile(init.removeprefix(TORCH))
    return RunDirectory(pathlib.Path(init))


def parse_result(value: Any) -> ResultReference | None:
    """The reference that a config's value is, or None if it is any other value."""
    if not (isinstance(value, str) and value.startswith(RESULT)):
        return None
    run, *path = value.removeprefix(RESULT).split('.')
    return ResultReference(run, tuple(path))


def parse_reference(value: Any) -> RunReference | ResultReference | None:
    """The reference to another run that a config's value is, or None if it is any other value."""
    if isinstance(value, str) and value.startswith(RUN):
        run, _, network = value.removeprefix(RUN).partition('/')
        return RunReference(run, network)
    return parse_result(value)


def leaves(tree: Any) -> Iterator[Any]:
    """Every leaf of a config, of dictionaries, lists and tuples."""
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    if isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The config with `function` applied to every leaf; lists and tuples keep their type."""
    if isinstance(tree, Mapping):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map_leaves(function, value) for value in tree)
    return function(tree)


def runs_referred_to(config: Any) -> tuple[str, ...]:
    """The names of the runs that a run's config refers to, in the order of their first mention."""
    found = (parse_reference(leaf) for leaf in leaves(config))
    return tuple(dict.fromkeys(reference.run for reference in found if reference is not None))


def with_runs_renamed(config: Any, names: Mapping[str, str]) -> Any:
    """The config with every reference to a run in `names` changed to its new name."""

    def renamed(leaf: Any) -> Any:
        reference = parse_reference(leaf)
        return leaf if reference is None else str(reference._replace(run=names.get(reference.run, reference.run)))

    return map_leaves(renamed, config)
