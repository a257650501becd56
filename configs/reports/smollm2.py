"""How the study of smollm2.py is shown: tables, claims and figures."""

from collections.abc import Mapping, Sequence
from typing import Any

Config = dict[str, Any]
LABELS = {
    'kd': 'every second layer, taught', 'labels': 'every second layer, labels alone',
    'scratch': 'the same shape, random weights, taught', 'narrow': 'narrow and deep, random weights, taught',
}  # fmt: skip
SHORT = {'taught': 'kd', 'labels alone': 'labels', 'random, taught': 'scratch', 'narrow, taught': 'narrow'}
FITTED = (
    'Solid: after each evaluation. Dashed: a + b·n^−c, fitted to them, up to {} times as many tokens. This is a guess: '
    'three numbers are fitted to few points of one training, whose learning rate falls to zero at its end, so its '
    'early points lie higher than the ends of shorter trainings.'
)
COST = {
    'parameters': 'samples.parameters', 'MB': 'samples.megabytes', 'tokens read a second': 'samples.reading',
    'tokens written a second': 'samples.writing',
}  # fmt: skip
COST_ROWS = {
    'teacher': dict(label='teacher'), 'kd': dict(label='every second layer'), 'narrow': dict(label='narrow and deep'),
}  # fmt: skip


def report(tokens: int, quarter: bool) -> Config:
    """Numbers on held-out documents, shares of the gap, curves over tokens.

    Args:
      tokens: that each arm sees.
      quarter: whether two arms see a quarter of them, too.
    """
    more = 16
    before = {'teacher': 'teacher', 'halved': 'every second layer, not trained'}
    rows: Config = {name: dict(label=label) for name, label in {**before, **LABELS}.items()}
    rows['teacher']['columns'] = columns('teacher')
    curves = {
        metric: dict(
            title=f'{title} on held-out documents over tokens seen', kind='curves', runs=SHORT,
            y=f'test.student.{metric}', ylabel=f'{title}, held out', per_epoch=tokens / 1000,
            xlabel='thousand tokens seen', log_x=True, times=more, caption=FITTED.format(more),
            reference={'teacher': f'teacher:last.test.teacher.{metric}'},
        )
        for metric, title in (('nll', 'NLL'), ('bits_per_byte', 'Bits a byte'))
    }  # fmt: skip
    shares = {
        f'recovered_{name}': dict(
            title=f'Share of the gap from halving to the teacher: {label}', kind='share',
            value=f'{name}:last.test.student.nll', low='halved:last.test.student.nll',
            high='teacher:last.test.teacher.nll',
        )
        for name, label in LABELS.items()
    }  # fmt: skip
    of_labels = dict(shares['recovered_kd'], low='labels:last.test.student.nll')
    of_labels['title'] = 'Share of the gap from labels alone to the teacher that distillation closes'
    held_out = dict(
        title='On held-out documents', columns=columns('student'), rows=rows, baseline='labels',
        teachers=('teacher', 'halved'),
    )  # fmt: skip
    tables: Config = {'held_out': held_out, 'cost': dict(title='Size and speed', columns=COST, rows=COST_ROWS)}
    if quarter:
        named = {f'{name}_quarter': dict(label=f'{LABELS[name]}, a quarter') for name in ('kd', 'labels')}
        tables['quarter'] = dict(
            title=f'On a quarter of the tokens, {tokens // 4:,}, with three seeds',
            columns=columns('student'), rows=named, baseline='labels_quarter',
        )  # fmt: skip
    recovered = {label: f'recovered_{name}' for label, name in SHORT.items()}
    curves['recovered'] = dict(
        title='Share of the gap from halving to the teacher', kind='shares', claims=recovered,
        caption='0 is the halved teacher before training, 1 is the teacher; NLL on held-out documents.',
    )  # fmt: skip
    ends = {
        f'more_{name}': dict(
            title=f'NLL with {more} times as many tokens: {label}', kind='extrapolation',
            value=f'{name}:last.test.student.nll', times=more,
        )
        for name, label in LABELS.items()
    }  # fmt: skip
    claims = {'recovered': of_labels, **shares, **ends}
    if quarter:
        nll = 'last.test.student.nll'
        claims['quarter'] = dict(
            title='Distillation, over labels alone, on a quarter of the tokens, change in NLL', kind='difference',
            value=f'kd_quarter:{nll}', low=f'labels_quarter:{nll}', rule=dict(below=0.0), own=True,
        )  # fmt: skip
    return {'tables': tables, 'claims': claims, 'figures': curves}


def columns(network: str) -> Config:
    names = {'NLL': 'nll', 'bits a byte': 'bits_per_byte', 'next token': 'accuracy'}
    return {title: f'last.test.{network}.{metric}' for title, metric in names.items()}


def report_of_choices(rates_of: Mapping[str, Sequence[float]], begun: Config) -> Config:
    """Validation documents alone: the layers, right after halving and trained; the learning rates of each arm."""
    nll = {'NLL': 'last.valid.student.nll'}
    kept = {
        'even': 'layers 2, 4, ..., 30', 'odd': 'layers 1, 3, ..., 29', 'ends': 'layers 1, 3, ..., 13, 16, ..., 30',
        'late': 'layers 16 to 30',
    }  # fmt: skip
    started = {f'{name}_start': dict(label=label) for name, label in kept.items()}
    tables = {
        'kept': dict(title='Layers kept, trained', columns=nll, rows={n: dict(label=t) for n, t in kept.items()}),
        'start': dict(title='Layers kept, right after halving', columns=nll, rows=started),
    }
    for name, rates in rates_of.items():
        rows = {f'{name}_{rate:g}'.replace('.', '_'): dict(label=f'{rate:g}') for rate in rates}
        rows |= {'even': dict(label=f'{begun["kd"]:g}')} if name == 'kd' else {}
        tables[name] = dict(title=f'Learning rate: {LABELS[name]}', columns=nll, rows=rows)
    tried = {arm: [f'{name}_*', *['even'] * (name == 'kd')] for arm, name in SHORT.items()}
    figure = dict(
        title='Learning rates', kind='lines', runs=tried, x='config.optimizer.learning_rate.peak',
        y='last.valid.student.nll', log_x=True, xlabel='learning rate', ylabel='NLL of validation documents',
    )  # fmt: skip
    return {'tables': tables, 'figures': {'rates': figure}, 'lead': 'rates'}
