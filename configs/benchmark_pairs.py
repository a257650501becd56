"""Every method of docs/methods.md side by side, on pairs of MNIST digits: a CNN teaches a smaller one 100 classes.

  python -m experiments.run --config=configs/benchmark_pairs.py:grid   # how strong each method should be: one seed
  python -m experiments.run --config=configs/benchmark_pairs.py:low    # 1,000 images for the students
  python -m experiments.run --config=configs/benchmark_pairs.py        # 10,000

The configs are those of docs/methods.md, read from that page: what it shows is what is measured. Every method has the
steps, optimizer, batches, initial weights and order of examples of the student alone. Learning rate, batch and epochs
were chosen for the student alone and for KD, on validation pairs of one seed. The weights of a method's terms are those
of the page times its strength in CHOSEN: the one of 0.1, 0.3, 1 and 3, and of 0.03 or 10 where the best of those four
is at that end, that is best on 5,000 validation pairs in `grid` (1,000 images, seed 0); 1 where none is named. Test
pairs are made of digits that nothing else has seen; the last epoch is reported.
"""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'low', 'grid')
STRENGTHS, BEYOND = (0.1, 0.3, 1.0, 3.0), (0.03, 10.0)
MANY, FEW, VALID = 10_000, 1000, 5000
EPOCHS = {MANY: 6, FEW: 60}
TEACHING = dict(epochs=20, eval_every=20)
TEACHER, ASSISTANT, STUDENT = (16, 32, 64), (12, 24, 48), (8, 16, 32)
KNOWLEDGE = ('response', 'feature', 'relation')
ROOT = pathlib.Path(__file__).parents[1]
PAGE, COSTS = ROOT / 'docs' / 'methods.md', ROOT / 'benchmarks' / 'results' / 'methods.json'
# These have other aims than accuracy on these images: they are runs of configs/other_aims.py.
ELSEWHERE = {
    'robust (ARD)': 'robust_ard', 'robust (RSLAD)': 'robust_rslad', 'cross-modal': 'points_unlabelled',
    'data-free (DAFL)': 'data_free',
}  # fmt: skip
# Methods whose own networks are the students, and one that is measured by the classifier it borrows.
STUDENTS = {'codistillation': 'cohort', 'KDCL': 'group'}
MEASURED = {**STUDENTS, 'SimKD': 'classifier'}
# Their one term is the whole loss, whose scale AdamW does not see: no strength is searched.
WHOLE = ('SimKD', 'progressive (PS-KD)')
# What stands in the place of the student's labels.
WITHOUT_LABELS = (*WHOLE, *STUDENTS)
CHOSEN = {  # others 1
    0.03: (
        'activation_boundaries', 'correlation_congruence', 'nst',
    ),
    0.1: (
        'adversarial_logits', 'attention_transfer', 'curriculum_temperature_ctkd', 'dkd', 'factor_transfer',
        'logit_regression',
    ),
    0.3: (
        'be_your_own_teacher', 'crd_in_batch', 'crd_memory_bank', 'deep_mutual_learning', 'fsp',
        'hard_labels_black_box', 'kd_temperature_annealed', 'kdsvd', 'mgd', 'one', 'similarity_preserving',
    ),
    3.0: (
        'cosine_of_hidden_states', 'dist', 'ensemble_by_validation_accuracy', 'label_smoothing', 'mlld', 'overhaul_ofd',
        'rkd', 'top_k_targets_with_a_tail',
    ),
    10.0: (
        'adversarial_features', 'cka', 'deep_supervision', 'ensemble', 'fitnet', 'ickd', 'kendalls_tau',
        'logit_standardisation', 'pkt', 'reviewkd', 'vid',
    ),
}  # fmt: skip


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = f'benchmark_pairs_{variant}' if variant else 'benchmark_pairs'
    config.title = 'Methods of distillation side by side'
    config.text = ' '.join(__doc__.split('\n\n')[-1].split())
    config.seeds = 1 if variant == 'grid' else 3
    examples = MANY if variant == '' else FEW
    members = dict(analysis='ensemble', logits='teachers.logits', labels='batch.label', splits=['valid'])
    runs = {
        'teacher': {**alone('teacher', TEACHER, MANY), **TEACHING},
        'teachers': {**alone('teachers', TEACHER, MANY, copies=3), **TEACHING, 'analyses': {'ensemble': members}},
        'baseline': run_of('', examples),
    }
    for method, lines in measured_here().items():
        if variant == 'grid':
            for strength in strengths_of(method):
                runs[at(key(method), strength)] = run_of(method, examples, lines, strength)
        else:
            runs[key(method)] = run_of(method, examples, lines, chosen(key(method)))
    if variant != 'grid':
        runs |= generations(examples)
    config.runs = runs
    return config


def strengths_of(method: str) -> tuple[float, ...]:
    """Four, and the next one beyond an end at which the best of the four lies."""
    if method in WHOLE:
        return (1.0,)
    best = chosen(key(method))
    lower, higher = BEYOND
    return (*((lower,) if best <= STRENGTHS[0] else ()), *STRENGTHS, *((higher,) if best >= STRENGTHS[-1] else ()))


def at(run: str, strength: float) -> str:
    """The run of `grid` that has a method at a strength: 'kd_x0_3'."""
    return f'{run}_x{strength:g}'.replace('.', '_')


def chosen(run: str) -> float:
    """The strength of a method, by the name of its run."""
    return next((strength for strength, names in CHOSEN.items() if run in names), 1.0)


def cells(line: str) -> list[str] | None:
    """The cells of a method's row on the page, None for any other line: cells[0] is its name, cells[3] its config."""
    parts = [cell.strip() for cell in line.strip('|').split('|')]
    return parts if line.startswith('| ') and len(parts) == 7 and 'c.' in parts[3] else None


def rows_of(page: str) -> list[list[str]]:
    """The cells of every method of a page."""
    return [row for line in page.splitlines() if (row := cells(line))]


def methods(page: str) -> dict[str, str]:
    """The config of each method of a page, by its name there."""
    return {row[0]: row[3].strip('`') for row in rows_of(page)}


def measured_here() -> dict[str, str]:
    return {name: lines for name, lines in methods(PAGE.read_text()).items() if name not in ELSEWHERE}


def key(method: str) -> str:
    """A method's name as that of a run: 'class-wise (CS-KD)' is 'class_wise_cs_kd'."""
    return re.sub(r'\W+', '_', method.replace("'", '')).strip('_').lower()


def common(examples: int) -> dict[str, Any]:
    return {
        'data': dict(source='mnist_pairs', train=MANY, valid=VALID, examples=examples, shrink=2, jitter=1),
        'batch_size': 64,
        'epochs': EPOCHS[examples],
        'eval_every': EPOCHS[examples],
        'optimizer': dict(name='adamw', learning_rate=dict(schedule='cosine', peak=0.02, warmup=0.1)),
    }


def alone(name: str, channels: tuple[int, ...], examples: int, copies: int = 0) -> dict[str, Any]:
    """One network, or several copies, on labels."""
    network = dict(model='cnn', channels=channels, num_classes=100, copies=copies)
    hard = dict(loss='cross_entropy', logits=f'{name}.logits', labels='batch.label')
    return {**common(examples), 'networks': {name: network}, 'terms': {'hard': hard}}


def run_of(method: str, examples: int, lines: str = '', strength: float = 1.0) -> dict[str, Any]:
    """A student taught by a method, the student alone for ''; in all runs the teacher is there to be agreed with."""
    c = ConfigDict(alone('student', STUDENT, examples))
    c.networks.teacher = dict(model='cnn', channels=TEACHER, update='frozen', init='run:teacher')
    c.evaluate = {}
    exec(lines, {'c': c})
    run = c.to_dict()
    measured = MEASURED.get(method, 'student')
    run['evaluate'] = {'student': dict(logits=f'{measured}.logits', teacher='teacher.logits')}
    if method in STUDENTS:
        del run['networks']['student']
    if method in WITHOUT_LABELS:
        del run['terms']['hard']
    for network in run['networks'].values():
        if network.get('model') in ('cnn', 'classifier'):
            network['num_classes'] = 100
    for name, term in run['terms'].items():
        if not name.endswith('hard'):  # on labels
            term['weight'] = scaled(term.get('weight', 1.0), strength)
        if 'shares' in term:
            members = 'result:teachers.analyses.ensemble.valid.members.accuracies'
            term['shares'] = tuple(f'{members}.{number}' for number in range(3))
    return run


def scaled(weight: Any, strength: float) -> Any:
    """A weight times a number; of a linear schedule, both ends."""
    if isinstance(weight, Mapping):
        return {**weight, 'start': weight['start'] * strength, 'end': weight['end'] * strength}
    return weight * strength


def generations(examples: int) -> dict[str, Any]:
    """Born-again networks, and a teacher's assistant: runs whose teachers are runs."""
    kd = measured_here()['KD']

    def taught(teacher: tuple[int, ...], init: str, student: tuple[int, ...] = STUDENT) -> dict[str, Any]:
        run = run_of('KD', examples, kd, chosen('kd'))
        run['networks']['teacher'] |= dict(channels=teacher, init=init)
        run['networks']['student']['channels'] = student
        return run

    return {
        'born_again_1': taught(STUDENT, 'run:baseline/student'),
        'born_again_2': taught(STUDENT, 'run:born_again_1/student'),
        'assistant': taught(TEACHER, 'run:teacher', ASSISTANT),
        'from_assistant': taught(ASSISTANT, 'run:assistant/student'),
    }


def labels() -> dict[str, str]:
    """What the students of a study are called, by run."""
    names = {key(method): method for method in measured_here()}
    others = {name: name.replace('_', ' ') for name in generations(FEW)}
    return {'baseline': 'labels alone', **names, **others}


def costs() -> dict[str, dict[str, float]]:
    """What `python -m benchmarks.methods` measured of a step of each run; nothing where it has not been run."""
    return {row['method']: row for row in json.loads(COSTS.read_text())['rows']} if COSTS.exists() else {}


def get_report(variant: str = '') -> dict[str, Any]:
    """A table and a picture of all methods; for `grid`, of what each strength gave on validation pairs."""
    if variant == 'grid':
        strengths = [(method, s) for method in measured_here() for s in strengths_of(method)]
        runs = {'baseline': 'labels alone', **{at(key(m), s): f'{m}, × {s:g}' for m, s in strengths}}
        columns = {'accuracy (validation)': 'last.valid.student.accuracy'}
    else:
        runs = labels()
        columns = {
            'accuracy': 'last.test.student.accuracy',
            'agreement with the teacher': 'last.test.student.agreement',
            'accuracy (validation)': 'last.valid.student.accuracy',
        }
    accuracy = next(iter(columns.values()))
    values = {label: f'{run}:{accuracy}' for run, label in runs.items()}
    of_teacher = {
        name: None if 'agreement' in path else path.replace('student', 'teacher') for name, path in columns.items()
    }
    rows = {'teacher': dict(columns=of_teacher), **{run: dict(label=label) for run, label in runs.items()}}
    figures: dict[str, dict[str, Any]] = {}
    cost = {runs[run]: row['time, KD = 1'] for run, row in costs().items() if run in runs}
    if variant != 'grid' and cost:
        first = {row[0]: re.split(r'\W', row[1])[0] for row in rows_of(PAGE.read_text())}
        groups = {label: kind if (kind := first.get(label)) in KNOWLEDGE else 'other schemes' for label in cost}
        figures['cost'] = dict(
            title='Accuracy and cost of a step', kind='scatter', xlabel='time of a step, KD = 1', log_x=True,
            ylabel='accuracy of the student', values={label: values[label] for label in cost}, x=cost, groups=groups,
            named=['KD', 'labels alone'],
            caption='Named are KD, labels alone, and those that no other beats in both. Times of a step with a live '
            'teacher are from benchmarks/results/methods.json. Mean and standard deviation of three seeds.',
        )  # fmt: skip
    return {
        'tables': {'methods': dict(title='Every method, last epoch', columns=columns, rows=rows)},
        'figures': figures,
    }
