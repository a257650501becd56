"""Hyperparameter search: the search space, the objective, and the runs of a trial.

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
stay the same, such as a teacher, are trained once. Optuna is optional: the extra `search`.
"""

import copy
import dataclasses
import importlib.util
import json
from collections.abc import Mapping
from typing import Any

from kd_jax.config import config_file
from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.file_schemas import ResultFile
from kd_jax.config.json_files import json_value
from kd_jax.config.references import parse_result, with_runs_renamed
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.studies.study import parse_study

SEARCH_OPTIONS = {
    'space': Described(
        "path of a config leaf, such as 'runs.student.terms.soft.t' -> dict(low=, high=, log=False), of whole numbers "
        'or of others, or dict(choices=[...])',
        REQUIRED,
        'dictionary',
    ),
    'objective': Described(
        "the value that judges a trial, such as 'result:student.last.valid.student.accuracy'; none of the test split",
        REQUIRED,
        "'result:RUN.PATH'",
    ),
    'direction': Described('whether it is to be large or small', 'maximize', "'maximize', 'minimize'"),
}
DIRECTIONS = ('maximize', 'minimize')


@dataclasses.dataclass(frozen=True)
class Search:
    """A hyperparameter search.

    Attributes:
      space: path of a config leaf -> the range in which it is searched.
      objective: the value that judges a trial, 'result:RUN.PATH'.
      direction: 'maximize' or 'minimize'.
    """

    space: Mapping[str, Mapping[str, Any]]
    objective: str
    direction: str

    @property
    def run(self) -> str:
        """The name of the run that the objective judges; '' if the objective has another form."""
        reference = parse_result(self.objective)
        return reference.run if reference else ''


def parse_search(described: Mapping[str, Any], config: Mapping[str, Any], where: str) -> Search:
    """Parses and checks the search that a config file describes.

    Raises:
      UserError: Optuna is not installed; an unknown key, path or range; a searched value that does not change the
        objective; or an objective on the test split.
    """
    if importlib.util.find_spec('optuna') is None:
        raise UserError("a search needs Optuna, which is not installed: pip install '.[search]'.")
    for key in described:
        if key not in SEARCH_OPTIONS:
            raise UserError(f'{where}: get_search has no option {key!r}. {suggest(key, SEARCH_OPTIONS)}')
    for key in ('objective', 'space'):
        if not described.get(key):
            raise UserError(f'{where}: get_search must return the {key}.')
    search = Search(
        described['space'], described['objective'], described.get('direction', SEARCH_OPTIONS['direction'].default)
    )
    if search.direction not in DIRECTIONS:
        raise UserError(f'{where}: there is no direction {search.direction!r}. {suggest(search.direction, DIRECTIONS)}')
    judged = parse_result(search.objective)
    if judged is None or judged.run not in config.get('runs', {}) or not judged.path:
        raise UserError(
            f"{where}: the objective {search.objective!r} must be 'result:RUN.PATH' of a run of this study."
        )
    if judged.path[0] not in ResultFile.__annotations__:
        raise UserError(
            f'{where}: the objective {search.objective!r} does not exist, because a result has no {judged.path[0]!r}. '
            f'{suggest(judged.path[0], ResultFile.__annotations__)}'
        )
    if 'test' in judged.path:
        raise UserError(f'{where}: the objective {search.objective!r} is on the test split; use validation.')
    if not isinstance(search.space, Mapping):
        raise UserError(
            f'{where}: space is {search.space!r}, but it must be a dictionary of searched paths and their ranges.'
        )
    for path, values in search.space.items():
        if path.split('.')[0] != 'runs' or len(path.split('.')) < 3:
            raise UserError(f"{where}: {path!r} cannot be searched; a searched path has the form 'runs.RUN.LEAF'.")
        distribution(path, values, where)
    with_trial(config, search, 0, values_to_prepare(search)[0], where)
    return search


def distribution(path: str, values: Mapping[str, Any], where: str) -> Any:
    """Optuna's distribution for a range.

    Args:
      path: the searched path, for messages.
      values: `dict(low=, high=, log=False)`, of floats or ints, or `dict(choices=[...])`.
      where: the place in the config, for messages.
    Raises:
      UserError: any other range, or values that Optuna refuses.
    """
    from optuna import distributions

    keys = set(values) if isinstance(values, Mapping) else set()
    try:
        if keys == {'choices'} and isinstance(values['choices'], list | tuple):
            return distributions.CategoricalDistribution(list(map(_stored, values['choices'])))
        if keys in ({'low', 'high'}, {'low', 'high', 'log'}):
            whole = isinstance(values['low'], int) and isinstance(values['high'], int)
            kind = distributions.IntDistribution if whole else distributions.FloatDistribution
            return kind(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f'{where}: {path} cannot be searched in {dict(values)}: {str(error).rstrip(".")}.') from None
    raise UserError(f'{where}: {path} is searched in {values!r}; write dict(low=, high=, log=) or dict(choices=[...]).')


def _stored(choice: Any) -> Any:
    """A choice as Optuna stores it, which gives tuples back as lists and compares them: as itself, or as JSON text."""
    plain = choice is None or isinstance(choice, bool | int | float | str)
    return choice if plain else json.dumps(json_value(choice))


def values_of_trial(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trial as the config has them: searched path -> value.

    Args:
      search: the search.
      params: the values as Optuna stores them.
    """
    texts = {
        path: {_stored(choice): choice for choice in values.get('choices', ()) if _stored(choice) is not choice}
        for path, values in search.space.items()
    }
    return {path: texts[path].get(value, value) for path, value in params.items()}


def values_to_prepare(search: Search) -> list[dict[str, Any]]:
    """The values of a few trials that together have each choice, and both ends of each range.

    To prepare their runs is to find a value that cannot be trained before the first trial begins.
    """
    tried = {
        path: list(values['choices']) if 'choices' in values else [values['low'], values['high']]
        for path, values in search.space.items()
    }
    trials = max(map(len, tried.values()))
    return [{path: values[min(i, len(values) - 1)] for path, values in tried.items()} for i in range(trials)]


def check_objective(search: Search, prepared: PreparedRun) -> None:
    """Checks that the judged run measures the objective.

    Args:
      search: the search.
      prepared: the judged run.
    Raises:
      UserError: the objective names no metric, the run has no such split, evaluation or metric, the direction is not
        that of the metric, or the objective is a number of an analysis that may read the test split.
    """
    kind, *place = search.objective.split('.')[1:]
    if kind == 'analyses':
        analysis = place[0] if place else ''
        read = prepared.config.get('analyses', {}).get(analysis, {}).get('split')
        if not {'valid', 'train'} & {*place, read}:
            raise UserError(
                f'{prepared.where}: the objective {search.objective!r} may be on the test split; name a number of the '
                f"split 'valid', or set split='valid' in the analysis '{analysis}', if it has this option."
            )
    if kind not in ('last', 'best') or place in (['step'], ['epoch']):
        return
    if len(place) != 3:
        raise UserError(
            f'{prepared.where}: the objective {search.objective!r} must name a split, an evaluation and a metric, '
            f"'result:{search.run}.{kind}.SPLIT.EVALUATION.METRIC'."
        )
    if place[0] not in prepared.splits.arrays:
        mend = 'set data.valid to the number of held-out examples' if place[0] == 'valid' else 'choose another split'
        raise UserError(
            f"{prepared.where} has no split '{place[0]}', which the objective {search.objective!r} needs; {mend}."
        )
    if place[1] not in prepared.evaluator.measured:
        hint = suggest(place[1], prepared.evaluator.measured)
        raise UserError(f"{prepared.where} does not evaluate '{place[1]}', which the objective needs. {hint}")
    stated = prepared.evaluator.stated[place[1]]
    if place[2] not in stated:
        raise UserError(
            f"{prepared.where}, evaluate '{place[1]}' does not measure '{place[2]}', which the objective needs. "
            f'{suggest(place[2], stated)}'
        )
    better = {'higher': 'maximize', 'lower': 'minimize'}.get(stated[place[2]]['better'] or '')
    if better and search.direction != better:
        raise UserError(
            f"{prepared.where}: {stated[place[2]]['better']} '{place[2]}' is better, so the search must set "
            f"direction='{better}'."
        )


def trial_name(name: str, number: int) -> str:
    """The name of the copy of a run that a trial trains."""
    return f'{name}_trial{number:03d}'


def with_trial(
    config: Mapping[str, Any], search: Search, number: int, values: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], str]:
    """Adds the runs of a trial to the config of the study.

    Args:
      config: of the study.
      search: the search.
      number: the number of the trial.
      values: searched path -> the trial's value.
      where: the place in the config, for messages.
    Returns:
      the new config, and the name of the run that is judged.
    Raises:
      UserError: a path does not exist, or a searched value does not change the objective.
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
    names = {name: trial_name(name, number) for name in needs if name in changed and name in judged}
    unread = [path for path in values if path.split('.')[1] not in names]
    if unread or search.run not in names:
        raise UserError(
            f'{where}: the objective {search.objective!r} does not depend on '
            f'{unread[0] if unread else "any searched value"}.'
        )
    trial = {'runs': copy.deepcopy({name: config['runs'][name] for name in names})}
    for path, value in values.items():
        config_file.set_leaf(trial, path, value)
    renamed = {names[name]: with_runs_renamed(run, names) for name, run in trial['runs'].items()}
    return {**config, 'runs': {**config['runs'], **renamed}}, names[search.run]
