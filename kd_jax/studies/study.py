"""A study: runs, the dependencies between them, and seeds."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kd_jax.config.dependency_order import in_dependency_order
from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import check_option
from kd_jax.config.import_by_name import imported_names
from kd_jax.config.json_files import json_value
from kd_jax.config.name_globs import matching, split_globs
from kd_jax.config.names import check_name
from kd_jax.config.references import runs_referred_to
from kd_jax.studies.workdir import Workdir
from kd_jax.training.stacked_runs import BATCHINGS

STUDY_OPTIONS = {
    'name': Described('its name; the work directory is runs/NAME unless --workdir is given', REQUIRED, 'text'),
    'runs': Described('its runs: name -> options of the run', REQUIRED, 'dictionary'),
    'seeds': Described('how often each run is trained, with the seeds 0, 1 and so on', 1, 'whole number, 1 or more'),
    'group_runs': Described(
        "how runs that differ only in numbers are trained as one program: 'vmap' (all at once), 'map' (one after "
        "another), 'auto' (whichever is faster here), or False (each on its own)",
        'auto',
        "'auto', 'vmap', 'map' or False",
    ),
    'title': Described('the heading of its report', 'the name', 'text'),
    'text': Described('what its report says below the heading', '', 'text'),
}
MOST_RUNS = 10_000  # with all seeds


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of one config with one seed, or one transform of networks of other runs.

    Attributes:
      name: its name in the study.
      seed: its seed.
      config: its config.
      needs: names of the runs that it starts from or whose results it reads.
    """

    name: str
    seed: int
    config: Mapping[str, Any]
    needs: tuple[str, ...]

    @property
    def id(self) -> str:
        return f'{self.name}-s{self.seed}'

    @property
    def needed_ids(self) -> tuple[str, ...]:
        """The ids of the runs that it needs: those of its own seed, or of the seeds that its transform names."""
        seeds = self.config.get('transform', {}).get('seeds', (self.seed,))
        return tuple(f'{name}-s{seed}' for name in self.needs for seed in seeds)


Progress = Callable[[Sequence[Run], int, int, Mapping[str, float]], None]


@dataclasses.dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
      runs: its runs; each follows the runs that it needs.
      about: the options of the study except `runs`, for the report.
      where: the config file, for messages.
      order: the names of its runs, in the order of the config file.
      imports: the names 'package.module:attribute' in the configs of all its runs.
    """

    runs: tuple[Run, ...]
    about: Mapping[str, Any]
    where: str
    order: tuple[str, ...]
    imports: frozenset[str]


def parse_study(config: Mapping[str, Any], where: str) -> Study:
    """Parses the study that a config file describes.

    Raises:
      UserError: an unknown or wrong option, a run that needs a missing run, or runs that need each other in a circle.
    """
    for key in config:
        if key not in STUDY_OPTIONS:
            raise UserError(f'{where}: there is no option {key!r}. {suggest(key, STUDY_OPTIONS)}')
    if not (isinstance(config.get('name'), str) and config['name']):
        raise UserError(f'{where} has no name: set config.name to a string.')
    check_name(config['name'], 'study', where, dots=True)
    named = config.get('runs', {})
    if not isinstance(named, Mapping) or not named:
        raise UserError(f'{where} has no runs: set config.runs.NAME.')
    for name, run in named.items():
        check_name(name, 'run', where)
        if not isinstance(run, Mapping):
            raise UserError(f"{where}: run '{name}' is {run!r}, but it must be a dictionary.")
        if not isinstance(run.get('transform', {}), Mapping):
            raise UserError(
                f"{where}: run '{name}': transform is {run['transform']!r}, but it must be a dictionary, such as "
                "dict(name='average_weights', of=['run:NAME/NETWORK'])."
            )
    wanted = {name: _wanted(run, f"{where}: run '{name}'") for name, run in named.items()}
    for name, others in wanted.items():
        for other in others:
            if other not in named:
                raise UserError(
                    f"{where}: run '{name}' starts from run '{other}', which does not exist. {suggest(other, named)}"
                )
    seeds = _checked_seeds(config.get('seeds', 1), where)
    counts = {name: _checked_seeds(run.get('seeds', seeds), f"{where}: run '{name}'") for name, run in named.items()}
    if sum(counts.values()) > MOST_RUNS:
        most = max(counts.values())
        raise UserError(
            f'{where}: {len(named)} x {most} runs (seeds is {most}) are too many: a study has at most {MOST_RUNS}, '
            'because each has files of its own and a row in the plan; use fewer seeds, or several studies.'
        )
    for key in ('text', 'title'):
        check_option(config.get(key, ''), str, f'{where}: {key}')
    check_grouping(config.get('group_runs', 'auto'), where)
    if alone := next((name for name, needs in wanted.items() if name in needs), None):
        raise UserError(f"{where}: run '{alone}' reads or starts from itself; name another run.")
    ordered = in_dependency_order(wanted, f'{where}: runs {{}} need each other in a circle.')
    configs = {
        name: _with_seeds(run, min((counts[other] for other in wanted[name]), default=seeds), f"{where}: run '{name}'")
        for name, run in named.items()
    }
    every = range(max(counts.values()))
    runs = [Run(name, seed, configs[name], wanted[name]) for seed in every for name in ordered if seed < counts[name]]
    _check_seeds_of_needed(runs, where)
    about = {key: value for key, value in config.items() if key != 'runs'}
    return Study(_after_needed(runs), about, where, tuple(named), frozenset(imported_names(json_value(named))))


def _checked_seeds(seeds: Any, where: str) -> int:
    if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1:
        raise UserError(f'{where}: seeds is {seeds!r}, but it must be the number of seeds, 1 or more.')
    return seeds


def _check_seeds_of_needed(runs: Sequence[Run], where: str) -> None:
    known = {run.id for run in runs}
    for run in runs:
        if missing := [needed for needed in run.needed_ids if needed not in known]:
            name, _, seed = missing[0].rpartition('-s')
            raise UserError(
                f"{where}: run '{run.name}' needs run '{name}' with seed {seed}, which it does not have; give it as "
                'many seeds.'
            )


def _wanted(run: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The names of the runs that a run refers to; the message of a mistake in a reference begins with its place."""
    try:
        return runs_referred_to(run)
    except UserError as error:
        raise UserError(f'{where}: {error}') from error


def _with_seeds(run: Mapping[str, Any], seeds: int, where: str) -> Mapping[str, Any]:
    """Replaces seeds='all' in a transform by the seeds that all runs have which it reads."""
    transform = run.get('transform', {})
    if 'seeds' not in transform:
        return run
    asked = tuple(range(seeds)) if transform['seeds'] == 'all' else transform['seeds']
    if not (isinstance(asked, list | tuple) and asked and all(seed in range(seeds) for seed in asked)):
        raise UserError(
            f"{where}: transform.seeds is {asked!r}, but it must be 'all' or a list of seeds of the runs "
            f'that it reads, which are 0 to {seeds - 1}.'
        )
    return {**run, 'transform': {**transform, 'seeds': list(asked)}}


def _after_needed(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Moves each run behind the runs that it needs."""
    by_id, ordered = {run.id: run for run in runs}, dict[str, Run]()

    def add(run: Run) -> None:
        for needed in run.needed_ids if run.id not in ordered else ():
            add(by_id[needed])
        ordered.setdefault(run.id, run)

    for run in runs:
        add(run)
    return tuple(ordered.values())


def asked_configs(study: Study) -> dict[str, Mapping[str, Any]]:
    """The config of each run that the study asks for, in the order of the config file; for `study.json`."""
    configs = {run.name: run.config for run in study.runs}
    return {name: configs[name] for name in study.order}


def check_grouping(grouping: Any, where: str) -> None:
    """Raises a UserError if the option `group_runs` is not 'auto', 'vmap', 'map' or False."""
    if grouping is not False and grouping not in ('auto', *BATCHINGS):
        raise UserError(f'{where}: group_runs is {grouping!r}. {suggest(str(grouping), ("auto", "False", *BATCHINGS))}')


def select_runs(study: Study, only: Sequence[str], workdir: Workdir, again: Collection[str] = ()) -> list[Run]:
    """The runs whose name or id matches a glob of `only` (all if empty), and the unfinished runs that they need.

    Args:
      study: the study.
      only: texts of one glob or several, which commas separate.
      workdir: its work directory.
      again: the ids of runs that count as unfinished, because they are trained again.
    Raises:
      UserError: a glob matches no run.
    """
    by_id = {run.id: run for run in study.runs}
    chosen: dict[str, Run] = {}

    def add(run: Run) -> None:
        for needed in map(by_id.__getitem__, run.needed_ids):
            if needed.id in again or workdir.result(needed.id) is None:
                add(needed)
        chosen[run.id] = run

    known = dict.fromkeys(name for run in study.runs for name in (run.name, run.id))
    for glob in [glob for text in only for glob in split_globs(text, known)] or ['*']:
        names = set(matching(glob, known))
        matched = [run for run in study.runs if names & {run.name, run.id}]
        if not matched:
            raise UserError(f'--only={glob} matches no run. {suggest(glob, {r.name for r in study.runs})}')
        for run in matched:
            add(run)
    return [run for run in study.runs if run.id in chosen]
