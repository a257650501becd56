"""Hinton, Vinyals & Dean (2015), section 3, on MNIST: the best temperature for students of several widths.

  python -m experiments.run --config=configs/hinton/temperature.py      # two and a half hours on one core

Teachers and students train on 55,000 images. The best temperature is read from the other 5,000 training images, and
test images choose nothing. Each of the five seeds has its own teacher, so the spread over seeds includes the teacher's.
The runs `longer_*` train for twice as long, at T = 5. They make fewer validation errors: two fewer of 52 with 300
units, three of 46 with 800, five of 77 with 100, and 17 of 147 with 30. So nets of 30 units are not flat after 40
epochs, and their best temperature is that of 40 epochs.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.hinton_mnist import adam, baseline, distilled, teacher
from kd_jax.config.sweeps import chain, grid

VARIANTS = ('',)
WIDTHS = (30, 100, 300, 800)
TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
MIDDLE = 5.0  # the temperature at which nets are trained for longer
DATA = dict(source='mnist', valid=5000, valid_by='position')
EPOCHS, TEACHER_EPOCHS, EVERY = 40, 40, 5
CAPTION = (
    'Mean and standard error over seeds. Solid: validation errors, which choose the best temperature (ring). Stripe: '
    'its 95% interval, from a bootstrap over seeds. Dashed: test errors, scaled to as many images. '
    'In the paper, all temperatures above 8 give similar results with 300 or more units in each layer. With 30 units, '
    '2.5 to 4 work significantly better than higher or lower temperatures.'
)


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = 'hinton_temperature'
    config.title = 'The best temperature for students of several widths: MNIST'
    config.text = __doc__.split('\n\n')[-1].strip().replace('\n', ' ')
    config.seeds = 5
    config.runs = runs()
    return config


def runs() -> dict[str, Any]:
    nets = {'networks.student.hidden': [(width, width) for width in WIDTHS]}
    soft = distilled(DATA, t=MIDDLE, epochs=EPOCHS)
    longer = grid(dict(soft, epochs=2 * EPOCHS), nets, 'longer_w{hidden[0]}')
    students = chain(
        grid(baseline(DATA, epochs=EPOCHS, optimizer=adam()), nets, 'w{hidden[0]}_hard'),
        grid(soft, {**nets, 'terms.soft.t': TEMPERATURES}, 'w{hidden[0]}_t{t}'),
        longer,
    )
    taught = {'teacher': teacher(dict(DATA, augment=dict(crop=2)), epochs=TEACHER_EPOCHS), **students}
    return {name: dict(run, eval_every=EVERY, matmul_precision='bfloat16') for name, run in taught.items()}


def get_report(variant: str = '') -> dict[str, Any]:
    valid, test = 'last.valid.student.errors', 'last.test.student.errors'
    after = {f'after {EVERY * (i + 1)}': f'history.{i}.valid.student.errors' for i in (1, 3, 5, 6, 7)}
    swept = [f'w{width}_t*' for width in WIDTHS]
    return {
        'lead': 'best',
        'tables': {f'w{width}': table(width, valid, test) for width in WIDTHS} | {'flat': flat(valid, after)},
        'claims': claims(valid),
        'figures': {
            'best': dict(
                title='Temperature and width', kind='optima', runs=swept, x='config.terms.soft.t', y=valid, beside=test,
                by='config.networks.student.hidden.0', by_label='{} units', log_x=True, xlabel='temperature',
                ylabel='errors of 5,000 validation images', caption=CAPTION,
            ),
            'widths': dict(
                title='Validation errors by width', kind='lines', x='config.networks.student.hidden.0', y=valid,
                runs={'labels': 'w*_hard', f'T = {MIDDLE:g}': f'w*_t{MIDDLE:g}', 'the same, longer': 'longer_w*'},
                log_x=True, xlabel='units in each layer', ylabel='errors of 5,000 validation images',
            ),
            'curves': curves(EPOCHS, f'w{{}}_t{MIDDLE:g}'), 'longer': curves(2 * EPOCHS, 'longer_w{}'),
        },
    }  # fmt: skip


def curves(epochs: int, run: str) -> dict[str, Any]:
    """Learning curves at the middle temperature; `run` is the name of a run, with {} for its width."""
    return dict(
        title=f'Learning curves at T = {MIDDLE:g}, {epochs} epochs', kind='curves', y='valid.student.errors',
        runs={f'{width}-{width}': run.format(width) for width in WIDTHS}, ylabel='errors of 5,000 validation images',
    )  # fmt: skip


def table(width: int, valid: str, test: str) -> dict[str, Any]:
    columns = {
        'validation errors': valid, 'test errors': test, 'test NLL': 'last.test.student.nll',
        'agreement': 'last.test.student.agreement', 'KL from the teacher': 'last.valid.student.kl',
    }  # fmt: skip
    rows = {f'w{width}_hard': dict(label='labels', columns={'agreement': None, 'KL from the teacher': None})}
    rows |= {f'w{width}_t{t:g}'.replace('.', '_'): dict(label=f'T = {t:g}') for t in TEMPERATURES}
    return dict(title=f'{width} units in each layer', columns=columns, rows=rows, baseline=f'w{width}_hard')


def claims(valid: str) -> dict[str, Any]:
    """What the paper says of temperatures, by errors of 5,000 validation images."""
    swept = dict(kind='optimum', x='config.terms.soft.t', y=valid)
    best = {
        f'best_{width}': dict(
            swept, title=f'Best temperature with {width} units in each layer', runs=[f'w{width}_t*'], paper=paper,
            rule=rule,
        )
        for width, paper, rule in (
            (30, '2.5 to 4', dict(at_least=2.5, at_most=4)),
            (300, 'all above 8 alike', dict(at_least=8)),
            (800, 'all above 8 alike', dict(at_least=8)),
        )
    }  # fmt: skip
    worse = {
        f'narrow_{other}': dict(
            title=f'30 units: T = 3 instead of T = {other}, change in errors', kind='difference',
            value=f'w30_t3:{valid}', low=f'w30_t{other}:{valid}', rule=dict(below=0),
        )
        for other in (1, 20)
    }  # fmt: skip
    alike = {
        f'alike_{width}': dict(
            title=f'{width} units: T = 20 instead of T = 8, change in errors (alike: 5 at most)', kind='difference',
            value=f'w{width}_t20:{valid}', low=f'w{width}_t8:{valid}', rule=dict(at_least=-5, at_most=5),
        )
        for width in (300, 800)
    }  # fmt: skip
    errors = 'last.test.student.errors'
    soft_or_hard = dict(
        title='Change in test errors of the net 800-800 with soft targets, one recipe for both (T = 20)',
        kind='difference',
        value=f'w800_t20:{errors}',
        low=f'w800_hard:{errors}',
        paper=-72,
    )
    return {'one_recipe': soft_or_hard} | best | worse | alike


def flat(valid: str, after: dict[str, str]) -> dict[str, Any]:
    rows = {}
    for width in WIDTHS:
        rows[f'w{width}_t{MIDDLE:g}'] = dict(label=f'{width} units, {EPOCHS} epochs')
        rows[f'longer_w{width}'] = dict(label=f'{width} units, {2 * EPOCHS} epochs')
    return dict(
        title=f'Are {EPOCHS} epochs enough? Validation errors at T = {MIDDLE:g}',
        text='The learning rate falls to zero over the whole run, so the last epochs are always flat. Training for '
        'twice as long says more.',
        columns={**after, 'at the end': valid}, rows=rows,
    )  # fmt: skip
