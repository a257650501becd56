"""Robust, cross-modal and data-free distillation on MNIST: three small studies in one.

  python -m experiments.run --config=configs/other_aims.py                       # all three, three seeds
  python -m experiments.run --config=configs/other_aims.py --only='*robust*'     # robustness to adversarial examples
  python -m experiments.run --config=configs/other_aims.py --only='points*'      # another modality
  python -m experiments.run --config=configs/other_aims.py --only='data_free'    # no data

Robust: students learn from an adversarially trained teacher (ARD, Goldblum et al. 2020; RSLAD, Zi et al. 2021). They
are measured on clean images and under PGD with 20 steps; training uses PGD with 5 steps. Points: a teacher that sees
images trains a PointNet that sees the 48 brightest pixels as a set of points, with and without labels (Gupta et al.
2016). Data-free: a student sees only images that a generator makes (DAFL, Chen et al. 2019). Training uses 6,000 images
of 14 x 14 pixels unless stated otherwise. Hyperparameters were not searched, and nothing was chosen on test images.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('',)
BIG, SMALL = (16, 32, 64), (8, 16, 32)
BALL = dict(epsilon=0.1, size=0.025)
STEPS = 5  # of PGD during training
T = 4.0


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = 'other_aims'
    config.title = 'Robust, cross-modal and data-free distillation on MNIST'
    config.text = ' '.join(__doc__.split('\n\n')[-1].split())
    config.seeds = 3
    config.runs = robust() | points() | data_free()
    return config


def common(epochs: int, examples: int = 6000) -> dict[str, Any]:
    return {
        'data': dict(source='mnist', shrink=2, valid=1000, valid_by='position', examples=examples),
        'batch_size': 128,
        'epochs': epochs,
        'eval_every': epochs,
        'optimizer': dict(name='adamw', learning_rate=dict(schedule='cosine', peak=3e-3, warmup=0.1)),
    }


def net(channels: tuple[int, ...], **options: Any) -> dict[str, Any]:
    return dict(model='cnn', channels=channels, **options)


def frozen(run: str) -> dict[str, Any]:
    return net(BIG, update='frozen', init=f'run:{run}')


def hard(name: str, **options: Any) -> dict[str, Any]:
    return dict(loss='cross_entropy', logits=f'{name}.logits', labels='batch.label', **options)


def soft(name: str, weight: float = 1.0, t: float = T) -> dict[str, Any]:
    return dict(loss='kd', student=f'{name}.logits', target='teacher.logits', t=t, weight=weight)


def pgd(of: str, target: str = 'batch.label', steps: int = STEPS) -> dict[str, Any]:
    return dict(model='pgd', update='shared', of=f'~{of}', input=['batch.image', target], steps=steps, **BALL)


def robust() -> dict[str, Any]:
    """A robust teacher, and students trained on labels or soft labels, with clean or attacked images."""

    def run(name: str, channels: tuple[int, ...], terms: dict[str, Any], target: str = 'batch.label') -> dict[str, Any]:
        networks = {
            name: net(channels),
            'attack': pgd(name, target),
            'attacked': dict(update='shared', of=name, input='attack.image'),
            'test_attack': pgd(name, steps=20),
            'under_pgd20': dict(update='shared', of=name, input='test_attack.image'),
        }
        if name == 'student':
            networks['teacher'] = frozen('robust_teacher')
        measured = {name: dict(logits=f'{name}.logits'), 'under_pgd20': dict(logits='under_pgd20.logits')}
        return {**common(10), 'networks': networks, 'terms': terms, 'evaluate': measured}

    return {
        'robust_teacher': run('teacher', BIG, {'hard': hard('attacked')}),
        'not_robust': run('student', SMALL, {'hard': hard('student')}),
        'not_robust_kd': run('student', SMALL, {'soft': soft('student')}),
        'robust_training': run('student', SMALL, {'hard': hard('attacked')}),
        'robust_ard': run('student', SMALL, {'ard': soft('attacked'), 'hard': hard('student', weight=0.1)}),
        'robust_rslad': run(
            'student', SMALL, {'attacked': soft('attacked', 5 / 6, t=1.0), 'clean': soft('student', 1 / 6, t=1.0)},
            target='teacher.logits',
        ),
    }  # fmt: skip


def points() -> dict[str, Any]:
    """A teacher that sees images, and students that see 48 points of each image's strokes."""

    def run(terms: dict[str, Any], examples: int = 6000) -> dict[str, Any]:
        networks = {
            'teacher': frozen('image_teacher'),
            'strokes': dict(model='stroke_points', count=48, update='frozen'),
            'student': dict(model='pointnet', input='strokes.points'),
        }
        steps = {6000: 10, 600: 100}
        evaluate = dict(student=dict(logits='student.logits', teacher='teacher.logits'))
        return {**common(steps[examples], examples), 'networks': networks, 'terms': terms, 'evaluate': evaluate}

    return {
        'image_teacher': {**common(10), 'networks': {'teacher': net(BIG)}, 'terms': {'hard': hard('teacher')}},
        'points_few_labels': run({'hard': hard('student')}, 600),
        'points_labels': run({'hard': hard('student')}),
        'points_unlabelled': run({'soft': soft('student')}),
        'points_both': run({'hard': hard('student', weight=0.1), 'soft': soft('student', 0.9)}),
    }


def data_free() -> dict[str, Any]:
    """DAFL: training takes only the number and shape of images from the batch; evaluation uses real images."""
    networks = {
        'teacher': frozen('image_teacher'),
        'generator': dict(model='generator', dim=64, channels=32),
        'invented': dict(update='shared', of='teacher', input='generator.image'),
        'student': net(SMALL),
        'pupil': dict(update='shared', of='student', input='~generator.image'),
    }
    terms = {
        'one_hot': dict(loss='hard_kd', student='invented.logits', target='~invented.logits'),
        'activation': dict(loss='inactivity', features='invented.features', weight=0.1),
        'balance': dict(loss='class_imbalance', logits='invented.logits', weight=5.0),
        'soft': dict(loss='kd', student='pupil.logits', target='~invented.logits'),
    }
    evaluate = dict(student=dict(logits='student.logits', teacher='teacher.logits'))
    return {'data_free': {**common(30), 'networks': networks, 'terms': terms, 'evaluate': evaluate}}


def get_report(variant: str = '') -> dict[str, Any]:
    accuracy, under = 'last.test.student.accuracy', 'last.test.under_pgd20.accuracy'
    attacked = {'accuracy on clean images': accuracy, 'accuracy under PGD-20': under}
    return {
        'tables': {
            'robust': dict(
                title='Accuracy on clean and on attacked test images (maximum norm, radius 0.1)', columns=attacked,
                baseline='robust_training', compare='accuracy under PGD-20',
                rows={
                    'robust_teacher': dict(
                        label='teacher, adversarial training',
                        columns={'accuracy on clean images': 'last.test.teacher.accuracy'},
                    ),
                    'not_robust': dict(label='student, labels'),
                    'not_robust_kd': dict(label='student, KD on clean images'),
                    'robust_training': dict(label='student, adversarial training'),
                    'robust_ard': dict(label='student, ARD'),
                    'robust_rslad': dict(label='student, RSLAD'),
                },
            ),
            'points': dict(
                title='Accuracy of a PointNet on 48 points of the strokes', baseline='points_labels',
                columns={'accuracy': accuracy, 'agreement with the teacher': 'last.test.student.agreement'},
                rows={
                    'image_teacher': dict(label='teacher, on images', columns={
                        'accuracy': 'last.test.teacher.accuracy', 'agreement with the teacher': None,
                    }),
                    'points_few_labels': dict(label='600 labels, no teacher'),
                    'points_labels': dict(label='6,000 labels, no teacher'),
                    'points_unlabelled': dict(label='no labels, the teacher on 6,000 images'),
                    'points_both': dict(label='6,000 labels and the teacher'),
                },
            ),
            'data_free': dict(
                title='Accuracy without training data', columns={'accuracy': accuracy},
                rows={
                    'teacher': dict(
                        run='image_teacher', label='teacher, 6,000 images',
                        columns={'accuracy': 'last.test.teacher.accuracy'},
                    ),
                    'data_free': dict(label='student, generated images only'),
                },
            ),
        },
    }  # fmt: skip
