"""Parses the command line of programs that take a config file: their options, and overrides of config leaves."""

import argparse
import contextlib
import difflib
import math
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from kd_jax.config.errors import UserError
from kd_jax.config.ordinary_files import check_directory, user_path
from kd_jax.config.references import BEST, LAST


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one sentence, as a `UserError`."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse, but a mistyped option is reported before the required option that it leaves out."""
        known = self._option_string_actions
        for text in sys.argv[1:] if args is None else args:
            name, _, _ = text.partition('=')
            if text == '--':
                break
            if name.startswith('--') and not name.startswith('--config.') and name not in known and self._near(text):
                self.unknown(text)
        return super().parse_known_args(args, namespace)

    def unknown(self, text: str) -> NoReturn:
        """Reports an argument that is unknown, with the option that it may mean."""
        near = self._near(text)
        self.error(f'unknown argument {text}' + (f' (did you mean {near[0]}?)' if near else ''))

    def _near(self, text: str) -> list[str]:
        return difflib.get_close_matches(text.partition('=')[0], self._option_string_actions, n=1, cutoff=0.5)

    def error(self, message: str) -> NoReturn:
        raise UserError(f'{message[:1].lower()}{message[1:]}; see --help.')


def path(text: str) -> pathlib.Path:
    """The type of an option that is a path; argparse shows the message of its own exception alone."""
    try:
        return user_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def price(text: str) -> float:
    """The type of a price; argparse shows the message of its own exception alone."""
    with contextlib.suppress(ValueError):
        if 0 <= (dollars := float(text)) < math.inf:
            return dollars
    raise argparse.ArgumentTypeError(f'{text!r} is no price: write a number of dollars, 0 or more, such as 1.2')


def check_file(file: pathlib.Path | None, option: str) -> None:
    """Refuses, before the work, a path at which no file can be written; None means that there is none.

    Raises:
      UserError: it is a directory, or a directory above it is a file.
    """
    if file is None:
        return
    check_directory(file.parent, option)
    if file.is_dir():
        raise UserError(f'{option}={file} is a directory; name a file in it, such as {file / "out.json"}.')


def parser(name: str, doc: str | None) -> Parser:
    """A parser of `python -m name` with the option `--config`; `doc`, its docstring, becomes the help text."""
    raw = argparse.RawDescriptionHelpFormatter
    made = Parser(f'python -m {name}', description=doc, formatter_class=raw, allow_abbrev=False)
    made.add_argument('--config', required=True, help='config file, optionally with a variant: FILE.py:VARIANT')
    return made


def parser_for_a_finished_run(name: str, doc: str | None, network: str) -> Parser:
    """A parser of `python -m name` with the options that choose a network of a finished run.

    Args:
      name: name of the module.
      doc: its docstring, which becomes the help text.
      network: the help text of `--network`.
    """
    raw = argparse.RawDescriptionHelpFormatter
    made = Parser(f'python -m {name}', description=doc, formatter_class=raw, allow_abbrev=False)
    made.add_argument('--workdir', type=path, required=True, help='work directory of the study')
    made.add_argument('--run', required=True, help='a finished run and its seed, for example student-s0')
    made.add_argument('--network', default='', help=network)
    made.add_argument(
        '--checkpoint', choices=(LAST, BEST), default=LAST, help='best: that of the best evaluation on validation'
    )
    made.add_argument(
        '--allow', action='append', default=[], metavar='PACKAGE.MODULE:NAME',
        help="a name in the run's config that may be imported, such as a model of your own (see docs/trust.md)",
    )  # fmt: skip
    return made


def how_to_allow(file: pathlib.Path, names: Sequence[str]) -> str:
    """Says how a user allows the names in a file that would be imported."""
    flags = ' '.join(f'--allow={shlex.quote(name)}' for name in names)
    return f'If you trust {file}, run the same command with {flags}.'


def parse(parser: Parser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options, and the overrides: `--config.path.to.leaf=value` gives 'path.to.leaf=value'.

    Raises:
      UserError: an argument is unknown, or an option does not accept its value.
    """
    options, rest = parser.parse_known_args(argv)
    wrong = [text for text in rest if not text.startswith('--config.')]
    if wrong:
        parser.unknown(wrong[0])
    return options, [text.removeprefix('--config.') for text in rest]
