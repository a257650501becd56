"""The work directory of a study: its layout, and locks that keep other processes out."""

import contextlib
import fcntl
import functools
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

from kd_jax.config.disk_errors import FULL, OPEN_FILES, disk_errors
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.ordinary_files import check_directory, check_ordinary_below, inside, open_to_change
from kd_jax.config.references import children, map_leaves, parse_result
from kd_jax.devices.processes import is_primary, on_primary
from kd_jax.report.result_files import check_same_study, read_result

OWN = ('.lock', '.seen', 'caches', 'figures', 'report.html', 'report.md', 'results', 'runs', 'search', 'search.db',
       'search.db-journal', 'search.db-wal', 'study.json')  # fmt: skip
LONGEST = 4096 if sys.platform == 'linux' else 1024  # bytes of a path
BELOW = 300  # bytes that the longest path in the directory of a run adds, that of a checkpoint that is being written


class Workdir:
    """The work directory of a study.

    It holds `runs/<run>-s<seed>/` (checkpoints, logs), `results/<run>-s<seed>.json`, `study.json`, and `caches/`
    (recorded outputs of frozen networks).
    """

    def __init__(self, path: pathlib.Path):
        self.path = path

    def directory(self, run_id: str) -> pathlib.Path:
        return inside(self.path / 'runs', run_id)

    @property
    def caches(self) -> pathlib.Path:
        """Where runs share the recorded outputs of the same frozen networks."""
        return self.path / 'caches'

    def result_path(self, run_id: str) -> pathlib.Path:
        return inside(self.path / 'results', f'{run_id}.json')

    def has_checkpoints(self, run_id: str) -> bool:
        """Whether a run has a checkpoint from which it can continue."""
        return any(path.name.isdecimal() for path in (self.directory(run_id) / 'checkpoints').glob('*'))

    def result(self, run_id: str) -> dict[str, Any] | None:
        """The result of a run; None if the run is not finished.

        Raises:
          UserError: the file is damaged.
        """
        path = self.result_path(run_id)
        return read_result(path) if path.exists() else None

    def remove_result(self, run_id: str) -> None:
        """Removes the result of a run, and before it the pages of the report, which may show it."""
        for path in (self.path / 'report.html', self.path / 'report.md', self.result_path(run_id)):
            path.unlink(missing_ok=True)

    def check_same_study(self, name: str, search: bool = False) -> None:
        """Checks, before anything is written, that the directory is new or holds this study or search.

        Raises:
          UserError: it holds another study, a search instead of a study or the reverse, or a damaged result.
        """
        searched = (self.path / 'search').is_dir()
        if searched != search and (searched or (self.path / 'study.json').exists()):
            there, here = ('a search', 'a study') if searched else ('a study', 'a search')
            raise UserError(f'{self.path} holds {there}, and this is {here}: choose another --workdir.')
        check_same_study(self.path, name)

    def resolve(self, tree: Any, seed: int, where: str) -> Any:
        """Replaces each leaf 'result:RUN.PATH' by that value from the run's result at the same seed.

        Raises:
          UserError: the result has no such value; `where` begins the message.
        """
        return map_leaves(functools.partial(self._resolved, seed, where), tree)

    def _resolved(self, seed: int, where: str, leaf: Any) -> Any:
        reference = parse_result(leaf)
        if reference is None:
            return leaf
        value: Any = self.result(f'{reference.run}-s{seed}')
        for key in reference.path:
            known = children(value)
            if key not in known:
                raise UserError(
                    f"{where}: '{reference}': the result of run '{reference.run}' has no {key!r}. {suggest(key, known)}"
                )
            value = known[key]
        return value

    def check_paths(self, run_ids: Iterable[str]) -> None:
        """Refuses a path that is no directory, or in which the files of these runs would have impossible paths.

        Raises:
          UserError: there is a file; a path is too long, or has characters that file names cannot have here.
        """
        check_directory(self.path, '--workdir')
        try:
            length = max(len(os.fsencode(self.directory(run_id).absolute())) for run_id in run_ids)
        except UnicodeEncodeError as error:
            raise UserError(
                f'{error.object!r} cannot be a path, because file names have the encoding {error.encoding} here; set '
                'PYTHONUTF8=1, or choose other names.'
            ) from None
        except FileNotFoundError:
            raise UserError('the current directory no longer exists: go to one that does.') from None
        if length + BELOW > LONGEST:
            raise UserError(
                f'the directories of runs would have paths of {length:,} bytes, but with what lies in them at most '
                f'{LONGEST - BELOW:,} are possible; choose a shorter --workdir.'
            )

    @contextlib.contextmanager
    def locked(self, shared: bool = False) -> Iterator[None]:
        """Locks the work directory; processes that all pass `shared` may use it together.

        If several processes run one program, the primary process holds the lock for all.

        Raises:
          UserError: another process holds the lock, the directory cannot be written, or it holds links or files that
            are not ordinary ones.
        """
        lock = on_primary(functools.partial(self._lock, shared))
        with lock or contextlib.nullcontext():
            yield

    def _lock(self, shared: bool) -> IO[bytes]:
        check_directory(self.path, '--workdir')
        try:
            for name in OWN:
                check_ordinary_below(self.path / name)
            (self.path / 'results').mkdir(parents=True, exist_ok=True)
            lock = open_to_change(self.path / '.lock')
        except OSError as error:
            if error.errno in (*FULL, *OPEN_FILES):  # another directory would not help
                with disk_errors(self.path):
                    raise
            raise UserError(
                f'the work directory {self.path} cannot be written ({error.strerror}); choose another --workdir.'
            ) from error
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise UserError(
                f'another process is using {self.path}: wait until it ends, or choose another --workdir.'
            ) from None
        return lock

    @contextlib.contextmanager
    def alone(self, run_id: str) -> Iterator[None]:
        """Waits until no other process trains this run, because a replaced worker may still be running."""
        self.directory(run_id).mkdir(parents=True, exist_ok=True)
        with open_to_change(self.directory(run_id) / '.lock') as lock:
            if is_primary():
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
