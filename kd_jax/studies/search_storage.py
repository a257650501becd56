"""The Optuna storage of a search: it is opened, compared with the search, and shared by workers with locks."""

import contextlib
import dataclasses
import fcntl
import json
import pathlib
import secrets
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.json_files import flat, json_value
from kd_jax.config.ordinary_files import open_to_change, read_text, refuse_links, write_text
from kd_jax.studies.search_space import Search, distribution, trial_name
from kd_jax.studies.stale_runs import forget_runs
from kd_jax.studies.study import Study, parse_study
from kd_jax.studies.workdir import Workdir

OWN = 'kd_jax'  # the attribute of the Optuna study that describes the search
# A trial is found by its number, so trials of two searches must not meet in one work directory.
ELSEWHERE = 'use another --workdir, and another --storage if you give one'


def join_search(
    search: Search,
    config: Mapping[str, Any],
    storage: str,
    workdir: Workdir,
    where: str,
    data: Mapping[str, str] = types.MappingProxyType({}),
) -> Any:
    """Opens the Optuna study in `storage`; creates it if it does not exist.

    One worker after another does so, because those that start together would each create the tables of the database.
    A search of another space in which no trial is complete begins again: nothing that it found is lost.

    Args:
      search: the search.
      config: the config of the study.
      storage: the URL of the database.
      workdir: the work directory.
      where: the config file, for messages.
      data: run name -> checksum of its data.
    Raises:
      UserError: the storage cannot be opened, its study has another search space, objective, direction, config, data
        or work directory, or the work directory has trials of another storage.
    """
    import optuna

    here = {**_identity(search, config, workdir, where), 'data': dict(data)}
    place = f'--storage={storage} holds a search named {config["name"]!r}'
    with locked_search(workdir, 'ask'):
        there, attributes, trials = _opened(search, config, storage)
        if OWN not in attributes and any((workdir.path / 'search').glob('.trial*.lock')):
            raise UserError(
                f'{workdir.path} holds the runs of a search that --storage={storage} does not know; give the storage '
                'of that search, or another --workdir.'
            )
        known = {**here, **attributes.get(OWN, {}), 'direction': there.direction.name.lower()}
        _check_same_search(known, here, place, workdir)
        space = _searched(attributes[OWN]['space'] if OWN in attributes else None, here['space'], trials)
        if differ := _differing(space, here['space']):
            if OWN not in attributes or not _forget_trials(parse_study(config, where), trials, workdir):
                there_and_here = (_shown(each.get(differ[0])) for each in (space, here['space']))
                raise UserError(
                    f'{place} with another search space: {", ".join(differ)} differ; {differ[0]} is '
                    f'{" there and ".join(there_and_here)} here; {ELSEWHERE}.'
                )
            optuna.delete_study(study_name=config['name'], storage=open_storage(storage))
            there = _opened(search, config, storage)[0]
        there.set_user_attr(OWN, here)
        return there


def _opened(search: Search, config: Mapping[str, Any], storage: str) -> tuple[Any, dict[str, Any], list[Any]]:
    """The Optuna study in the storage, which is created if it does not exist, its attributes and its trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = optuna.study.StudyDirection[search.direction.upper()]
    try:
        there = optuna.create_study(
            storage=open_storage(storage), study_name=config['name'], direction=direction, load_if_exists=True
        )
        return there, there.user_attrs, there.get_trials(deepcopy=False)
    except Exception as error:  # raised by SQLAlchemy or by any database driver
        raise UserError(f'--storage={storage} cannot be opened: {first_line(error)}.') from None


def _check_same_search(known: Mapping[str, Any], here: Mapping[str, Any], place: str, workdir: Workdir) -> None:
    """Refuses a search of a storage that differs in more than its search space."""
    for key in ('objective', 'direction'):
        if known[key] != here[key]:
            raise UserError(f'{place} with another {key}; {ELSEWHERE}.')
    for path in sorted(known['config'].keys() | here['config'].keys()):
        values = [d['config'].get(path, 'absent') for d in (known, here)]
        if values[0] != values[1]:
            leaf = path.replace('/', '.')
            raise UserError(
                f'{place} of another config: {leaf} is {values[0]!r} there and {values[1]!r} here; {ELSEWHERE}.'
            )
    replaced = [run for run, data in known['data'].items() if data != here['data'].get(run, data)]
    if replaced:
        raise UserError(
            f'{place} on other data: the source of {", ".join(sorted(replaced))} gives other arrays than when the '
            f'search began; {ELSEWHERE}.'
        )
    if known['workdir'] != here['workdir']:
        raise UserError(
            f'{place} whose work directory is not {workdir.path}; all workers of a search share one --workdir.'
        )


def _searched(stated: Mapping[str, str] | None, here: Mapping[str, str], trials: Sequence[Any]) -> dict[str, str]:
    """The search space of a storage: the one that it states, if any, and what else its trials have searched."""
    from optuna.distributions import distribution_to_json

    tried = {(path, distribution_to_json(d)) for trial in trials for path, d in trial.distributions.items()}
    if stated is None:
        stated = dict(tried) if trials else here
    return {**stated, **dict(tried - set(here.items()))}


def _differing(known: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The paths that two search spaces do not search in the same range."""
    ranges = [{path: json.loads(text) for path, text in space.items()} for space in (known, here)]
    return sorted(path for path in known.keys() | here.keys() if ranges[0].get(path) != ranges[1].get(path))


def _forget_trials(study: Study, trials: Sequence[Any], workdir: Workdir) -> bool:
    """Removes the runs of all trials, unless a trial is complete or a worker is at one; returns whether it did so."""
    from optuna.trial import TrialState

    with contextlib.ExitStack() as held:
        if any(trial.state == TrialState.COMPLETE for trial in trials) or not all(
            take_trial(held, workdir, trial.number) for trial in trials if trial.state == TrialState.RUNNING
        ):
            return False
        runs = tuple(
            dataclasses.replace(run, name=trial_name(run.name, trial.number), needs=())
            for trial in trials
            for run in study.runs
        )
        forget_runs(dataclasses.replace(study, runs=runs), workdir, [run.id for run in runs])
        for path in (workdir.path / 'search').glob('.trial*.lock'):
            path.unlink()
    return True


def sqlite_url(path: pathlib.Path) -> str:
    """The URL of an SQLite file.

    Raises:
      UserError: the path has characters that mean something else in a URL, and this SQLAlchemy cannot quote them.
    """
    from sqlalchemy.engine import URL, make_url

    url = URL.create('sqlite', database=str(path)).render_as_string()
    if make_url(url).database != str(path):
        raise UserError(f"{path} cannot be the file of an Optuna storage; choose a path without '?' and '%'.")
    return url


def open_storage(url: str) -> Any:
    """Optuna's database at `url`. Each query opens a connection and closes it: none stays open while a trial trains."""
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    return RDBStorage(url, engine_kwargs={'poolclass': NullPool})


def _identity(search: Search, config: Mapping[str, Any], workdir: Workdir, where: str) -> dict[str, Any]:
    from optuna.distributions import distribution_to_json

    path = workdir.path / 'search' / 'id'
    with locked_search(workdir, 'ask'):
        if not path.exists():
            write_text(path, secrets.token_hex(8))
    space = {p: distribution_to_json(distribution(p, values, where)) for p, values in search.space.items()}
    runs = {name: {k: v for k, v in run.items() if k != 'resources'} for name, run in config['runs'].items()}
    leaves = flat(json.loads(json.dumps(json_value({'runs': runs, 'seeds': config.get('seeds', 1)}))))
    return {
        'space': space,
        'objective': search.objective,
        'direction': search.direction,
        'config': leaves,
        'workdir': read_text(path, 2**10),
    }


def _shown(text: str | None) -> str:
    if text is None:
        return 'absent'
    shown = {key: value for key, value in json.loads(text)['attributes'].items() if key != 'step'}
    return ', '.join(f'{key}={value}' for key, value in shown.items())


def take_trial(held: contextlib.ExitStack, workdir: Workdir, number: int) -> bool:
    """Takes a trial for this process until `held` is closed; returns false if another process has it."""
    try:
        held.enter_context(locked_search(workdir, f'trial{number:03d}', fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked_search(workdir: Workdir, name: str, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Holds a lock of the search, which all its workers share."""
    directory = workdir.path / 'search'
    refuse_links(workdir.path / 'search')
    directory.mkdir(exist_ok=True)
    with open_to_change(directory / f'.{name}.lock') as file:
        fcntl.flock(file, how)
        yield
