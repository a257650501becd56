"""Compares a sweep of temperatures that is trained as one program with the same runs trained one after another.

  python -m benchmarks.sweep --out=benchmarks/results/sweep.json

The runs are students of configs/hinton/temperature.py that differ only in the temperature: two layers of 30 units, with
a cached teacher 1200-1200. 'steps' times a chunk of training steps, compiled before; compilation is timed once per
side. 'sweep' is the time that a user waits for the whole study, with compilation, evaluation, checkpoints and logs.
Nothing is compiled in advance, and the time of 'auto' includes choosing between vmap and map. The teacher is trained
for a few steps only, because the times do not depend on its weights.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from benchmarks import measure
from benchmarks.matrix_flops import matrix_flops
from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.config_file import load_config
from kd_jax.config.sweeps import grid
from kd_jax.studies import executors
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.study import Run, Study, parse_study
from kd_jax.studies.workdir import Workdir
from kd_jax.teacher_cache.replay import replay_outputs
from kd_jax.training import vmap_or_map
from kd_jax.training.active_run import ActiveRun, RunToTrain, begin_runs
from kd_jax.training.batch_feed import make_feed
from kd_jax.training.chunk_program import make_chunk_program, stack_states
from kd_jax.training.stacked_runs import ALONE

CONFIG, RUN = 'configs/hinton/temperature.py', 'w30_t1'
ONE_BY_ONE = 'one after another'
BATCHINGS = {ONE_BY_ONE: ALONE, 'grouped, map': 'map', 'grouped, vmap': 'vmap'}
GROUPINGS: dict[str, Any] = {ONE_BY_ONE: False, 'grouped, map': 'map', 'grouped, vmap': 'vmap', 'grouped, auto': 'auto'}


def plan(runs: int, epochs: float, width: int) -> Study:
    """A study of a teacher and its students at `runs` temperatures."""
    config = load_config(CONFIG)[0]['runs']
    student, teacher = config[RUN], config['teacher']
    student |= {'epochs': epochs, 'eval_every': epochs / 2}
    student['networks']['student']['hidden'] = (width, width)
    teacher |= {'data': {'source': 'mnist', 'examples': 12_800}, 'epochs': 0.1}
    temperatures = {'terms.soft.t': [1.0 + number for number in range(runs)]}
    return parse_study({'name': 'sweep', 'runs': {'teacher': teacher, **grid(student, temperatures, 't{t}')}}, 'sweep')


def train(planned: Study, runs: Sequence[Run], workdir: Workdir, grouping: Any) -> None:
    planned = dataclasses.replace(planned, about={**planned.about, 'group_runs': grouping})
    with workdir.locked():
        executors.in_process()(planned, plan_groups(runs, grouping), workdir, lambda *_: None, lambda *_: None)


def sweep(planned: Study, teacher: pathlib.Path, grouping: Any) -> Callable[[], None]:
    """A function that trains the students in a new directory, with no compiled programs or earlier timings."""

    def run() -> None:
        jax.clear_caches()
        vmap_or_map._fastest.clear()
        with tempfile.TemporaryDirectory() as name:
            jax.config.update('jax_compilation_cache_dir', f'{name}/xla')
            compilation_cache.reset_cache()
            workdir = Workdir(pathlib.Path(name))
            (workdir.path / 'runs').mkdir()
            shutil.copytree(teacher, workdir.directory('teacher-s0'))
            train(planned, [run for run in planned.runs if run.name != 'teacher'], workdir, grouping)
        jax.config.update('jax_compilation_cache_dir', None)
        compilation_cache.reset_cache()

    return run


def chunk(
    planned: Study, teacher: pathlib.Path, by: str, steps: int, opened: contextlib.ExitStack
) -> tuple[Callable[[], Any], float, float]:
    """A function that trains a chunk of steps of every run, its compilation time in seconds, and its `matrix_flops`."""
    directory = pathlib.Path(opened.enter_context(tempfile.TemporaryDirectory()))
    ready = prepare_study(planned)
    students = [run for run in planned.runs if run.name != 'teacher']
    to_train = [RunToTrain(ready[run.name], directory / run.id, {'teacher': teacher}) for run in students]
    begun = [own for own in begin_runs(to_train, opened) if isinstance(own, ActiveRun)]
    together = [[own] for own in begun] if by == ALONE else [begun]
    first = begun[0]
    key = fold_in_name(first.state.key, 'augment')
    arrays = (
        replay_outputs(first.prepared.cache, first.frozen, key, directory, lambda: None) if first.prepared.cache else {}
    )
    arguments = []
    for own in together:
        prepared_runs, states = [each.prepared for each in own], [each.state for each in own]
        read = make_feed(
            prepared_runs,
            [each.frozen for each in own],
            [arrays or prepared.splits.arrays['train'] for prepared in prepared_runs],
        )
        arguments.append([stack_states(prepared_runs, states), *read.arguments(*read.positions(0, steps))])
    run_chunk: Any = make_chunk_program(first.prepared, by, len(together[0]), read.shared)
    started = time.perf_counter()
    traced = run_chunk.trace(*arguments[0])
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - started

    def run() -> None:
        for each in arguments:
            each[0], losses = compiled(*each)
            jax.block_until_ready(losses)

    return run, seconds, matrix_flops(traced.jaxpr) * len(arguments)


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=16, help='number of temperatures')
    parser.add_argument('--epochs', type=float, default=80.0, help='epochs of each run; an epoch has 78 steps')
    parser.add_argument('--width', type=int, default=30, help="units of each of the student's two layers")
    parser.add_argument('--steps', type=int, default=78, help='steps per measurement')
    args = parser.parse_args()
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)  # as experiments.run does
    planned = plan(args.runs, args.epochs, args.width)
    with contextlib.ExitStack() as opened:
        workdir = Workdir(pathlib.Path(opened.enter_context(tempfile.TemporaryDirectory())))
        train(planned, planned.runs[:1], workdir, False)
        teacher = workdir.directory('teacher-s0')
        chunks = {side: chunk(planned, teacher, by, args.steps, opened) for side, by in BATCHINGS.items()}
        steps = measure.in_turn({side: run for side, (run, *_) in chunks.items()}, args.repeats)
        whole = measure.in_turn(
            {side: sweep(planned, teacher, grouping) for side, grouping in GROUPINGS.items()}, args.repeats
        )
    rows = [
        {
            'steps': side,
            'compile, s': chunks[side][1],
            'ms a step of all runs': 1e3 * (s := measure.median(times)) / args.steps,
            'speed-up': measure.median(steps[ONE_BY_ONE]) / s,
        }
        for side, times in steps.items()
    ]
    measure.show(f'A step of {args.runs} students of {args.width}-{args.width}', rows, None)
    waited = [
        {'sweep': side, 'seconds': (s := measure.median(times)), 'speed-up': measure.median(whole[ONE_BY_ONE]) / s}
        for side, times in whole.items()
    ]
    title = f'A sweep of {args.runs} temperatures, {args.epochs:g} epochs, with compilation and evaluation'
    options = {name: value for name, value in vars(args).items() if name != 'out'}
    measure.show(title, waited, args.out, steps=rows, seconds={'steps': steps, 'sweep': whole}, options=options)


if __name__ == '__main__':
    main()
