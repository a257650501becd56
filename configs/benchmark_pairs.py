"""Compares the methods for images of docs/methods.md: a CNN teaches a smaller CNN the 100 classes of pairs of digits.

  python -m experiments.run --config=configs/benchmark_pairs.py:grid   # searches the strength of each method, one seed
  python -m experiments.run --config=configs/benchmark_pairs.py:low    # 1,000 images for the students
  python -m experiments.run --config=configs/benchmark_pairs.py        # 10,000 images for the students

The configs are those of configs/methods/, as docs/methods.md shows them, so that page shows exactly what is measured.
Every method has the same steps, optimizer, batches, initial weights and order of examples as the student trained on
labels alone. Learning rate, batch size and epochs were chosen for labels alone and for KD, on validation pairs of one
seed. The weight of each term is that of the page times the method's strength, which is given in CHOSEN (1 for methods
not listed there). The strength is the best on 5,000 validation pairs in the study `grid` (1,000 images, seed 0), out of
0.1, 0.3, 1 and 3; where 0.1 or 3 was the best of these four, 0.03 or 10 was tried as well. Correlation congruence has
eight strengths, and SimKD and PS-KD, whose only term is the whole loss, have none. Test pairs consist of digits that
are used nowhere else. The last epoch is reported.
"""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs.methods import METHODS, Method

VARIANTS = ('', 'low', 'grid')
STRENGTHS, BEYOND = (0.1, 0.3, 1.0, 3.0), (0.03, 10.0)
MANY, FEW, VALID = 10_000, 1000, 5000
# No weight of the literature is known for the kernel form of correlation congruence, so more of them are searched.
SEARCHED = {'correlation congruence': (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)}
EPOCHS = {MANY: 6, FEW: 60}
TEACHING = dict(epochs=20, eval_every=20)
TEACHER, ASSISTANT, STUDENT = (16, 32, 64), (12, 24, 48), (8, 16, 32)
KNOWLEDGE, OTHERS = ('response', 'feature', 'relation'), 'other schemes'
ROOT = pathlib.Path(__file__).parents[1]
COSTS = ROOT / 'benchmarks' / 'results' / 'methods.json'
# These methods do not aim at accuracy on these images. They are runs of configs/other_aims.py, or not measured yet.
ELSEWHERE = {
    'robust (ARD)': 'robust_ard', 'robust (RSLAD)': 'robust_rslad', 'cross-modal': 'points_unlabelled',
    'data-free (DAFL)': 'data_free', 'multi-label KD': 'multi_label',
}  # fmt: skip
# Methods that bring their own students; SimKD is measured by the classifier that it takes from the teacher.
STUDENTS = {'codistillation': 'cohort', 'KDCL': 'group'}
MEASURED = {**STUDENTS, 'SimKD': 'classifier'}
# Their only term is the whole loss. AdamW does not depend on its scale, so no strength is searched.
WHOLE = ('SimKD', 'progressive (PS-KD)')
CHOSEN = {  # all others: 1
    0.03: (
        'activation_boundaries', 'nst',
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
        'cosine_of_hidden_states', 'dist', 'ensemble_by_validation_accuracy', 'jsd', 'label_smoothing', 'mlld',
        'overhaul_ofd', 'rkd', 'srrl', 'top_k_targets_with_a_tail',
    ),
    10.0: (
        'adversarial_features', 'cka', 'deep_supervision', 'ensemble', 'fitnet', 'ickd', 'kendalls_tau',
        'logit_standardisation', 'pkt', 'reviewkd', 'vid',
    ),
    30.0: ('correlation_congruence',),
}  # fmt: skip


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = f'benchmark_pairs_{variant}' if variant else 'benchmark_pairs'
    config.title = 'Methods of distillation side by side'
    config.text = ' '.join(__doc__.split('\n\n')[-1].split())
    config.seeds = 1 if variant == 'grid' else 3
    examples = MANY if variant == '' else FEW
    runs = {**teachers(), 'baseline': run_of(None, examples)}
    for name, method in measured_here().items():
        if variant == 'grid':
            for strength in strengths_of(name):
                runs[at(key(name), strength)] = run_of(method, examples, strength)
        else:
            runs[key(name)] = run_of(method, examples, chosen(key(name)))
    if variant != 'grid':
        runs |= generations(examples)
    config.runs = runs
    return config


def teachers() -> dict[str, dict[str, Any]]:
    """The runs that train the teacher and the three teachers of the methods that need several."""
    members = dict(analysis='ensemble', logits='teachers.logits', labels='batch.label', splits=['valid'])
    return {
        'teacher': {**alone('teacher', TEACHER, MANY), **TEACHING},
        'teachers': {**alone('teachers', TEACHER, MANY, copies=3), **TEACHING, 'analyses': {'ensemble': members}},
    }


def strengths_of(method: str) -> tuple[float, ...]:
    """The strengths that `grid` tries: four, and one more if the best of them is the lowest or the highest."""
    if method in WHOLE:
        return (1.0,)
    if method in SEARCHED:
        return SEARCHED[method]
    best = chosen(key(method))
    lower, higher = BEYOND
    return (*((lower,) if best <= STRENGTHS[0] else ()), *STRENGTHS, *((higher,) if best >= STRENGTHS[-1] else ()))


def at(run: str, strength: float) -> str:
    """The name of the run of `grid` with a method at a strength, for example 'kd_x0_3'."""
    return f'{run}_x{strength:g}'.replace('.', '_')


def chosen(run: str) -> float:
    """The strength of a method, by the name of its run."""
    return next((strength for strength, names in CHOSEN.items() if run in names), 1.0)


def measured_here() -> dict[str, Method]:
    return {name: method for name, method in METHODS.items() if name not in ELSEWHERE}


def key(method: str) -> str:
    """The name of a method's run: 'class-wise (CS-KD)' gives 'class_wise_cs_kd'."""
    return re.sub(r'\W+', '_', method.replace("'", '')).strip('_').lower()


def common(examples: int) -> dict[str, Any]:
    return {
        'data': dict(source='mnist_pairs', train=MANY, valid=VALID, examples=examples, shrink=2, augment=dict(crop=1)),
        'batch_size': 64,
        'epochs': EPOCHS[examples],
        'eval_every': EPOCHS[examples],
        'optimizer': dict(name='adamw', learning_rate=dict(schedule='cosine', peak=0.02, warmup=0.1)),
    }


def alone(name: str, channels: tuple[int, ...], examples: int, copies: int = 0) -> dict[str, Any]:
    """One network, or several copies of it, trained on labels."""
    network = dict(model='cnn', channels=channels, num_classes=100, copies=copies)
    hard = dict(loss='cross_entropy', logits=f'{name}.logits', labels='batch.label')
    return {**common(examples), 'networks': {name: network}, 'terms': {'hard': hard}}


def run_of(method: Method | None, examples: int, strength: float = 1.0) -> dict[str, Any]:
    """A student taught by a method, or by labels alone for None.

    Every run has the teacher, so that the agreement with it can be measured.
    """
    run = {**alone('student', STUDENT, examples), 'evaluate': {}}
    run['networks']['teacher'] = dict(model='cnn', channels=TEACHER, update='frozen', init='run:teacher')
    if method:
        for part, added in method.parts().items():
            run[part] |= added
    method_name = method.name if method else ''
    measured = MEASURED.get(method_name, 'student')
    run['evaluate'] = {'student': dict(logits=f'{measured}.logits', teacher='teacher.logits')}
    if method_name in STUDENTS:
        del run['networks']['student']
    if method_name in STUDENTS or (method and method.without_labels):
        del run['terms']['hard']
    for network in run['networks'].values():
        if network.get('model') in ('cnn', 'classifier'):
            network['num_classes'] = 100
    for name, term in run['terms'].items():
        if not name.endswith('hard'):  # these are the terms on labels
            term['weight'] = scaled(term.get('weight', 1.0), strength)
        if 'shares' in term:
            members = 'result:teachers.analyses.ensemble.valid.members.accuracies'
            term['shares'] = tuple(f'{members}.{number}' for number in range(3))
    return run


def scaled(weight: Any, strength: float) -> Any:
    """The weight times a number; for a linear schedule, both ends are multiplied."""
    if isinstance(weight, Mapping):
        return {**weight, 'start': weight['start'] * strength, 'end': weight['end'] * strength}
    return weight * strength


def generations(examples: int) -> dict[str, Any]:
    """Born-again networks and a teacher assistant: the teachers of these runs are other runs."""

    def taught(teacher: tuple[int, ...], init: str, student: tuple[int, ...] = STUDENT) -> dict[str, Any]:
        run = run_of(METHODS['KD'], examples, chosen('kd'))
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
    """The label of each run in tables and figures."""
    names = {key(name): name for name in measured_here()}
    others = {name: name.replace('_', ' ') for name in generations(FEW)}
    return {'baseline': 'labels alone', **names, **others}


def family(method: Method) -> str:
    """The family of a method: 'response', 'feature', 'relation', 'online', 'self' or 'offline'."""
    return re.split(r'\W', method.kind)[0]


def group(label: str) -> str:
    """The group of a row in a figure: a kind of knowledge, or 'other schemes'."""
    kind = family(METHODS[label]) if label in METHODS else ''
    return kind if kind in KNOWLEDGE else OTHERS


def costs() -> dict[str, dict[str, float]]:
    """The cost of a step of each run, as `python -m benchmarks.methods` measured it; empty without that file."""
    return {row['method']: row for row in json.loads(COSTS.read_text())['rows']} if COSTS.exists() else {}


def get_report(variant: str = '') -> dict[str, Any]:
    """A table and a figure of all methods; for `grid`, a table of the validation accuracy at each strength."""
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
        groups = {label: group(label) for label in cost}
        figures['cost'] = dict(
            title='Accuracy and cost of a step', kind='scatter', xlabel='time of a step, KD = 1', log_x=True,
            ylabel='accuracy of the student', values={label: values[label] for label in cost}, x=cost, groups=groups,
            named=['KD', 'labels alone'],
            caption='Named points: KD, labels alone, and every method that no other method beats in both accuracy and '
            'time. Step times, with a live teacher, are from benchmarks/results/methods.json. Accuracies are means and '
            'standard deviations over three seeds.',
        )  # fmt: skip
    return {
        'tables': {'methods': dict(title='Every method, last epoch', columns=columns, rows=rows)},
        'figures': figures,
        **({'lead': 'cost'} if figures else {}),
    }
