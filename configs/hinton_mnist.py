"""Hinton, Vinyals & Dean (2015), arXiv 1503.02531, on MNIST: a large net, a small net, and the small net distilled.

  python -m experiments.run --config=configs/hinton_mnist.py            # minutes on two cores
  python -m experiments.run --config=configs/hinton_mnist.py:paper      # every experiment of the paper, four hours

The default variant trains on 4,000 of the 60,000 images for fewer epochs. The variant `paper` has all of section 3, and
sections 4 to 6 on public data. Hyperparameters were chosen on images held out of the training set.
"""

from typing import Any

from ml_collections import ConfigDict

from kd_jax.config.sweeps import chain, grid

VARIANTS = ('', 'paper')
SHORT_TEXT = (
    'A short version of section 3: 4,000 of the 60,000 training images and few epochs. The paper used all images and '
    'a long schedule, so our errors are higher. Compare the differences between the rows.'
)
PAPER_TEXT = (
    'Every experiment of the paper on public data. Section 3 is on MNIST, as in the paper. In the paper, sections 4 '
    'to 6 use speech and JFT; here they use MNIST and pairs of MNIST digits (100 classes).'
)

TEMPERATURES = (1.0, 2.0, 2.5, 4.0, 8.0, 20.0)
WIDTHS = (30, 300, 800)
PAIRS = dict(source='mnist_pairs', train=20_000, sources=10_000, valid=5000, augment=dict(crop=2))
SPECIALISTS = 10
SUBSET = 20
ENSEMBLE_T = 10.0
REGULARISER_T = (2.0, 8.0, 20.0)
ENSEMBLE_TEXT = (
    'Ten nets 784-100-100-10 are trained on 5,000 images. 40% of the labels are replaced by random ones, because '
    "speech labels are noisy and MNIST's are not. One student of the same size learns from the ten on the "
    'same images; its temperature was chosen on validation images.'
)
DARK_CAPTION = "The teacher's soft targets: a higher temperature shows which wrong classes the teacher finds likely."
DARK = dict(analysis='soft_targets', logits='teacher.logits', labels='batch.label', images='batch.image')


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = 'hinton_mnist_paper' if variant else 'hinton_mnist'
    config.title = 'Distilling the knowledge in a neural network: MNIST'
    config.text = PAPER_TEXT if variant else SHORT_TEXT
    config.seeds = 3
    config.runs = paper_runs() if variant else short_runs()
    return config


def get_search(variant: str = '') -> dict[str, Any]:
    """Searches the temperature and learning rate of a student, on images held out of the training set."""
    student = 'w300_t4' if variant else 'student_t4'
    return dict(
        space={
            f'runs.{student}.terms.soft.t': dict(low=1.0, high=20.0, log=True),
            f'runs.{student}.optimizer.learning_rate.peak': dict(low=3e-4, high=1e-2, log=True),
        },
        objective=f'result:{student}.last.valid.student.accuracy',
        direction='maximize',
    )


def short_runs() -> dict[str, Any]:
    """Teacher, baseline and students at three temperatures; trains in minutes."""
    data = dict(source='mnist', valid=5000, examples=4000)
    runs = {
        'teacher': teacher(dict(data, augment=dict(crop=2)), epochs=25),
        'baseline': baseline(data, epochs=15),
    }
    for t in (1.0, 4.0, 20.0):
        runs[f'student_t{t:g}'] = distilled(data, t=t, epochs=15)
    runs['student_t20']['analyses'] = {'dark': DARK}
    return {name: dict(run, eval_every=5) for name, run in runs.items()}


def paper_runs() -> dict[str, Any]:
    return mnist_table() | temperature_by_width() | unseen_classes() | ensemble() | specialists() | regularisers()


def mnist_table() -> dict[str, Any]:
    """Section 3: the large net, the small net and the distilled small net, on all 60,000 images as in the paper."""
    everything = dict(source='mnist')
    taught = distilled(everything, t=20.0, epochs=30)
    taught['analyses'] = {
        'dark': DARK,
        'similarity': dict(
            analysis='class_similarity', teacher='teacher.logits', student='student.logits', labels='batch.label'
        ),
    }  # fmt: skip
    return {
        'teacher': dict(teacher(dict(everything, augment=dict(crop=2)), epochs=100), eval_every=5),
        'baseline': baseline(everything, epochs=30),
        'distilled': taught,
    }


def temperature_by_width() -> dict[str, Any]:
    """Section 3: students of several widths at several temperatures, and the same nets trained on labels.

    Narrow nets are cheap but converge slowly, so they train for more epochs.
    """
    data = dict(source='mnist', valid=5000, examples=10_000)
    hard = dict(baseline(data, epochs=80, optimizer=adam()), eval_every=40)
    soft = dict(distilled(data, t=1.0, epochs=80), eval_every=40)
    lengths = ((30, 80, 40), (300, 40, 20), (800, 12, 4))
    nets = {
        ('networks.student.hidden', 'epochs', 'eval_every'): [((w, w), epochs, every) for w, epochs, every in lengths]
    }
    return chain(
        grid(hard, nets, 'w{hidden[0]}_hard'),
        grid(soft, {**nets, 'terms.soft.t': TEMPERATURES}, 'w{hidden[0]}_t{t}'),
    )


def unseen_classes() -> dict[str, Any]:
    """Section 3: transfer sets without 3s, and with 7s and 8s only; the bias of these classes is corrected later."""
    runs = {}
    for name, classes, data, epochs in (
        ('no_threes', (3,), dict(exclude=(3,)), 30),
        ('sevens_and_eights', (7, 8), dict(classes=(7, 8)), 60),
    ):
        runs[name] = distilled(dict(source='mnist', valid=5000, **data), t=20.0, epochs=epochs)
        runs[name]['eval_every'] = epochs // 6
        runs[name]['analyses'] = {
            'bias': dict(analysis='class_bias', logits='student.logits', labels='batch.label', classes=classes)
        }
    return runs


def ensemble() -> dict[str, Any]:
    """Section 4 on public data: ten nets trained as one program, their ensemble, and one student of the same size.

    Labels of speech frames are noisy. On clean MNIST labels an ensemble gains little, so 40% of the training labels are
    replaced by random ones. Each net then makes different errors, and their average is much better than a single net.
    """
    data = dict(source='mnist', valid=5000, examples=5000, label_noise=0.4)
    common = {'data': data, 'batch_size': 128, 'epochs': 40, 'eval_every': 10, 'optimizer': adam()}
    net = dict(model='mlp', hidden=(100, 100))
    runs = {
        'members': {
            **common,
            'networks': {'member': dict(net, copies=10)},
            'terms': {'hard': dict(loss='cross_entropy', logits='member.logits', labels='batch.label')},
            'analyses': {'ensemble': dict(analysis='ensemble', logits='member.logits', labels='batch.label')},
        }
    }
    for average in ('probabilities', 'logits', 'losses'):
        soft = dict(loss='kd', student='student.logits', target='teacher.logits', t=ENSEMBLE_T, average=average)
        teacher = dict(net, copies=10, update='frozen', init='run:members')
        runs[f'taught_by_{average}'] = {
            **common, 'cache': True, 'networks': {'teacher': teacher, 'student': net}, 'terms': {'soft': soft},
        }  # fmt: skip
    return runs


def specialists() -> dict[str, Any]:
    """Section 5 on pairs of digits: a generalist, specialists for classes that it confuses, and their combination."""
    data = PAIRS
    net = dict(model='mlp', hidden=(100, 100))
    subsets = 'result:generalist.analyses.confusable.subsets'
    label = dict(loss='cross_entropy', labels='batch.label')
    runs: dict[str, Any] = {
        'generalist': {
            'data': data, 'batch_size': 128, 'epochs': 60, 'optimizer': adam(),
            'networks': {'generalist': dict(net, num_classes=100)},
            'terms': {'hard': dict(label, logits='generalist.logits')},
            'analyses': {
                'confusable': dict(
                    analysis='confusable_classes', logits='generalist.logits', clusters=SPECIALISTS, size=SUBSET,
                    scale='correlation',
                )
            },
        }
    }  # fmt: skip
    runs['generalist_longer'] = {
        'data': data, 'batch_size': 128, 'epochs': 60, 'optimizer': adam(),
        'networks': {'generalist': dict(net, num_classes=100, init='run:generalist')},
        'terms': {'hard': dict(label, logits='generalist.logits')},
    }  # fmt: skip
    for m in range(SPECIALISTS):
        start = dict(net, num_classes=SUBSET + 1, init='run:generalist', fresh=('head',))
        runs[f'specialist_{m}'] = {
            'data': dict(data, subset=f'{subsets}.{m}'), 'batch_size': 128, 'epochs': 60, 'optimizer': adam(),
            'networks': {'specialist': start}, 'terms': {'hard': dict(label, logits='specialist.logits')},
        }  # fmt: skip
    networks = {'generalist': dict(net, num_classes=100, update='frozen', init='run:generalist')}
    for m in range(SPECIALISTS):
        networks[f's{m}'] = dict(net, num_classes=SUBSET + 1, update='frozen', init=f'run:specialist_{m}')
    runs['combined'] = {
        'data': data, 'batch_size': 128, 'epochs': 0, 'networks': networks,
        'evaluate': {'generalist': dict(logits='generalist.logits')},
        'analyses': {
            'specialists': dict(
                analysis='specialists', generalist='generalist.logits', labels='batch.label',
                specialist=tuple(f's{m}.logits' for m in range(SPECIALISTS)), subsets=subsets,
                oversampling=tuple(f'result:specialist_{m}.oversampling' for m in range(SPECIALISTS)),
            )
        },
    }  # fmt: skip
    return runs


def regularisers() -> dict[str, Any]:
    """Section 6: 3% of the images, with hard targets or soft targets of a net trained on all; no early stopping."""
    few = dict(source='mnist', valid=5000, examples=1800)
    runs = {'few_hard': baseline(few, epochs=150, optimizer=adam())}
    for t in REGULARISER_T:
        runs[f'few_soft_t{t:g}'] = distilled(few, t=t, epochs=150, teacher_run='baseline', teacher_net=student_net())
    return {name: dict(run, eval_every=50) for name, run in runs.items()}


def teacher_net() -> dict[str, Any]:
    return dict(model='mlp', hidden=(1200, 1200), dropout=0.25)


def student_net(hidden: tuple[int, ...] = (800, 800)) -> dict[str, Any]:
    return dict(model='mlp', hidden=hidden, init_sd=0.01)


def adam() -> dict[str, Any]:
    return dict(name='adam', learning_rate=dict(schedule='cosine', peak=1e-3))


def teacher(data: dict[str, Any], epochs: int) -> dict[str, Any]:
    """The large net: dropout, max-norm, jittered images."""
    return {
        'data': data, 'batch_size': 128, 'epochs': epochs, 'optimizer': dict(adam(), max_norm=3.0),
        'networks': {'teacher': teacher_net()},
        'terms': {'hard': dict(loss='cross_entropy', logits='teacher.logits', labels='batch.label')},
    }  # fmt: skip


def baseline(data, epochs, hidden=(800, 800), optimizer=None) -> dict[str, Any]:
    """The small net trained on labels, without regularisation."""
    sgd = dict(name='sgd', learning_rate=dict(schedule='cosine', peak=0.05), momentum=0.9)
    return {
        'data': data, 'batch_size': 128, 'epochs': epochs, 'optimizer': optimizer or sgd,
        'networks': {'student': student_net(hidden)},
        'terms': {'hard': dict(loss='cross_entropy', logits='student.logits', labels='batch.label')},
    }  # fmt: skip


def distilled(data, t, epochs, hidden=(800, 800), teacher_run='teacher', teacher_net=None) -> dict[str, Any]:
    """The small net trained on the teacher's soft targets alone."""
    return {
        'data': data, 'batch_size': 128, 'epochs': epochs, 'optimizer': adam(), 'cache': not data.get('augment'),
        'networks': {
            'teacher': dict(teacher_net or globals()['teacher_net'](), update='frozen', init=f'run:{teacher_run}'),
            'student': student_net(hidden),
        },
        'terms': {'soft': dict(loss='kd', student='student.logits', target='teacher.logits', t=t)},
        'evaluate': {'student': dict(logits='student.logits', teacher='teacher.logits')},
    }  # fmt: skip


def get_report(variant: str = '') -> dict[str, Any]:
    """How the study is shown: tables with the paper's numbers, claims and figures."""
    return paper_report() if variant else short_report()


ERRORS = 'last.test.student.errors'
ACCURACY = 'last.test.student.accuracy'
AGREEMENT = 'last.test.student.agreement'
TEACHER_ERRORS = {'errors': 'last.test.teacher.errors', 'NLL': 'last.test.teacher.nll'}
MNIST_COLUMNS = {'errors': ERRORS, 'NLL': 'last.test.student.nll', 'agreement': AGREEMENT}


def short_report() -> dict[str, Any]:
    rows: dict[str, Any] = {
        'teacher': dict(label='teacher 1200-1200', columns=TEACHER_ERRORS, paper={'errors': 67}),
        'baseline': dict(label='baseline 800-800, labels', paper={'errors': 146}),
    }
    for t, paper in ((1, None), (4, None), (20, 74)):
        rows[f'student_t{t}'] = dict(label=f'distilled 800-800, T = {t}', paper={'errors': paper})
    return {
        'tables': {'mnist': dict(title='Errors on the 10,000 test images', columns=MNIST_COLUMNS, rows=rows)},
        'claims': {
            'better': dict(
                title='Change in errors of the small net with soft targets at T = 20', kind='difference',
                value=f'student_t20:{ERRORS}', low=f'baseline:{ERRORS}', paper=-72,
            )
        },
        'figures': {
            'errors': dict(
                title='Test errors', kind='bars', ylabel='errors of 10,000',
                values={'teacher': 'teacher:last.test.teacher.errors', 'baseline': f'baseline:{ERRORS}'}
                | {f'T = {t}': f'student_t{t}:{ERRORS}' for t in (1, 4, 20)},
            ),
            'curves': dict(
                title='Learning curves', kind='curves', runs=('baseline', 'student_t*'), y='valid.student.errors',
                ylabel='errors of 5,000 validation images',
            ),
            'dark': dict(
                title='Dark knowledge', kind='soft_targets', run='student_t20', analysis='dark',
                caption=DARK_CAPTION,
            ),
        },
    }  # fmt: skip


def covering(number: int) -> dict[str, str]:
    """Value paths for the images whose true class is covered by `number` specialists."""
    row = f'analyses.specialists.test.covering.{number}'
    return {
        'images': f'{row}.examples', 'generalist accuracy': f'{row}.generalist_accuracy',
        'combined accuracy': f'{row}.combined_accuracy', 'change in errors': f'{row}.delta_errors',
    }  # fmt: skip


def paper_report() -> dict[str, Any]:
    few = {'train accuracy': 'last.train.student.accuracy', 'test accuracy': ACCURACY}
    bias = {
        column: f'analyses.bias.{when}.{what}'
        for column, when, what in (
            ('errors before', 'before', 'errors'),
            ('offset (test)', 'tuned_on_test', 'offset'),
            ('errors, tuned on test', 'tuned_on_test', 'errors'),
            ('offset (validation)', 'tuned_on_valid', 'offset'),
            ('errors, tuned on validation', 'tuned_on_valid', 'errors'),
        )
    }
    soft_paper = dict(zip(few, (0.654, 0.57), strict=True))
    members = 'members:analyses.ensemble.test'
    scored = 'analyses.specialists.test'
    return {
        'tables': {
            'mnist': dict(
                title='Section 3: errors on the 10,000 test images', columns=MNIST_COLUMNS,
                text='All 60,000 training images. As in the paper, only the teacher sees jittered images.',
                rows={
                    'teacher': dict(label='teacher 1200-1200', columns=TEACHER_ERRORS, paper={'errors': 67}),
                    'baseline': dict(label='baseline 800-800, labels', paper={'errors': 146}),
                    'distilled': dict(label='distilled 800-800, T = 20', paper={'errors': 74}),
                },
            ),
            'unseen': dict(
                title='Section 3: classes missing from the transfer set', columns=bias,
                text='One offset is added to the logits of the missing class (3) or the remaining ones (7 and 8). The '
                'paper tuned it on the test images. We also tune it on 5,000 validation images that the student has '
                'not seen.',
                rows={
                    'no_threes': dict(
                        label='transfer set without 3s',
                        paper={'errors before': 206, 'offset (test)': 3.5, 'errors, tuned on test': 109},
                    ),
                    'sevens_and_eights': dict(
                        label='transfer set of 7s and 8s',
                        paper={'errors before': 4730, 'offset (test)': -7.6, 'errors, tuned on test': 1320},
                    ),
                },
            ),
            'ensemble': dict(
                title='Section 4: ten nets, their ensemble, and one student',
                columns={'accuracy': ACCURACY}, text=ENSEMBLE_TEXT,
                rows={
                    'member': dict(
                        run='members', label='a single net', columns={'accuracy': 'last.test.member.accuracy'}
                    ),
                    'ensemble': dict(
                        run='members', label='ensemble of 10',
                        columns={'accuracy': 'analyses.ensemble.test.probabilities.accuracy'},
                    ),
                    'ensemble_logits': dict(
                        run='members', label='ensemble of 10, logits averaged',
                        columns={'accuracy': 'analyses.ensemble.test.logits.accuracy'},
                    ),
                    **{
                        f'taught_by_{average}': dict(label=f'one student, {average} averaged')
                        for average in ('probabilities', 'logits', 'losses')
                    },
                },
            ),
            'specialists': dict(
                title='Section 5: specialists', columns={'accuracy': f'{scored}.combined.accuracy'},
                rows={
                    'generalist': dict(
                        run='combined', label='generalist', columns={'accuracy': f'{scored}.generalist.accuracy'},
                        paper={'accuracy': 0.25},
                    ),
                    'combined': dict(label=f'generalist and {SPECIALISTS} specialists', paper={'accuracy': 0.261}),
                    'generalist_longer': dict(
                        label='generalist alone, trained longer by the epochs of a specialist',
                        columns={'accuracy': 'last.test.generalist.accuracy'},
                    ),
                },
            ),
            'covering': dict(
                title='Section 5: by the number of specialists that cover the true class', columns=covering(0),
                text="In the paper's table 4, the gain grows with the number of specialists that cover a class.",
                rows={
                    f'by{k}': dict(run='combined', label=f'{k} specialists', columns=covering(k)) for k in range(1, 6)
                },
            ),
            'regularisers': dict(
                title='Section 6: soft targets as regularisers', columns=few,
                rows={
                    'baseline': dict(label='100%, hard targets', paper=dict(zip(few, (0.634, 0.589), strict=True))),
                    'few_hard': dict(label='3%, hard targets', paper=dict(zip(few, (0.673, 0.445), strict=True))),
                    **{
                        f'few_soft_t{t:g}': dict(label=f'3%, soft targets, T = {t:g}', paper=soft_paper)
                        for t in REGULARISER_T
                    },
                },
            ),
        },
        'claims': {
            'better': dict(
                title='Change in errors of the small net with soft targets', kind='difference', paper=-72,
                value=f'distilled:{ERRORS}', low=f'baseline:{ERRORS}',
            ),
            'kept': dict(
                title="Share of the ensemble's gain that one student keeps", kind='share', paper=0.8,
                value=f'taught_by_probabilities:{ACCURACY}', low='members:last.test.member.accuracy',
                high=f'{members}.probabilities.accuracy',
            ),
            'recovered': dict(
                title='Share of the accuracy gap between 3% and 100% of the images that soft targets at T = 20 recover',
                kind='share', value=f'few_soft_t20:{ACCURACY}', low=f'few_hard:{ACCURACY}', high=f'baseline:{ACCURACY}',
                paper=0.87,
            ),
        },
        'figures': {
            'temperature': dict(
                title='Temperature and width', kind='lines', runs=[f'w{width}_t*' for width in WIDTHS],
                x='config.terms.soft.t', y=ERRORS, by='config.networks.student.hidden.0', by_label='{} units',
                log_x=True, log_y=True, xlabel='temperature', ylabel='test errors',
                reference={f'{width} units, labels': f'w{width}_hard:{ERRORS}' for width in WIDTHS},
                caption='In the paper, all temperatures above 8 give similar results with 300 or more units per layer, '
                'and 2.5 to 4 are best with 30 units.',
            ),
            'curves': dict(
                title='Learning curves', kind='curves', y='test.student.errors', ylabel='test errors',
                runs=['baseline', 'distilled'],
            ),
            'dark': dict(
                title='Dark knowledge', kind='soft_targets', run='distilled', analysis='dark',
                caption=DARK_CAPTION,
            ),
            'similarity': dict(
                title='Which classes look alike', kind='matrices',
                values={who: f'distilled:analyses.similarity.{who}' for who in ('teacher', 'student')},
                caption='Mean soft target (T = 4) of the images of each class, without the class itself.',
            ),
        },
    }  # fmt: skip
