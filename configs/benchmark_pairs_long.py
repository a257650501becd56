"""Compares all methods of docs/methods.md when they are trained for 10,000 and 20,000 steps, not 900.

  python -m experiments.run --config=configs/benchmark_pairs_long.py:every_1000

The variants are five stages with 1,000 or with 10,000 images, such as every_10000. `flat` with 1,000 images took 3 h
10 min on one core of an AMD EPYC. On one core of an Intel Xeon it takes three quarters of an hour, `every` two hours,
`trials` two and a half, `tuned` and `wide` three each, estimated by the times of a step (4.2 ms of labels alone).

Images, networks, batches and optimizer are those of configs/benchmark_pairs.py, with 1,000 or 10,000 images. `every`
trains each method once, at the strength that the grid of configs/benchmark_pairs.py chose. `flat` trains labels alone
and KD for 10,000, 20,000 and 40,000 steps. `trials` and `tuned` take sixteen methods: labels alone, KD, the ten best of
`every`, the best of each family that is left over, and the next best. `trials` gives each of them the same six trials:
two learning rates times three strengths; methods without a strength get six learning rates. `tuned` trains the best
trial of each with three seeds. `wide` has another teacher, WRN-16-2, whose outputs are recorded for four views of each
image, and takes labels alone, KD and the ten best methods of `tuned` that have this teacher, with the settings of
`tuned`. Both train for 20,000 steps, because KD still gains after 10,000 (`flat`); `every` and `trials` for 10,000.
Everything is chosen on validation pairs, by the program, which reads earlier results from experiments/results: sixteen
methods by mean rank over 1,000 and 10,000 images, all else for each number of images. The last epoch is reported.
"""

import functools
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import benchmark_pairs as pairs
from configs.methods import METHODS, Method
from configs.methods.choice import by_mean_rank, with_every_family
from kd_jax.config.errors import UserError
from kd_jax.config.references import leaves, runs_referred_to
from kd_jax.report.result_files import Results, load_results, measure_over_seeds

STAGES = {'every': 1, 'flat': 3, 'trials': 1, 'tuned': 3, 'wide': 3}  # the number of seeds
TITLES = {
    'every': 'Every method once', 'flat': 'Labels alone and KD, two and four times as long',
    'trials': 'Trials on validation', 'tuned': 'The best trial of each method', 'wide': 'A wide ResNet as the teacher',
}  # fmt: skip
SIZES = (1000, 10_000)
VARIANTS = tuple(f'{stage}_{size}' for stage in STAGES for size in SIZES)
STEPS = 10_000
LENGTHS = STEPS, 20_000, 40_000  # steps of `flat`, each twice the one before
LONG = 20_000  # steps of `tuned` and `wide`
EVALUATE = 2000  # steps
FLAT, FLAT_RUNS = 0.003, ('baseline', 'kd')  # a difference of validation accuracy, and whose
RATE = 0.02  # the learning rate of configs/benchmark_pairs.py
# Learning rate, and factor of the strength that the grid chose. `every` has trained the first one.
TRIALS = ((RATE, 1.0), (RATE, 0.3), (RATE, 3.0), (0.007, 1.0), (0.007, 0.3), (0.007, 3.0))
TRIALS_OF_RATES = ((RATE, 1.0), (0.002, 1.0), (0.004, 1.0), (0.007, 1.0), (0.012, 1.0), (0.035, 1.0))
CHOSEN, BEST = 16, 10
WIDE = dict(model='wide_resnet', depth=16, width=2, num_classes=100)
VIEWS = 4
VALIDATION, TEST = 'last.valid.student.accuracy', 'last.test.student.accuracy'
RESULTS = pairs.ROOT / 'experiments' / 'results'


def get_config(variant: str = VARIANTS[0]) -> ConfigDict:
    stage, size = stage_of(variant)
    config = ConfigDict()
    config.name = f'benchmark_pairs_{variant}'
    config.title = f'{TITLES[stage]}: {LONG if stage in ("tuned", "wide") else STEPS:,} steps, {size:,} images'
    config.text = ' '.join(__doc__.split('\n\n')[-1].split())
    config.seeds = STAGES[stage]
    config.runs = {'every': every, 'flat': flat, 'trials': trials, 'tuned': tuned, 'wide': wide}[stage](size)
    return config


def stage_of(variant: str) -> tuple[str, int]:
    """The stage and the number of training images of a variant, for example ('every', 1000)."""
    stage, _, size = variant.rpartition('_')
    return stage, int(size)


def lengthened(run: Mapping[str, Any], size: int, steps: int = STEPS, rate: float = RATE) -> dict[str, Any]:
    """The run with another number of steps and another learning rate; it keeps which test pairs it gets right."""
    epoch = size // run['batch_size']  # steps
    measured = run['evaluate']['student']['logits']
    right = dict(analysis='correct_examples', logits=measured, labels='batch.label', splits=['test'])
    optimizer = {**run['optimizer'], 'learning_rate': {**run['optimizer']['learning_rate'], 'peak': rate}}
    return {
        **run, 'epochs': steps / epoch, 'eval_every': EVALUATE / epoch, 'optimizer': optimizer,
        'analyses': {'right': right},
    }  # fmt: skip


def method_of(run: str) -> Method | None:
    """The method of a run, by its name; None for labels alone."""
    return {pairs.key(name): METHODS[name] for name in pairs.measured_here()}.get(run)


def family_of(run: str) -> str:
    """The family of the method of a run; 'labels' if it has none."""
    method = method_of(run)
    return pairs.family(method) if method else 'labels'


def every(size: int) -> dict[str, Any]:
    """Every method once, at the strength that the grid chose for it."""
    alone = {'baseline': pairs.run_of(None, size)}
    own = {pairs.key(name): method for name, method in pairs.measured_here().items()}
    taught = {run: pairs.run_of(method, size, pairs.chosen(run)) for run, method in own.items()}
    students = alone | taught | pairs.generations(size)
    return with_teachers({name: lengthened(run, size) for name, run in students.items()})


def flat(size: int) -> dict[str, Any]:
    """Labels alone and KD, for each of the lengths."""
    short = {run: pairs.run_of(method_of(run), size, pairs.chosen(run)) for run in FLAT_RUNS}
    runs = {f'{run}_{steps}': lengthened(short[run], size, steps) for steps in LENGTHS for run in FLAT_RUNS}
    return with_teachers(runs)


def trials(size: int) -> dict[str, Any]:
    """Five of the six trials of each chosen method; the first one is its run in `every`."""
    of_methods = {run: trials_of(run)[1:] for run in chosen_methods()}
    return with_teachers(
        {trial_name(run, *t): with_setting(run, size, *t) for run in of_methods for t in of_methods[run]}
    )


def tuned(size: int) -> dict[str, Any]:
    """Each chosen method with the best of its six trials."""
    return with_teachers({run: tuned_run(run, size) for run in chosen_methods()})


def tuned_run(run: str, size: int) -> dict[str, Any]:
    return with_setting(run, size, *best_trial(run, size), LONG)


def with_teachers(students: Mapping[str, Any]) -> dict[str, Any]:
    """The students, and before them those runs of teachers that they start from."""
    needed = runs_referred_to(students)
    return {name: run for name, run in pairs.teachers().items() if name in needed} | dict(students)


def wide(size: int) -> dict[str, Any]:
    """Labels alone, KD and the best methods, with a wide ResNet as the teacher."""
    teacher = pairs.alone('teacher', pairs.TEACHER, pairs.MANY) | pairs.TEACHING
    rate = dict(schedule='cosine', peak=0.1, warmup=0.1)
    teacher |= dict(
        networks={'teacher': WIDE},
        optimizer=dict(name='sgd', learning_rate=rate, momentum=0.9, nesterov=True, weight_decay=5e-4),
    )
    return {'teacher': teacher} | {run: with_wide_teacher(run, tuned_run(run, size)) for run in best_with_teacher(size)}


def trials_of(run: str) -> tuple[tuple[float, float], ...]:
    """The six trials of a method: learning rate, and factor of its strength."""
    method = method_of(run)
    return TRIALS_OF_RATES if method is None or method.name in pairs.WHOLE else TRIALS


def trial_name(run: str, rate: float, factor: float) -> str:
    """The name of a trial's run, for example 'kd_lr0_007_x3'."""
    return f'{run}_lr{rate:g}_x{factor:g}'.replace('.', '_')


def with_setting(run: str, size: int, rate: float, factor: float, steps: int = STEPS) -> dict[str, Any]:
    return lengthened(pairs.run_of(method_of(run), size, pairs.chosen(run) * factor), size, steps, rate)


def with_wide_teacher(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """The run with a wide ResNet as its teacher, which has twice the channels; its outputs are recorded."""
    networks = {key: dict(network) for key, network in run['networks'].items()}
    for network in networks.values():
        if network.get('model') != 'cnn' and 'channels' in network:  # the channels of the teacher
            wider = network['channels']
            network['channels'] = tuple(2 * each for each in wider) if isinstance(wider, tuple) else 2 * wider
    del networks['teacher']
    if name != 'baseline':
        read = ('block1_pre', 'block2_pre', 'block3_pre', 'features', 'logits')
        networks['wide'] = dict(WIDE, update='frozen', init='run:teacher')
        networks['teacher'] = dict(
            model='configs.methods.halved_maps:HalvedMaps', update='frozen', input=[f'wide.{each}' for each in read]
        )
    student = dict(run['evaluate']['student'])
    del student['teacher']  # its agreement would cost more than training
    recorded = {} if name == 'baseline' else dict(cache=True)
    return {
        **run, 'networks': networks, 'data': {**run['data'], 'views': VIEWS},
        'evaluate': {**run['evaluate'], 'student': student}, **recorded,
    }  # fmt: skip


def has_the_teacher(run: str) -> bool:
    """Whether a method learns from one frozen teacher, so that it can have another one."""
    method = method_of(run)
    read = [leaf for leaf in leaves(method.parts() if method else {}) if isinstance(leaf, str)]
    return any(leaf.startswith('teacher.') for leaf in read) and 'run:teachers' not in read


def chosen_methods() -> list[str]:
    """The sixteen runs of `trials` and `tuned`, chosen by the validation accuracy of `every`."""
    asked = ['baseline', *(pairs.key(name) for name in pairs.measured_here())]
    valid = [validation(results_of('every', size), asked, f'every_{size}') for size in SIZES]
    ordered = [run for run in by_mean_rank(valid) if run != 'baseline']
    return with_every_family(ordered, {run: family_of(run) for run in ordered}, ['baseline', 'kd'], BEST, CHOSEN)


def best_trial(run: str, size: int) -> tuple[float, float]:
    """The trial of a method with the highest validation accuracy: learning rate, and factor of its strength."""
    return best_of_trials(run, results_of('every', size), results_of('trials', size), size)


def best_of_trials(run: str, once: Results, others: Results, size: int) -> tuple[float, float]:
    """The same, from the results of `every`, which has the first trial, and of `trials`."""
    first, *later = trials_of(run)
    names = {trial_name(run, *trial): trial for trial in later}
    valid = validation(others, list(names), f'trials_{size}') | validation(once, [run], f'every_{size}')
    return {run: first, **names}[max(valid, key=lambda name: valid[name])]


def best_with_teacher(size: int) -> list[str]:
    """Labels alone, KD and the best methods of `tuned` that have one frozen teacher, by validation accuracy."""
    asked = [run for run in chosen_methods() if has_the_teacher(run)]
    valid = validation(results_of('tuned', size), asked, f'tuned_{size}')
    ordered = sorted(asked, key=lambda run: -valid[run])
    return list(dict.fromkeys(['baseline', 'kd', *ordered[:BEST]]))


@functools.cache
def results_of(stage: str, size: int, directory: pathlib.Path = RESULTS) -> Results:
    """The results of an earlier stage.

    Raises:
      UserError: they are not in experiments/results.
    """
    variant = f'{stage}_{size}'
    place = directory / f'benchmark_pairs_{variant}'
    if not (place / 'study.json').is_file():
        raise UserError(
            f'this stage chooses by the results of {variant}, and {place} has none: run the variant {variant} first, '
            'and copy study.json and results/ from its work directory to that place.'
        )
    return load_results(place).results


def validation(results: Results, runs: list[str], variant: str) -> dict[str, float]:
    """The validation accuracy of each run, the mean over its seeds.

    Raises:
      UserError: a run has none, so that nothing can be chosen yet.
    """
    found = {run: measure_over_seeds(results, run, VALIDATION) for run in runs}
    missing = [run for run, measure in found.items() if measure is None]
    if missing:
        raise UserError(
            f'this stage chooses by the results of {variant}, in which {", ".join(missing)} has no validation '
            'accuracy: finish that variant first, and copy its results again.'
        )
    return {run: measure.mean for run, measure in found.items() if measure}


def get_report(variant: str = VARIANTS[0]) -> dict[str, Any]:
    """A table of the runs of a stage; for `trials`, of their validation accuracy alone. `flat` has claims."""
    stage, size = stage_of(variant)
    columns = {} if stage == 'trials' else {'accuracy': TEST}
    if stage not in ('trials', 'wide'):
        columns['agreement with the teacher'] = TEST.replace('accuracy', 'agreement')
    columns['accuracy (validation)'] = VALIDATION
    of_teacher = {
        name: None if 'agreement' in path else path.replace('student', 'teacher') for name, path in columns.items()
    }
    rows: dict[str, Any] = {'teacher': dict(columns=of_teacher)}
    rows |= {run: dict(label=own) for run, own in labels_of(stage, size).items()}
    table = dict(title='Last epoch', columns=columns, rows=rows)
    if stage == 'flat':
        return {'tables': {'methods': table | dict(baseline=f'baseline_{STEPS}')}, 'claims': flat_claims()}
    return {'tables': {'methods': table}}


def flat_claims() -> dict[str, Any]:
    """That twice as many steps change the validation accuracy of labels alone and of KD by less than 0.3 points."""
    return {
        f'{run}_flat_{short}': dict(
            kind='difference', title=f'{pairs.labels()[run]}: {short:,} steps are enough',
            value=f'{run}_{long}:{VALIDATION}', low=f'{run}_{short}:{VALIDATION}',
            rule=dict(above=-FLAT, below=FLAT), own=True,
        )
        for run in FLAT_RUNS
        for short, long in itertools.pairwise(LENGTHS)
    }  # fmt: skip


def labels_of(stage: str, size: int) -> dict[str, str]:
    """The label of each run of a stage in its table."""
    named = pairs.labels()
    if stage == 'every':
        return named
    if stage == 'flat':
        return {f'{run}_{steps}': f'{named[run]}, {steps:,} steps' for run in FLAT_RUNS for steps in LENGTHS}
    if stage == 'trials':
        return {
            trial_name(run, rate, factor): f'{named[run]}, rate {rate:g}, strength ×{factor:g}'
            for run in chosen_methods()
            for rate, factor in trials_of(run)[1:]
        }
    return {run: named[run] for run in (chosen_methods() if stage == 'tuned' else best_with_teacher(size))}
