"""Hyperparameter search: what is searched, and the runs of a trial.

A config file's `get_search(variant)` describes the search::

    dict(
        space={
            'runs.student.terms.soft.t': dict(low=1.0, high=20.0, log=True),
            'runs.student.batch_size': dict(choices=[64, 128]),
        },
        objective='result:student.last.valid.student.accuracy',
        direction='maximize',
    )

Trial 7 adds the run `student_trial007` to the study, and copies of all other runs that its values change. Runs that
stay the same, such as a teacher, are trained once. Optuna is optional: `kd_jax[search]`.
"""

import copy
import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any

from kd_jax.config import config_file
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.references import parse_result, with_runs_renamed
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.studies.study import parse_study

SEARCH_KEYS = ('direction', 'objective', 'space')


DIRECTIONS = ('maximize', 'minimize')


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched: paths of config leaves and their ranges; the value that is judged, and which way."""

    space: Mapping[str, Mapping[str, Any]]
    objective: str
    direction: str

    @property
    def run(self) -> str:
        """The run that is judged."""
        reference = parse_result(self.objective)
        return reference.run if reference else ''


def parse_search(described: Mapping[str, Any], config: Mapping[str, Any], where: str) -> Search:
    """The search that a config file describes.

    Raises:
      UserError: Optuna is missing; an unknown key, path or range; an objective that no searched value changes, or that
        is on the test split.
    """
    if importlib.util.find_spec('optuna') is None:
        raise UserError("a search needs Optuna, which is not installed: pip install 'kd_jax[search]'.")
    for key in described:
        if key not in SEARCH_KEYS:
            raise UserError(f'{where}: get_search has no {key!r}. {suggest(key, SEARCH_KEYS)}')
    for key in ('objective', 'space'):
        if not described.get(key):
            raise UserError(f'{where}: get_search needs the {key}.')
    search = Search(described['space'], described['objective'], described.get('direction', 'maximize'))
    if search.direction not in DIRECTIONS:
        raise UserError(f'{where}: there is no direction {search.direction!r}. {suggest(search.direction, DIRECTIONS)}')
    if search.run not in config.get('runs', {}):
        raise UserError(f"{where}: the objective {search.objective!r} is not 'result:RUN.PATH' of a run of this study.")
    if 'test' in search.objective.split('.')[1:]:
        raise UserError(f'{where}: the objective {search.objective!r} is on test: test reports, validation chooses.')
    for path, values in search.space.items():
        if path.split('.')[0] != 'runs' or len(path.split('.')) < 3:
            raise UserError(f"{where}: {path!r} is searched, but only 'runs.RUN.LEAF' can be.")
        distribution(path, values, where)
    with_trial(config, search, 0, first_values(search), where)
    return search


def distribution(path: str, values: Mapping[str, Any], where: str) -> Any:
    """Optuna's distribution for `dict(low=, high=, log=False)`, of floats or of ints, or for `dict(choices=[...])`.

    Raises:
      UserError: anything else.
    """
    from optuna import distributions

    try:
        if set(values) == {'choices'}:
            return distributions.CategoricalDistribution(list(values['choices']))
        if set(values) in ({'low', 'high'}, {'low', 'high', 'log'}):
            whole = isinstance(values['low'], int) and isinstance(values['high'], int)
            kind = distributions.IntDistribution if whole else distributions.FloatDistribution
            return kind(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f'{where}: {path} cannot be searched in {dict(values)}: {error}.') from None
    raise UserError(f'{where}: {path} is searched in {values!r}; write dict(low=, high=, log=) or dict(choices=[...]).')


def first_values(search: Search) -> dict[str, Any]:
    """A value of each range, to check a trial with before there is any."""
    return {
        path: values['choices'][0] if 'choices' in values else values['low'] for path, values in search.space.items()
    }


def check_objective(search: Search, prepared: PreparedRun) -> None:
    """That the judged run, as `job` has it, measures the objective.

    Raises:
      UserError: it has no such split, or does not evaluate such a network.
    """
    kind, *place = search.objective.split('.')[1:]
    if kind not in ('last', 'best') or len(place) < 2:
        return
    if place[0] not in prepared.splits.arrays:
        mend = 'set data.valid to how many examples are held out' if place[0] == 'valid' else 'choose another'
        raise UserError(
            f"{prepared.where} has no split '{place[0]}', of which the objective {search.objective!r} is: {mend}."
        )
    if place[1] not in prepared.evaluator.measured:
        hint = suggest(place[1], prepared.evaluator.measured)
        raise UserError(f"{prepared.where} does not measure '{place[1]}', of which the objective is. {hint}")


def with_trial(
    config: Mapping[str, Any], search: Search, number: int, values: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], str]:
    """The study with a trial's runs, and the name of the one that is judged.

    Raises:
      UserError: a path that leads nowhere, or an objective that no value changes.
    """
    planned = parse_study(config, where)
    needs = {run.name: run.needs for run in planned.runs}
    changed: list[str] = [path.split('.')[1] for path in values]
    for name in changed:
        if name not in needs:
            raise UserError(f"{where}: there is no run '{name}' to search in. {suggest(name, needs)}")
    for name in needs:  # in order of dependency
        changed += [name] if set(needs[name]) & set(changed) else []
    judged = {search.run}
    for name in reversed(needs):
        judged |= set(needs[name]) if name in judged else set()
    names = {name: f'{name}_trial{number:03d}' for name in needs if name in changed and name in judged}
    unread = [path for path in values if path.split('.')[1] not in names]
    if unread or search.run not in names:
        raise UserError(f'{where}: {unread[0] if unread else "nothing"} that is searched changes {search.objective!r}.')
    trial = {'runs': copy.deepcopy({name: config['runs'][name] for name in names})}
    for path, value in values.items():
        config_file.set_leaf(trial, path, value)
    renamed = {names[name]: with_runs_renamed(run, names) for name, run in trial['runs'].items()}
    return {**config, 'runs': {**config['runs'], **renamed}}, names[search.run]
