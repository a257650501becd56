"""A study: runs, the dependencies between them, seeds; planned, run in part, resumed, and reported."""

import contextlib
import dataclasses
import fnmatch
import functools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kd_jax import checkpoint, distributed, metrics, packs, torch_weights, train
from kd_jax.errors import UserError, suggest
from kd_jax.job import Job, prepare, variable_shapes
from kd_jax.network import Network
from kd_jax.workdir import Workdir

KEYS = ('name', 'pack', 'runs', 'seeds', 'text', 'title')


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of one config with one seed. `needs`: names of the runs it starts from, at the same seed."""

    name: str
    seed: int
    config: Mapping[str, Any]
    needs: tuple[str, ...]

    @property
    def id(self) -> str:
        return f'{self.name}-s{self.seed}'


Progress = Callable[[Sequence[Run], int, int, Mapping[str, float]], None]


@dataclasses.dataclass(frozen=True)
class Study:
    """Runs in an order in which each follows those it needs; `about` is what the report needs to know."""

    runs: tuple[Run, ...]
    about: Mapping[str, Any]
    where: str


def parse(config: Mapping[str, Any], where: str) -> Study:
    """The study that a config file describes.

    Raises:
      UserError: an unknown option, a run that needs one that does not exist, or runs that need each other in a circle.
    """
    for key in config:
        if key not in KEYS:
            raise UserError(f'{where}: there is no option {key!r}. {suggest(key, KEYS)}')
    if not (isinstance(config.get('name'), str) and config['name']):
        raise UserError(f'{where} has no name: set config.name, a string.')
    named = config.get('runs', {})
    if not isinstance(named, Mapping) or not named:
        raise UserError(f'{where} has no runs: set config.runs.NAME.')
    for name, run in named.items():
        if not isinstance(run, Mapping):
            raise UserError(f"{where}: run '{name}' is {run!r}, but it must be a dictionary.")
    wanted = {name: tuple(dict.fromkeys(_needs(run))) for name, run in named.items()}
    for name, others in wanted.items():
        for other in others:
            if other not in named:
                raise UserError(f"{where}: run '{name}' starts from run '{other}'. {suggest(other, named)}")
    seeds = config.get('seeds', 1)
    if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1:
        raise UserError(f'{where}: seeds is {seeds!r}; it is how many there are, 1 or more.')
    packs.check(config.get('pack', 'auto'), where)
    ordered = _in_order(wanted, where)
    runs = tuple(Run(name, seed, named[name], wanted[name]) for seed in range(seeds) for name in ordered)
    return Study(runs, {key: value for key, value in config.items() if key != 'runs'}, where)


def _needs(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    if isinstance(tree, list | tuple):
        for value in tree:
            yield from _needs(value)
    elif isinstance(tree, str) and tree.startswith('run:'):
        yield tree.removeprefix('run:').partition('/')[0]
    elif isinstance(tree, str) and tree.startswith('result:'):
        yield tree.removeprefix('result:').partition('.')[0]


def _in_order(wanted: Mapping[str, Sequence[str]], where: str) -> list[str]:
    done: list[str] = []
    while len(done) < len(wanted):
        ready = [name for name in wanted if name not in done and set(wanted[name]) <= set(done)]
        if not ready:
            circle = ', '.join(sorted(set(wanted) - set(done)))
            raise UserError(f'{where}: runs {circle} need each other in a circle.')
        done += ready
    return done


def select(study: Study, only: Sequence[str], workdir: Workdir) -> list[Run]:
    """The runs whose name or id matches one of the globs `only` (all without any), and unfinished ones that they need.

    Raises:
      UserError: a glob matches no run.
    """
    by_id = {run.id: run for run in study.runs}
    chosen: dict[str, Run] = {}

    def add(run: Run) -> None:
        for name in run.needs:
            needed = by_id[f'{name}-s{run.seed}']
            if workdir.result(needed.id) is None:
                add(needed)
        chosen[run.id] = run

    for glob in only or ['*']:
        matched = [r for r in study.runs if fnmatch.fnmatch(r.name, glob) or fnmatch.fnmatch(r.id, glob)]
        if not matched:
            raise UserError(f'--only={glob} matches no run. {suggest(glob, {r.name for r in study.runs})}')
        for run in matched:
            add(run)
    return [run for run in study.runs if run.id in chosen]


def jobs(study: Study, devices: Callable[[Run], Sequence[Any]] | None = None) -> dict[str, Job]:
    """Every run of the first seed, checked: names, paths, shapes, ranges, and what its networks start from.

    Args:
      study: what is to be run.
      devices: those that a run will have, if it is not trained here.
    """
    first = [run for run in study.runs if run.seed == study.runs[0].seed]
    ready = {run.name: _prepare(study, run, run.config, devices(run) if devices else None) for run in first}
    for job in ready.values():
        for network in job.recipe.networks:
            if network.init:
                _check_init(network, job, ready)
    return ready


def _check_init(network: Network, job: Job, ready: Mapping[str, Job]) -> None:
    where, own = f"{job.where}, network '{network.name}'", variable_shapes(job, network)
    if network.init.startswith('torch:'):
        torch_weights.load(network, network.init.removeprefix('torch:'), own, where)
        return
    if not network.init.startswith('run:'):
        checkpoint.load_network(network, pathlib.Path(network.init), '', own, where)
        return
    name, _, source = network.init.removeprefix('run:').partition('/')
    there = {n.name: variable_shapes(ready[name], n) for n in ready[name].recipe.moving}
    checkpoint.source_for(network, source, there, own, where, f"run '{name}'")


def _prepare(study: Study, run: Run, config: Mapping[str, Any], devices: Sequence[Any] | None = None) -> Job:
    return prepare(config, run.seed, f"{study.where}: run '{run.name}'", devices)


def differences(study: Study, workdir: Workdir, runs: Sequence[Run]) -> dict[str, list[str]]:
    """Of `runs` and those they need, the ones another config made: id -> leaves that differ, 'path: there -> here'."""
    changed = {}
    wanted = {run.id for run in runs}
    for run in reversed(study.runs):
        if run.id in wanted:
            wanted |= {f'{name}-s{run.seed}' for name in run.needs}
    for run in (run for run in study.runs if run.id in wanted):
        path = workdir.directory(run.id) / 'config.json'
        if not path.exists():
            continue
        there, here = _experiment(json.loads(path.read_text())), _experiment(_plain(run.config))
        leaves = [
            f'{key.replace("/", ".")}: {there.get(key, "absent")!r} -> {here.get(key, "absent")!r}'
            for key in sorted(there.keys() | here.keys())
            if there.get(key) != here.get(key)
        ]
        if leaves:
            changed[run.id] = leaves
    return changed


def _experiment(config: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a run's config that its numbers depend on: all but the resources it asks for."""
    return metrics.flat({key: value for key, value in config.items() if key != 'resources'})


def forget(study: Study, workdir: Workdir, ids: Sequence[str]) -> None:
    """Removes what these runs, and all that start from them, have left in the work directory.

    Dependents go first and a run's config.json last, so that after a kill the same call finds again what is left to do.
    """
    gone = set(ids)
    for run in study.runs:
        if gone & {f'{name}-s{run.seed}' for name in run.needs}:
            gone.add(run.id)
    for run in reversed(study.runs):
        directory = workdir.directory(run.id)
        if run.id in gone:
            workdir.result_path(run.id).unlink(missing_ok=True)
            for path in sorted(directory.glob('*'), key=lambda path: path.name == 'config.json'):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def units(
    runs: Sequence[Run], pack: Any = False, jobs: Mapping[str, Job] | None = None, workers: int | None = 1
) -> list[tuple[Run, ...]]:
    """Runs that are trained together, in an order in which each unit follows those it needs.

    Unless `pack` is False, those are together that may be one program (see `packs`) and are as far from the runs that
    need none, so that no unit needs itself.

    Args:
      runs: what is to be trained.
      pack: as in the study's config.
      jobs: of the runs, by name, as far as they are known.
      workers: how many units are trained at once, None for any number: 'auto' keeps each of them busy.
    """
    if pack is False or (pack == 'auto' and workers is None):
        return [(run,) for run in runs]
    wanted = {run.name: run.needs for run in runs}

    @functools.cache
    def level(name: str) -> int:
        return 1 + max((level(needed) for needed in wanted[name] if needed in wanted), default=0)

    structures = {run.name: packs.structure(run.config, f"run '{run.name}'") for run in runs}
    together = []
    for places in packs.grouped([(level(run.name), structures[run.name]) for run in runs]):
        job = (jobs or {}).get(runs[places[0]].name)
        most, parts = packs.room(job) if job else packs.MOST, workers if pack == 'auto' and workers else 1
        together += [tuple(runs[i] for i in part) for part in packs.divided(places, most, parts)]
    unit_of = {run.id: unit for unit in together for run in unit}
    ordered: dict[str, tuple[Run, ...]] = {}

    def add(unit: tuple[Run, ...]) -> None:
        for needed in sorted(needs(unit) & unit_of.keys()):
            add(unit_of[needed])
        ordered.setdefault(unit[0].id, unit)

    for unit in together:
        add(unit)
    return list(ordered.values())


def needs(unit: Sequence[Run]) -> set[str]:
    """The ids of the runs that a unit starts from."""
    return {f'{name}-s{run.seed}' for run in unit for name in run.needs}


def execute_unit(
    study: Study, unit: Sequence[Run], workdir: Workdir, progress: Progress
) -> list[dict[str, Any] | UserError]:
    """Trains the runs of one unit in this process, writes their results, and returns of each that or what was wrong.

    All it needs are plain values and the work directory, so that any process that sees the directory can do it.
    `progress` is called with those of the runs that are one program.

    Raises:
      UserError: as `train.train_together`.
      train.Preempted: the process was asked to stop; the same call goes on where it stopped.
    """
    pack = study.about.get('pack', 'auto')
    with checkpoint.disk_errors(workdir.path), contextlib.ExitStack() as held:
        for run in unit:
            held.enter_context(workdir.alone(run.id))
        outcomes: dict[str, Any] = {run.id: workdir.result(run.id) for run in unit}
        waiting = [run for run in unit if outcomes[run.id] is None]
        tasks: list[train.Task] = []
        for run in waiting:
            tasks.append(_task(study, run, workdir, [task.job for task in tasks]))
        for places in packs.partition([task.job for task in tasks], pack):
            together = tuple(waiting[i] for i in places)
            tell = functools.partial(progress, together)
            ended = train.train_together([tasks[i] for i in places], tell, pack, caches=workdir.caches)
            for run, outcome in zip(together, ended, strict=True):
                outcomes[run.id] = outcome if isinstance(outcome, UserError) else _write(study, run, outcome, workdir)
    return list(outcomes.values())


def _task(study: Study, run: Run, workdir: Workdir, others: Sequence[Job]) -> train.Task:
    directory = workdir.directory(run.id)
    job = packs.with_known_data(_prepare(study, run, workdir.resolve(run.config, run.seed)), others)
    sources = {name: workdir.directory(f'{name}-s{run.seed}') for name in run.needs}
    distributed.on_primary(functools.partial(metrics.write_json, directory / 'config.json', run.config))
    return train.Task(job, directory, sources)


def _write(study: Study, run: Run, result: Mapping[str, Any], workdir: Workdir) -> dict[str, Any]:
    asked = {key: study.about[key] for key in ('command',) if key in study.about}  # not a worker's command
    result = {'study': study.about['name'], 'run': run.name, 'seed': run.seed, **result, **asked}
    distributed.on_primary(functools.partial(metrics.write_json, workdir.result_path(run.id), result))
    return result


def _plain(tree: Any) -> Any:
    return json.loads(json.dumps(metrics.finite(tree)))
