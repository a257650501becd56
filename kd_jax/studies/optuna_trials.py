"""Trials of a hyperparameter search: Optuna proposes and stores them, and several workers may share them."""

import contextlib
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
from kd_jax.config.references import runs_referred_to
from kd_jax.studies.execute import execute_group
from kd_jax.studies.search_space import Search, distribution, with_trial
from kd_jax.studies.study import Progress, Run, Study, asked_configs, parse_study
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
    here = {**_identity(search, config, workdir, where), 'data': dict(data)}
    with _lock(workdir, 'ask'):
        return _joined(search, config, storage, workdir, here)


def _joined(search: Search, config: Mapping[str, Any], storage: str, workdir: Workdir, here: Mapping[str, Any]) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = optuna.study.StudyDirection[search.direction.upper()]
    try:
        there = optuna.create_study(
            storage=open_storage(storage), study_name=config['name'], direction=direction, load_if_exists=True
        )
        attributes, trials = there.user_attrs, there.get_trials(deepcopy=False)
    except Exception as error:  # raised by SQLAlchemy or by any database driver
        raise UserError(f'--storage={storage} cannot be opened: {first_line(error)}.') from None
    if OWN not in attributes and any((workdir.path / 'search').glob('.trial*.lock')):
        raise UserError(
            f'{workdir.path} holds the runs of a search that --storage={storage} does not know; give the storage of '
            'that search, or another --workdir.'
        )
    searched = {(p, optuna.distributions.distribution_to_json(d)) for t in trials for p, d in t.distributions.items()}
    known = attributes.get(OWN) or ({'space': dict(searched)} if trials else here)
    known = {**known, 'space': {**known['space'], **dict(searched - set(here['space'].items()))}}
    place = f'--storage={storage} holds a search named {config["name"]!r}'
    for path in sorted(known['space'].keys() | here['space'].keys()):
        ranges = [json.loads(d['space'].get(path, '"absent"')) for d in (known, here)]
        if ranges[0] != ranges[1]:
            differ = [p for p in known['space'] | here['space'] if known['space'].get(p) != here['space'].get(p)]
            raise UserError(
                f'{place} with another search space: {", ".join(sorted(differ))} differ; {path} is {_shown(ranges[0])} '
                f'there and {_shown(ranges[1])} here; {ELSEWHERE}.'
            )
    for key in ('objective', 'direction'):
        if known.get(key, here[key]) != here[key] or (key == 'direction' and there.direction != direction):
            raise UserError(f'{place} with another {key}; {ELSEWHERE}.')
    for path in sorted(known.get('config', here['config']).keys() | here['config'].keys()):
        values = [d.get('config', here['config']).get(path, 'absent') for d in (known, here)]
        if values[0] != values[1]:
            leaf = path.replace('/', '.')
            raise UserError(
                f'{place} of another config: {leaf} is {values[0]!r} there and {values[1]!r} here; {ELSEWHERE}.'
            )
    replaced = [run for run, data in known.get('data', {}).items() if data != here['data'].get(run, data)]
    if replaced:
        raise UserError(
            f'{place} on other data: the source of {", ".join(sorted(replaced))} gives other arrays than when the '
            f'search began; {ELSEWHERE}.'
        )
    if known.get('workdir', here['workdir']) != here['workdir']:
        raise UserError(
            f'{place} whose work directory is not {workdir.path}; all workers of a search share one --workdir.'
        )
    there.set_user_attr(OWN, here)
    return there


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
    with _lock(workdir, 'ask'):
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


def _shown(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    shown = {key: value for key, value in entry['attributes'].items() if key != 'step'}
    return ', '.join(f'{key}={value}' for key, value in shown.items())


@contextlib.contextmanager
def next_trial(optuna_study: Any, search: Search, trials: int, workdir: Workdir, where: str) -> Iterator[Any]:
    """Yields a trial that this process has locked: one whose worker was killed, or a new one; None after `trials`.

    The sampler's seed is the number of the trial, so a killed search proposes the same values when it is resumed.
    """
    import optuna

    with contextlib.ExitStack() as held:
        with _lock(workdir, 'ask'):
            there = optuna_study.get_trials(deepcopy=False)
            space = {path: distribution(path, values, where) for path, values in search.space.items()}
            for frozen in there:
                if frozen.state == optuna.trial.TrialState.RUNNING and _taken(held, workdir, frozen.number):
                    if frozen.distributions == space:
                        break
                    # Its worker was killed while Optuna proposed the values, or another search wrote it.
                    optuna_study.tell(frozen.number, state=optuna.trial.TrialState.FAIL)
            else:
                frozen = None
                if len(there) < trials:
                    optuna_study.sampler = optuna.samplers.TPESampler(seed=len(there))
                    frozen = optuna_study.ask(space)
                    _taken(held, workdir, frozen.number)
        yield frozen


def _taken(held: contextlib.ExitStack, workdir: Workdir, number: int) -> bool:
    try:
        held.enter_context(_lock(workdir, f'trial{number:03d}', fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _lock(workdir: Workdir, name: str, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    directory = workdir.path / 'search'
    refuse_links(workdir.path / 'search')
    directory.mkdir(exist_ok=True)
    with open_to_change(directory / f'.{name}.lock') as file:
        fcntl.flock(file, how)
        yield


def one_after_another(
    study: Study, groups: Sequence[tuple[Run, ...]], workdir: Workdir, progress: Progress, finished: Any
) -> None:
    """An executor that trains groups in order and raises the first error unchanged.

    The caller needs the type of the error: `Diverged` fails only the trial, any other error ends the search.
    """
    for group in groups:
        for run, outcome in zip(group, execute_group(study, group, workdir, progress), strict=True):
            if isinstance(outcome, UserError):
                raise outcome
            finished(run, outcome)


def objective_value(search: Search, judged: str, seeds: int, workdir: Workdir) -> float | None:
    """The mean of the objective over the seeds; None if a value is not finite."""
    path = search.objective.partition('.')[2]
    found = [workdir.resolve(f'result:{judged}.{path}', seed) for seed in range(seeds)]
    return None if None in found else sum(found) / len(found)


def tell_optuna(optuna_study: Any, number: int, found: float | None) -> None:
    """Ends a trial with the value `found`; the trial has failed if it is None."""
    import optuna

    failed = {'state': optuna.trial.TrialState.FAIL}
    optuna_study.tell(number, **({'values': found} if found is not None else failed))


def search_report(search: Search, optuna_study: Any) -> dict[str, Any]:
    """The report's section on the search: trials from best to worst, with the objective and its counterpart on test."""
    import optuna

    done = optuna_study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    done.sort(key=lambda t: t.value, reverse=search.direction == 'maximize')
    path = search.objective.partition('.')[2]
    rows = {}
    for t in done:
        label = ', '.join(f'{leaf.rpartition(".")[2]} {short_value(v)}' for leaf, v in t.params.items())
        rows[f'trial {t.number}'] = {'run': f'{search.run}_trial{t.number:03d}', 'label': f'{t.number}: {label}'}
    columns = {'chosen by': path}
    if 'valid' in path.split('.'):
        columns['test'] = '.'.join('test' if key == 'valid' else key for key in path.split('.'))
    failed = len(optuna_study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.FAIL]))
    text = f'Completed trials, best first: {len(done)}; failed: {failed}. The search does not use the test values.'
    return {'tables': {'search': {'title': 'Search', 'text': text, 'columns': columns, 'rows': rows}}}


def runs_of_trials(search: Search, optuna_study: Any, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config of each run that the completed trials need; for `study.json`."""
    import optuna

    asked: dict[str, Any] = {}
    for trial in optuna_study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
        with_it, judged = with_trial(config, search, trial.number, trial.params, where)
        configs = asked_configs(parse_study(with_it, where))
        names = [judged]
        for name in names:
            names += [needed for needed in runs_referred_to(configs[name]) if needed not in names]
        asked |= {name: configs[name] for name in reversed(names)}
    return asked


def short_value(value: Any) -> str:
    """A value as short text, for labels and messages."""
    return f'{value:.4g}' if isinstance(value, float) else str(value)
