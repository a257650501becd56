"""Explains an error inside the user's own code, such as a loss or a model, by its line there."""

import contextlib
import pathlib
import site
import sysconfig
import traceback
from collections.abc import Iterator

from kd_jax.config.errors import UserError, first_line

PACKAGE = pathlib.Path(__file__).parents[1]
PYTHON = pathlib.Path(sysconfig.get_path('stdlib'))
INSTALLED = tuple(pathlib.Path(path) for path in {*site.getsitepackages(), sysconfig.get_path('purelib')})
LIBRARIES = ('flax', 'jax', 'jaxlib', 'ml_collections', 'numpy', 'optax', 'orbax', 'tensorflow_datasets')


def line_of_own_code(error: BaseException) -> str:
    """The innermost line of the user's own code that an error passed, 'losses.py, line 12'; '' if it passed none.

    Code outside of installed packages goes before code of installed packages that kd_jax does not use itself.
    """
    frames = [(pathlib.Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    frames = [(file, line) for file, line in frames if file.suffix == '.py' and _is_foreign(file)]
    own = [found for found in frames if not any(found[0].is_relative_to(place) for place in INSTALLED)] or frames
    if not own:
        return ''
    file, line = own[-1]
    shown = file.relative_to(pathlib.Path.cwd()) if file.is_relative_to(pathlib.Path.cwd()) else file
    return f'{shown}, line {line}'


def _is_foreign(file: pathlib.Path) -> bool:
    """Whether a file is neither of kd_jax nor of Python nor of the libraries that kd_jax uses."""
    if file.is_relative_to(PACKAGE):
        return False
    installed = next((file.relative_to(place) for place in INSTALLED if file.is_relative_to(place)), None)
    if installed is not None:
        return installed.parts[0] not in LIBRARIES
    return not file.is_relative_to(PYTHON)


def explained(error: BaseException) -> str:
    """An error in one line without a full stop; an error of the user's own code with its type and its line there."""
    line = '' if isinstance(error, UserError) else line_of_own_code(error)
    return f'{type(error).__name__}: {first_line(error)} ({line})' if line else first_line(error)


@contextlib.contextmanager
def explain_own_code(message: str) -> Iterator[None]:
    """Turns an error inside the user's own code into one sentence, which starts with `message`; others pass."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if not line_of_own_code(error):
            raise
        raise UserError(f'{message}: {explained(error)}.') from error
