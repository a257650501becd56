"""The command line of programs that take a config file: their options, and overrides of any leaf of the config."""

import argparse
from collections.abc import Sequence


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with `--config`; `doc` is the program's docstring."""
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(description=doc, formatter_class=raw, allow_abbrev=False)
    made.add_argument('--config', required=True, help='a config file, with :variant if it has some')
    return made


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the overrides 'path.to.leaf=value' that were written as --config.path.to.leaf=value."""
    options, rest = parser.parse_known_args(argv)
    wrong = [text for text in rest if not text.startswith('--config.')]
    if wrong:
        parser.error(f'unknown argument {wrong[0]}; see --help')
    return options, [text.removeprefix('--config.') for text in rest]
