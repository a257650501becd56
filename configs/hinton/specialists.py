"""Hinton, Vinyals & Dean (2015), section 5, on three-digit numbers: a generalist and its specialists.

  python -m experiments.run --config=configs/hinton/specialists.py      # three seeds, about an hour on one core

The images are three MNIST digits side by side, so there are 1,000 classes, and numbers that differ in one digit are
confused. The generalist trains for ten epochs, and its validation error is flat at their end; a longer schedule still
ends lower. Specialists then learn subsets of classes that it confuses. Three rows have the same cost as generalist and
specialists together: one net trained longer, a wider one, and an ensemble of two. Cost is the number of parameters
times the number of training examples seen. Nothing is chosen on test images; the sizes were set before the study ran.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.hinton_mnist import adam

VARIANTS = ('',)
CLASSES, SPECIALISTS, SUBSET = 1000, 12, 100
TRAIN, PIXELS = 400_000, 14 * 42
DATA = dict(source='mnist_numbers', digits=3, shrink=2, train=TRAIN, valid=10_000, test=10_000)
WIDTH, EPOCHS, EVERY = 128, 10, 1
SPECIALIST_EPOCHS = 5  # of twice the images of its classes each
TRANSFER, TRANSFER_EPOCHS = 100_000, 40  # of students; recorded targets of 1,000 classes take 2 kB each
SOFT_T = 2.0  # temperature of all soft targets
HEADINGS = {'test': 'test accuracy', 'valid': 'validation accuracy'}
KINDS = {'specialist': 'started from the generalist', 'fresh': 'started from nothing', 'soft': 'with soft targets'}


def parameters(width: int, classes: int = CLASSES) -> int:
    """The number of weights and biases of a net with two hidden layers of this width."""
    return (PIXELS + 1) * width + (width + 1) * width + (width + 1) * classes


GENERALIST_COST = parameters(WIDTH) * EPOCHS * TRAIN
EXTRA_COST = SPECIALISTS * parameters(WIDTH, SUBSET + 1) * SPECIALIST_EPOCHS * 2 * TRAIN * SUBSET // CLASSES
TOTAL_COST = GENERALIST_COST + EXTRA_COST
LONGER = round(TOTAL_COST / (parameters(WIDTH) * TRAIN))
WIDER = next(width for width in range(WIDTH, 1000) if parameters(width) * EPOCHS * TRAIN >= TOTAL_COST)
MEMBERS = 2
MEMBER_EPOCHS = round(TOTAL_COST / (MEMBERS * parameters(WIDTH) * TRAIN))
COST_TEXT = (
    f'Cost, as parameters x examples: generalist {GENERALIST_COST / 1e12:.2f}e12, {SPECIALISTS} specialists '
    f'{EXTRA_COST / 1e12:.2f}e12, together {TOTAL_COST / 1e12:.2f}e12. The three other rows cost as much: {LONGER} '
    f'epochs instead of {EPOCHS}, {WIDER} units instead of {WIDTH}, or {MEMBERS} nets of {MEMBER_EPOCHS} epochs.'
)


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = 'hinton_specialists'
    config.title = 'A generalist and its specialists: three-digit numbers'
    config.text = __doc__.split('\n\n')[-1].strip().replace('\n', ' ')
    config.seeds = 3
    config.runs = generalists() | specialists() | combinations() | distilled_back()
    return config


def net(width: int = WIDTH, classes: int = CLASSES, **options: Any) -> dict[str, Any]:
    return dict(model='mlp', hidden=(width, width), num_classes=classes, **options)


def hard(network: str, **options: Any) -> dict[str, Any]:
    return dict(loss='cross_entropy', logits=f'{network}.logits', labels='batch.label', **options)


def frozen(run: str, **options: Any) -> dict[str, Any]:
    return net(update='frozen', init=f'run:{run}', **options)


def training(epochs: int, networks: dict[str, Any], terms: dict[str, Any], **options: Any) -> dict[str, Any]:
    common = {'data': DATA, 'batch_size': 128, 'eval_every': EVERY, 'optimizer': adam()}
    return {**common, 'epochs': epochs, 'networks': networks, 'terms': terms, **options}


def subset(number: int) -> str:
    return f'result:generalist.analyses.confusable.subsets.{number}'


def generalists() -> dict[str, Any]:
    """The generalist, and what could be trained in place of specialists."""
    confusable = dict(
        analysis='confusable_classes', logits='generalist.logits', clusters=SPECIALISTS, size=SUBSET,
        scale='correlation',
    )  # fmt: skip
    terms = {'hard': hard('generalist')}
    members = training(MEMBER_EPOCHS, {'member': net(copies=MEMBERS)}, {'hard': hard('member')})
    together = dict(analysis='ensemble', logits='member.logits', labels='batch.label')
    return {
        'generalist': training(EPOCHS, {'generalist': net()}, terms, analyses={'confusable': confusable}),
        'longer': training(LONGER, {'generalist': net()}, terms),
        'wider': training(EPOCHS, {'generalist': net(WIDER)}, terms),
        'members': dict(members, analyses={'ensemble': together}),
    }


def specialists() -> dict[str, Any]:
    """Three kinds of specialists; those with soft targets also learn what the generalist says of their images."""
    runs = {}
    head = dict(classes=SUBSET + 1)
    for m in range(SPECIALISTS):
        data = dict(DATA, subset=subset(m))
        started = net(**head, init='run:generalist', fresh=('head',))
        terms = {'hard': hard('specialist')}
        runs[f'specialist_{m}'] = training(SPECIALIST_EPOCHS, {'specialist': started}, terms, data=data)
        runs[f'fresh_{m}'] = training(SPECIALIST_EPOCHS, {'specialist': net(**head)}, terms, data=data)
        said = dict(model='subset_logits', input='generalist.logits', update='frozen', size=SUBSET, subset=subset(m))
        networks = {'specialist': started, 'generalist': frozen('generalist'), 'said': said}
        soft = dict(loss='kd', student='specialist.logits', target='said.logits', t=SOFT_T, weight=0.5)
        both = {'hard': hard('specialist', weight=0.5), 'soft': soft}
        evaluate = {'specialist': dict(logits='specialist.logits')}
        runs[f'soft_{m}'] = training(SPECIALIST_EPOCHS, networks, both, data=data, evaluate=evaluate)
    return runs


def experts(kind: str) -> dict[str, Any]:
    """The generalist and its specialists of one kind, frozen."""
    names = range(SPECIALISTS)
    own = {f's{m}': frozen(f'{kind}_{m}/specialist', classes=SUBSET + 1) for m in names}
    return {'generalist': frozen('generalist'), **own}


def oversampling(kind: str) -> tuple[str, ...]:
    return tuple(f'result:{kind}_{m}.oversampling' for m in range(SPECIALISTS))


def combinations() -> dict[str, Any]:
    """Generalist and specialists together, with and without the correction of the dustbin class."""
    runs = {}
    for kind in KINDS:
        scored = dict(
            analysis='specialists', generalist='generalist.logits', labels='batch.label', steps=50,
            specialist=tuple(f's{m}.logits' for m in range(SPECIALISTS)),
            subsets='result:generalist.analyses.confusable.subsets',
        )  # fmt: skip
        runs[f'combined_{kind}'] = {
            'data': DATA, 'batch_size': 128, 'epochs': 0, 'networks': experts(kind),
            'evaluate': {'generalist': dict(logits='generalist.logits')},
            'analyses': {'corrected': dict(scored, oversampling=oversampling(kind)), 'uncorrected': scored},
        }  # fmt: skip
    return runs


def distilled_back() -> dict[str, Any]:
    """One net of the generalist's size that learns from generalist and specialists, or from the generalist alone."""
    together = dict(
        model='combined_experts', input=('generalist.logits', *(f's{m}.logits' for m in range(SPECIALISTS))),
        update='frozen', subsets='result:generalist.analyses.confusable.subsets',
        oversampling=oversampling('specialist'),
    )  # fmt: skip
    sources = {
        'distilled_combined': ({**experts('specialist'), 'combined': together}, 'combined.logits'),
        'distilled_generalist': ({'generalist': frozen('generalist')}, 'generalist.logits'),
    }
    runs = {}
    for name, (teachers, target) in sources.items():
        soft = dict(loss='kd', student='student.logits', target=target, t=SOFT_T)
        evaluate = {'student': dict(logits='student.logits', teacher=target)}
        runs[name] = training(
            TRANSFER_EPOCHS, {**teachers, 'student': net()}, {'soft': soft}, cache=dict(dtype='float16'),
            data=dict(DATA, examples=TRANSFER), evaluate=evaluate,
        )  # fmt: skip
    return runs


def get_report(variant: str = '') -> dict[str, Any]:
    return {
        'tables': {'cost': cost_table(), 'kinds': kinds_table(), 'covering': covering_table(), 'back': back_table()},
        'claims': claims(),
        'figures': {
            'curves': dict(
                title='The generalist, trained longer and wider', kind='curves', y='valid.generalist.errors',
                runs={'generalist': 'generalist', 'trained longer': 'longer', 'wider': 'wider'},
                ylabel='errors of 10,000 validation images',
            )
        },
    }  # fmt: skip


def claims() -> dict[str, Any]:
    """What the paper says of specialists, and what it leaves open, as differences of test accuracy."""

    def difference(title: str, value: str, low: str, **held: Any) -> dict[str, Any]:
        return dict(title=title, kind='difference', value=value, low=low, rule=dict(above=0), **(held or elsewhere))

    elsewhere = dict(regime='three-digit numbers instead of JFT')
    scored = 'analyses.corrected.test'
    combined = f'combined_specialist:{scored}.combined.accuracy'
    covering = f'combined_specialist:{scored}.covering'
    alone = 'last.test.generalist.accuracy'
    ensemble = 'members:analyses.ensemble.test.probabilities.accuracy'
    return {
        'gain': dict(
            title='Relative gain in accuracy by specialists', kind='number', paper=0.044, rule=dict(above=0),
            value=f'combined_specialist:{scored}.relative_accuracy_gain', **elsewhere,
        ),
        'covering': difference(
            'Relative gain with three specialists that cover the class, over one',
            f'{covering}.3.relative_accuracy_change', f'{covering}.1.relative_accuracy_change',
        ),
        'started': difference(
            'Specialists that start from the generalist, over new ones',
            combined, f'combined_fresh:{scored}.combined.accuracy',
        ),
        'dustbin': difference(
            'Dustbin corrected, over not corrected',
            combined, 'combined_specialist:analyses.uncorrected.test.combined.accuracy',
        ),
        'soft': difference(
            'Specialists with soft targets, over labels alone', f'combined_soft:{scored}.combined.accuracy', combined
        ),
        'longer': difference('At equal cost: specialists, over training longer', combined, f'longer:{alone}', own=True),
        'wider': difference('At equal cost: specialists, over a wider net', combined, f'wider:{alone}', own=True),
        'ensemble': difference('At equal cost: specialists, over an ensemble', combined, ensemble, own=True),
        'back': difference(
            'One net: student of generalist and specialists, over student of the generalist',
            'distilled_combined:last.test.student.accuracy', 'distilled_generalist:last.test.student.accuracy',
            own=True,
        ),
    }  # fmt: skip


def cost_table() -> dict[str, Any]:
    combined = {split: f'analyses.corrected.{split}.combined.accuracy' for split in ('test', 'valid')}
    ensemble = {split: f'analyses.ensemble.{split}.probabilities.accuracy' for split in ('test', 'valid')}
    rows: dict[str, dict[str, Any]] = {
        'generalist': dict(label=f'generalist, {WIDTH} units, {EPOCHS} epochs, at a smaller cost'),
        'combined_specialist': dict(label=f'generalist and {SPECIALISTS} specialists', columns=combined),
        'longer': dict(label=f'trained longer, {LONGER} epochs'),
        'wider': dict(label=f'wider, {WIDER} units'),
        'members': dict(label=f'ensemble of {MEMBERS}, {MEMBER_EPOCHS} epochs each', columns=ensemble),
    }
    own = {heading: f'last.{split}.generalist.accuracy' for split, heading in HEADINGS.items()}
    rows = {name: dict(row, columns=under_headings(row.get('columns', {}))) for name, row in rows.items()}
    return dict(title='What is worth its cost', text=COST_TEXT, baseline='generalist', columns=own, rows=rows)


def under_headings(paths: dict[str, str]) -> dict[str, str]:
    return {HEADINGS[split]: path for split, path in paths.items()}


def kinds_table() -> dict[str, Any]:
    rows = {'generalist': dict(run='combined_specialist', label='generalist alone', columns=path_of('generalist'))}
    for kind, words in KINDS.items():
        for corrected, said in (('corrected', 'dustbin corrected'), ('uncorrected', 'dustbin not corrected')):
            rows[f'{kind}_{corrected}'] = dict(
                run=f'combined_{kind}', label=f'{words}, {said}', columns=path_of('combined', corrected)
            )
    return dict(
        title='Kinds of specialists', columns=path_of('combined'), rows=rows, baseline='generalist',
        text='The paper starts specialists from the generalist and corrects the dustbin by the oversampling. The '
        'specialists with soft targets learn labels and the generalist’s predictions at equal weight, on all of their '
        'images; the paper proposes soft targets for the images of the dustbin.',
    )  # fmt: skip


def path_of(which: str, corrected: str = 'corrected') -> dict[str, str]:
    return under_headings({split: f'analyses.{corrected}.{split}.{which}.accuracy' for split in HEADINGS})


def covering_table() -> dict[str, Any]:
    def row(number: int) -> dict[str, str]:
        at = f'analyses.corrected.test.covering.{number}'
        return {
            'images': f'{at}.examples', 'generalist accuracy': f'{at}.generalist_accuracy',
            'combined accuracy': f'{at}.combined_accuracy', 'relative change': f'{at}.relative_accuracy_change',
        }  # fmt: skip

    rows = {f'by{k}': dict(run='combined_specialist', label=f'{k} specialists', columns=row(k)) for k in range(6)}
    return dict(
        title='By the number of specialists that cover the true class', columns=row(0), rows=rows,
        text="In the paper's table 4, the gain grows with this number.",
    )  # fmt: skip


def back_table() -> dict[str, Any]:
    generalist, combined = path_of('generalist'), path_of('combined')
    return dict(
        title='Distilled back into one net of the generalist’s size', baseline='generalist',
        text='The paper leaves this open. A student of the generalist alone shows what distillation itself brings. '
        f'Students see {TRANSFER:,} of the {TRAIN:,} training images, {TRANSFER_EPOCHS} times.',
        columns=under_headings({split: f'last.{split}.student.accuracy' for split in HEADINGS}),
        rows={
            'generalist': dict(run='combined_specialist', label='generalist', columns=generalist),
            'combined': dict(run='combined_specialist', label='generalist and specialists', columns=combined),
            'distilled_combined': dict(label='student of generalist and specialists'),
            'distilled_generalist': dict(label='student of the generalist alone'),
        },
    )  # fmt: skip
