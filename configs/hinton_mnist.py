"""Hinton, Vinyals & Dean (2015), arXiv 1503.02531, on MNIST: a large net, a small net, and the small net distilled.

  python -m experiments.run --config=configs/hinton_mnist.py            # minutes on two cores
  python -m experiments.run --config=configs/hinton_mnist.py:paper      # every experiment of the paper, four hours

The default variant trains on 4,000 of the 60,000 images for fewer epochs. The variant `paper` has all of section 3, and
sections 4 to 6 on public data. Hyperparameters were chosen on images held out of the training set.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.reports.hinton_mnist import paper_report, short_report
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
    data = dict(source='mnist', valid=5000, valid_by='position', examples=4000)
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
    data = dict(source='mnist', valid=5000, valid_by='position', examples=10_000)
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
        runs[name] = distilled(dict(source='mnist', valid=5000, valid_by='position', **data), t=20.0, epochs=epochs)
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
    data = dict(source='mnist', valid=5000, valid_by='position', examples=5000, label_noise=0.4)
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
    few = dict(source='mnist', valid=5000, valid_by='position', examples=1800)
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
    """The large net: dropout, max-norm, randomly shifted images."""
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
    return paper_report(WIDTHS, SPECIALISTS, REGULARISER_T) if variant else short_report()
