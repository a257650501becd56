"""Checks the section `analyses` of a run's config before training."""

from collections.abc import Collection, Mapping
from typing import Any

from kd_jax import analyses
from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import check_option
from kd_jax.config.import_by_name import find_by_name, parameters_of
from kd_jax.config.references import parse_result
from kd_jax.core.paths import Context, check_paths, parse_paths

OPTIONS = {
    'analysis': Described("name of the analysis, or your own function 'package.module:function'", REQUIRED, 'text'),
    'splits': Described('the splits that it reads', ('valid', 'test'), "list of 'train', 'valid', 'test'"),
}


def check_analysis(options: Mapping[str, Any], context: Context, splits: Collection[str], where: str) -> None:
    """Checks one analysis.

    Args:
      options: the name of the analysis, its paths and options, and `splits`, the splits that it reads.
      context: shapes of everything that a path can read.
      splits: the splits of the run.
      where: the place in the config, for messages.
    Raises:
      UserError: the analysis, an option, a path or a split does not exist, or an option is missing or of another type.
    """
    function = find_by_name(options.get('analysis', ''), analyses, 'analysis', where)
    positional, keywords = parameters_of(function)
    for key in options:
        if key not in (*positional, *keywords, *OPTIONS):
            hint = suggest(key, [*positional, *keywords])
            raise UserError(f'{where}: {function.__name__} takes no {key!r}. {hint}')
    for key, parameter in keywords.items():
        if key not in options and parameter.default is parameter.empty:
            raise UserError(f'{where}: {function.__name__} needs {key}.')
        if key in options and not parse_result(options[key]):
            check_option(options[key], parameter.annotation, f'{where}.{key}')
    _check_splits(options, keywords['split'].default if 'split' in keywords else None, splits, where)
    for key in positional:
        if key not in options:
            raise UserError(f'{where}: {function.__name__} needs a path for {key}.')
        read = parse_paths(options[key], where)
        check_paths(read if isinstance(read, tuple) else (read,), context, where)


def _check_splits(options: Mapping[str, Any], default: Any, known: Collection[str], where: str) -> None:
    """Refuses splits that the run does not have; `default` is that of the option `split`, if the analysis has it."""
    named = options.get('splits', OPTIONS['splits'].default)
    if not isinstance(named, list | tuple) or not named or not all(isinstance(split, str) for split in named):
        raise UserError(f"{where}.splits is {named!r}, but it must be a list of splits, such as ['valid', 'test'].")
    asked = list(named) if 'splits' in options else []
    one = options.get('split', default)
    for split in [*asked, *([one] if one is not None else [])]:
        if split not in known:
            mend = ' Or set data.valid.' if split == 'valid' else ''
            raise UserError(
                f'{where} reads split {split!r}, which the run does not have. {suggest(split, known)}{mend}'
            )
    if one is not None and one not in named:
        raise UserError(f'{where}: split is {one!r}, which is none of the splits that it reads, {", ".join(named)}.')
