"""Hinton, Vinyals & Dean (2015), arXiv 1503.02531, on MNIST: a large net, a small net, and the small net distilled.

  python -m experiments.run --config=configs/hinton_mnist.py            # minutes on two cores
  python -m experiments.run --config=configs/hinton_mnist.py:paper      # section 3 on all images: 2 h 23 min

The default variant trains on 4,000 of the 60,000 images for fewer epochs. The variant `paper` is the table of section
3, its transfer sets that lack classes, and students of shifted and of mixed images, which the paper does not have. Its
matrix products are rounded to bfloat16. configs/hinton/ has the paper's other experiments: temperature.py (section 3),
ensemble.py (4), specialists.py (5) and regularisers.py (6). The recipes of the teacher and of the distilled student
were chosen on images held out of the training set, by recipes.py there; that of the student of labels was not searched.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.reports.hinton_mnist import paper_report, short_report
from kd_jax.config.errors import UserError

VARIANTS = ('', 'paper')
SHORT_TEXT = (
    'A short version of section 3: 4,000 of the 60,000 training images and few epochs. The paper used all images and '
    'a long schedule, so our errors are higher. Compare the differences between the rows.'
)
PAPER_TEXT = (
    'Section 3 of the paper, on all 60,000 training images. The recipes of the teacher and of the distilled student '
    'were chosen on validation images, by configs/hinton/recipes.py; that of the student of labels was not searched. '
    'Distilled students learn from soft targets alone. Matrix products are rounded to bfloat16.'
)
DARK = dict(analysis='soft_targets', logits='teacher.logits', labels='batch.label', images='batch.image')


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = 'hinton_mnist_paper' if variant else 'hinton_mnist'
    config.title = 'Distilling the knowledge in a neural network: MNIST'
    config.text = PAPER_TEXT if variant else SHORT_TEXT
    config.seeds = 5 if variant else 3
    config.runs = paper_runs() if variant else short_runs()
    return config


def get_search(variant: str = '') -> dict[str, Any]:
    """Searches the temperature and learning rate of a student, on images held out of the training set."""
    if variant:
        raise UserError('only the default variant has a search; write --config=configs/hinton_mnist.py.')
    return dict(
        space={
            'runs.student_t4.terms.soft.t': dict(low=1.0, high=20.0, log=True),
            'runs.student_t4.optimizer.learning_rate.peak': dict(low=3e-4, high=1e-2, log=True),
        },
        objective='result:student_t4.last.valid.student.accuracy',
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
    """Section 3: the table, and transfer sets that lack classes; with matrix products as TPUs compute them."""
    return {name: dict(run, matmul_precision='bfloat16') for name, run in (mnist_table() | unseen_classes()).items()}


def mnist_table() -> dict[str, Any]:
    """Section 3: the large net, the small net and the distilled small net, on all 60,000 images as in the paper.

    The recipes were chosen on validation images (configs/hinton/recipes.py).
    """
    everything, jittered = dict(source='mnist'), dict(source='mnist', augment=dict(crop=2))
    mixed = dict(source='mnist', augment=dict(mixup=1.0))
    taught = averaged(dict(distilled(everything, t=20.0, epochs=60), eval_every=10))
    taught['analyses'] = {
        'dark': DARK,
        'similarity': dict(
            analysis='class_similarity', teacher='teacher.logits', student='average.logits', labels='batch.label'
        ),
    }  # fmt: skip
    return {
        'teacher': dict(teacher(jittered, epochs=100), eval_every=10),
        'baseline': baseline(everything, epochs=30),
        'baseline_jittered': dict(baseline(jittered, epochs=100), eval_every=10),
        'distilled': taught,
        'distilled_jittered': averaged(dict(distilled(jittered, t=20.0, epochs=100), eval_every=10)),
        'baseline_mixed': dict(baseline(mixed, epochs=80, labels='batch.target'), eval_every=10),
        'distilled_mixed': dict(distilled(mixed, t=20.0, epochs=80), eval_every=10),
    }


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


def baseline(data, epochs, hidden=(800, 800), optimizer=None, labels='batch.label') -> dict[str, Any]:
    """The small net trained on labels, without regularisation."""
    sgd = dict(name='sgd', learning_rate=dict(schedule='cosine', peak=0.05), momentum=0.9)
    return {
        'data': data, 'batch_size': 128, 'epochs': epochs, 'optimizer': optimizer or sgd,
        'networks': {'student': student_net(hidden)},
        'terms': {'hard': dict(loss='cross_entropy', logits='student.logits', labels=labels)},
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


def follow(name: str, network: dict[str, Any]) -> dict[str, Any]:
    """The moving average of a network's weights."""
    return dict(network, update='follow', of=name, rule='ema', decay=0.9995)


def averaged(run: dict[str, Any]) -> dict[str, Any]:
    """The run with a constant learning rate, judged by the moving average of the student's weights."""
    constant = dict(name='adam', learning_rate=1e-3)
    networks = dict(run['networks'], average=follow('student', run['networks']['student']))
    evaluate = {'student': dict(logits='average.logits', teacher='teacher.logits')}
    return dict(run, optimizer=constant, networks=networks, evaluate=evaluate)


def get_report(variant: str = '') -> dict[str, Any]:
    """How the study is shown: tables with the paper's numbers, claims and figures."""
    return paper_report() if variant else short_report()
