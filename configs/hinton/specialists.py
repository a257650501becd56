"""Hinton, Vinyals & Dean (2015), section 5, on three-digit numbers: a generalist and its specialists.

  python -m experiments.run --config=configs/hinton/specialists.py      # three seeds, some three hours on one core
  python -m experiments.run --config=configs/hinton/specialists.py:few  # with a quarter of the images: about an hour

The images are three MNIST digits side by side, so there are 1,000 classes, and numbers that differ in one digit are
confused. Specialists learn subsets of classes that the generalist confuses. Three rows have the same cost as generalist
and specialists together: one net trained longer, a wider one, and an ensemble of two. Cost is the number of parameters
times the number of training examples seen. Nothing is chosen on test images.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from configs.hinton_mnist import adam

CLASSES, SPECIALISTS, SUBSET, PIXELS, MEMBERS = 1000, 12, 100, 14 * 42, 2
TRANSFER, TRANSFER_EPOCHS = 100_000, 40  # of students; recorded targets of 1,000 classes take 2 kB each
SOFT_T = 2.0  # temperature of all soft targets
HEADINGS = {'test': 'test accuracy', 'valid': 'validation accuracy'}
KINDS = {'specialist': 'started from the generalist', 'fresh': 'started from nothing', 'soft': 'with soft targets'}


class Setting(NamedTuple):
    """How much there is to learn from, and how much is learned.

    Attributes:
      train: number of training images.
      width: units in each of the two hidden layers of the generalist and of every specialist.
      epochs: of the generalist.
      specialist_epochs: of a specialist, each of twice the images of its classes.
      text: what it stands for.
    """

    train: int
    width: int
    epochs: int
    specialist_epochs: int
    text: str

    def parameters(self, width: int = 0, classes: int = CLASSES) -> int:
        """The number of weights and biases of a net with two hidden layers."""
        width = width or self.width
        return (PIXELS + 1) * width + (width + 1) * width + (width + 1) * classes

    @property
    def generalist_cost(self) -> int:
        return self.parameters() * self.epochs * self.train

    @property
    def extra_cost(self) -> int:
        """Of all specialists."""
        examples = self.specialist_epochs * 2 * self.train * SUBSET // CLASSES
        return SPECIALISTS * self.parameters(classes=SUBSET + 1) * examples

    @property
    def total_cost(self) -> int:
        return self.generalist_cost + self.extra_cost

    @property
    def longer(self) -> int:
        """Epochs of a generalist at the cost of generalist and specialists."""
        return round(self.total_cost / (self.parameters() * self.train))

    @property
    def wider(self) -> int:
        """Units of a generalist at this cost."""
        widths = range(self.width, 1000)
        return next(width for width in widths if self.parameters(width) * self.epochs * self.train >= self.total_cost)

    @property
    def member_epochs(self) -> int:
        """Epochs of each member of an ensemble at this cost."""
        return round(self.total_cost / (MEMBERS * self.parameters() * self.train))


SETTINGS = {
    '': Setting(
        1_600_000, 64, 12, 12,
        'The nets are small and the images many, so that size limits them, as in the paper. A trial with one seed '
        '(4 epochs of the generalist, 3 or 12 of specialists) showed that specialists must be trained long.',
    ),
    'few': Setting(
        400_000, 128, 10, 5,
        'A specialist sees 40,000 images of its classes. That is too few to know these better than the generalist.',
    ),
}  # fmt: skip
VARIANTS = tuple(SETTINGS)


def get_config(variant: str = '') -> ConfigDict:
    config, setting = ConfigDict(), SETTINGS[variant]
    config.name = '_'.join(filter(None, ('hinton_specialists', variant)))
    config.title = 'A generalist and its specialists: three-digit numbers'
    config.text = f'{__doc__.split(chr(10) * 2)[-1].strip()} {setting.text}'.replace('\n', ' ')
    config.seeds = 3
    runs = generalists(setting) | specialists(setting) | combinations() | distilled_back()
    config.runs = {name: settled(run, setting) for name, run in runs.items()}
    return config


def settled(run: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """The run with the data and the sizes of nets of a setting."""
    common = dict(source='mnist_numbers', digits=3, shrink=2, train=setting.train, valid=10_000, test=10_000)
    nets = {name: sized(options, setting) for name, options in run['networks'].items()}
    return dict(run, data=common | run.get('data', {}), networks=nets)


def sized(options: dict[str, Any], setting: Setting) -> dict[str, Any]:
    return {'hidden': (setting.width,) * 2, **options} if options['model'] == 'mlp' else options


def net(classes: int = CLASSES, **options: Any) -> dict[str, Any]:
    return dict(model='mlp', num_classes=classes, **options)


def hard(network: str, **options: Any) -> dict[str, Any]:
    return dict(loss='cross_entropy', logits=f'{network}.logits', labels='batch.label', **options)


def frozen(run: str, **options: Any) -> dict[str, Any]:
    return net(update='frozen', init=f'run:{run}', **options)


def training(epochs: int, networks: dict[str, Any], terms: dict[str, Any], **options: Any) -> dict[str, Any]:
    common = {'batch_size': 128, 'optimizer': adam(), 'matmul_precision': 'bfloat16'}
    return {**common, 'epochs': epochs, 'networks': networks, 'terms': terms, **options}


def subset(number: int) -> str:
    return f'result:generalist.analyses.confusable.subsets.{number}'


def generalists(setting: Setting) -> dict[str, Any]:
    """The generalist, and what could be trained in place of specialists."""
    confusable = dict(
        analysis='confusable_classes', logits='generalist.logits', clusters=SPECIALISTS, size=SUBSET,
        scale='correlation',
    )  # fmt: skip
    terms = {'hard': hard('generalist')}
    members = training(setting.member_epochs, {'member': net(copies=MEMBERS)}, {'hard': hard('member')})
    together = dict(analysis='ensemble', logits='member.logits', labels='batch.label')
    return {
        'generalist': training(setting.epochs, {'generalist': net()}, terms, analyses={'confusable': confusable}),
        'longer': training(setting.longer, {'generalist': net()}, terms),
        'wider': training(setting.epochs, {'generalist': net(hidden=(setting.wider,) * 2)}, terms),
        'members': dict(members, analyses={'ensemble': together}),
    }


def specialists(setting: Setting) -> dict[str, Any]:
    """Three kinds of specialists; those with soft targets also learn what the generalist says of their images."""
    runs = {}
    head = dict(classes=SUBSET + 1)
    for m in range(SPECIALISTS):
        data = dict(subset=subset(m))
        started = net(**head, init='run:generalist', fresh=('head',))
        terms = {'hard': hard('specialist')}
        runs[f'specialist_{m}'] = training(setting.specialist_epochs, {'specialist': started}, terms, data=data)
        runs[f'fresh_{m}'] = training(setting.specialist_epochs, {'specialist': net(**head)}, terms, data=data)
        said = dict(model='subset_logits', input='generalist.logits', update='frozen', size=SUBSET, subset=subset(m))
        networks = {'specialist': started, 'generalist': frozen('generalist'), 'said': said}
        soft = dict(loss='kd', student='specialist.logits', target='said.logits', t=SOFT_T, weight=0.5)
        both = {'hard': hard('specialist', weight=0.5), 'soft': soft}
        evaluate = {'specialist': dict(logits='specialist.logits')}
        runs[f'soft_{m}'] = training(setting.specialist_epochs, networks, both, data=data, evaluate=evaluate)
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
            'batch_size': 128, 'epochs': 0, 'networks': experts(kind),
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
            data=dict(examples=TRANSFER), evaluate=evaluate,
        )  # fmt: skip
    return runs


def get_report(variant: str = '') -> dict[str, Any]:
    return {
        'tables': {
            'cost': cost_table(SETTINGS[variant]), 'kinds': kinds_table(), 'covering': covering_table(),
            'back': back_table(SETTINGS[variant]),
        },
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


def cost_table(setting: Setting) -> dict[str, Any]:
    combined = {split: f'analyses.corrected.{split}.combined.accuracy' for split in ('test', 'valid')}
    ensemble = {split: f'analyses.ensemble.{split}.probabilities.accuracy' for split in ('test', 'valid')}
    rows: dict[str, dict[str, Any]] = {
        'generalist': dict(label=f'generalist, {setting.width} units, {setting.epochs} epochs, at a smaller cost'),
        'combined_specialist': dict(label=f'generalist and {SPECIALISTS} specialists', columns=combined),
        'longer': dict(label=f'trained longer, {setting.longer} epochs'),
        'wider': dict(label=f'wider, {setting.wider} units'),
        'members': dict(label=f'ensemble of {MEMBERS}, {setting.member_epochs} epochs each', columns=ensemble),
    }
    text = (
        f'Cost, as parameters x examples: generalist {setting.generalist_cost / 1e12:.2f}e12, {SPECIALISTS} '
        f'specialists {setting.extra_cost / 1e12:.2f}e12, together {setting.total_cost / 1e12:.2f}e12. The three other '
        f'rows cost as much: {setting.longer} epochs instead of {setting.epochs}, {setting.wider} units instead of '
        f'{setting.width}, or {MEMBERS} nets of {setting.member_epochs} epochs.'
    )
    own = {heading: f'last.{split}.generalist.accuracy' for split, heading in HEADINGS.items()}
    rows = {name: dict(row, columns=under_headings(row.get('columns', {}))) for name, row in rows.items()}
    return dict(title='What is worth its cost', text=text, baseline='generalist', columns=own, rows=rows)


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


def back_table(setting: Setting) -> dict[str, Any]:
    generalist, combined = path_of('generalist'), path_of('combined')
    return dict(
        title='Distilled back into one net of the generalist’s size', baseline='generalist',
        text='The paper leaves this open. A student of the generalist alone shows what distillation itself brings. '
        f'Students see {TRANSFER:,} of the {setting.train:,} training images, {TRANSFER_EPOCHS} times.',
        columns=under_headings({split: f'last.{split}.student.accuracy' for split in HEADINGS}),
        rows={
            'generalist': dict(run='combined_specialist', label='generalist', columns=generalist),
            'combined': dict(run='combined_specialist', label='generalist and specialists', columns=combined),
            'distilled_combined': dict(label='student of generalist and specialists'),
            'distilled_generalist': dict(label='student of the generalist alone'),
        },
    )  # fmt: skip
