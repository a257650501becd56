"""CIFAR-100: common teacher-student pairs of the literature, with the recipe of Tian et al. (2020), arXiv 1910.10699.

  python -m experiments.run --config=configs/cifar100_kd.py                      # ResNet-56 -> ResNet-20
  python -m experiments.run --config=configs/cifar100_kd.py:wrn_40_2_wrn_16_2    # another pair

240 epochs of SGD with batch size 64, random crops and flips. The learning rate starts at 0.05 and is divided by 10 at
epochs 150, 180 and 210. KD uses T = 4, with weights 0.1 for cross-entropy and 0.9 for KL. As in the paper, the last
epoch is reported on the test set; nothing is chosen on it. Prepare the data set once with
`tfds build cifar100 --file_format=array_record`, which needs TensorFlow; training does not. To load a teacher from
RepDistiller's files instead of training one:

  --only=student --config.runs.student.networks.teacher.init=torch:resnet56_vanilla/ckpt_epoch_240.pth
"""

from typing import Any

from ml_collections import ConfigDict

# Accuracies that Tian et al. (2020), table 1, report: teacher, student on labels alone, student with KD.
PAIRS = {
    'resnet56_resnet20': (0.7234, 0.6906, 0.7066),
    'resnet110_resnet32': (0.7431, 0.7114, 0.7308),
    'resnet32x4_resnet8x4': (0.7942, 0.7250, 0.7333),
    'wrn_40_2_wrn_16_2': (0.7561, 0.7326, 0.7492),
    'wrn_40_2_wrn_40_1': (0.7561, 0.7198, 0.7354),
    'vgg13_vgg8': (0.7464, 0.7036, 0.7298),
}
DEFAULT = 'resnet56_resnet20'
VARIANTS = ('', *PAIRS)
NORMALIZE = dict(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761))
TEXT = (
    'Accuracy on the 10,000 test images after the last of 240 epochs. Each seed trains its own teacher. The last, '
    'incomplete batch of an epoch is left out.'
)


def models(variant: str) -> tuple[str, str]:
    """The models of teacher and student: 'wrn_40_2_wrn_16_2' gives 'wrn_40_2' and 'wrn_16_2'."""
    words = (variant or DEFAULT).split('_')
    half = len(words) // 2
    return '_'.join(words[:half]), '_'.join(words[half:])


def get_config(variant: str = '') -> ConfigDict:
    teacher, student = models(variant)
    config = ConfigDict()
    config.name = f'cifar100_{teacher}_{student}'
    config.title = f'CIFAR-100: {teacher} to {student}'
    config.text = TEXT
    config.seeds = 3
    config.runs = {
        'teacher': alone('teacher', teacher),
        'baseline': alone('student', student),
        'student': distilled(teacher, student),
    }
    return config


def common() -> dict[str, Any]:
    """The options that all runs share."""
    rate = dict(schedule='steps', start=0.05, at=(150 / 240, 180 / 240, 210 / 240))
    return {
        'data': dict(source='cifar100', augment=dict(crop=4, flip=True)),
        'batch_size': 64,
        'epochs': 240,
        'eval_every': 10,
        'optimizer': dict(name='sgd', learning_rate=rate, momentum=0.9, weight_decay=5e-4),
    }


def net(model: str, **options: Any) -> dict[str, Any]:
    return dict(model=model, num_classes=100, normalize=NORMALIZE, **options)


def alone(name: str, model: str) -> dict[str, Any]:
    """One network trained on labels."""
    hard = dict(loss='cross_entropy', logits=f'{name}.logits', labels='batch.label')
    return {**common(), 'networks': {name: net(model)}, 'terms': {'hard': hard}}


def distilled(teacher: str, student: str) -> dict[str, Any]:
    """The student trained on labels and on the teacher's soft targets."""
    return {
        **common(),
        'networks': {'teacher': net(teacher, update='frozen', init='run:teacher'), 'student': net(student)},
        'terms': {
            'hard': dict(loss='cross_entropy', logits='student.logits', labels='batch.label', weight=0.1),
            'soft': dict(loss='kd', student='student.logits', target='teacher.logits', t=4.0, weight=0.9),
        },
        'evaluate': {'student': dict(logits='student.logits', teacher='teacher.logits')},
    }


def get_report(variant: str = '') -> dict[str, Any]:
    """How the study is shown: a table with the paper's numbers, a claim and a figure."""
    paper = PAIRS[variant or DEFAULT]
    of_student = {name: f'last.test.student.{name}' for name in ('accuracy', 'agreement')}
    of_teacher = {'accuracy': 'last.test.teacher.accuracy'}
    return {
        'tables': {
            'accuracy': dict(
                title='Accuracy on the test images', columns=of_student,
                rows={
                    'teacher': dict(label='teacher', columns=of_teacher, paper={'accuracy': paper[0]}),
                    'baseline': dict(label='student, labels alone', paper={'accuracy': paper[1]}),
                    'student': dict(label='student, KD at T = 4', paper={'accuracy': paper[2]}),
                },
            )
        },
        'claims': {
            'gain': dict(
                title='Gain in accuracy of the student with KD over labels alone', kind='difference',
                value=f'student:{of_student["accuracy"]}', low=f'baseline:{of_student["accuracy"]}',
                paper=round(paper[2] - paper[1], 4),
            )
        },
        'figures': {
            'curves': dict(
                title='Learning curves', kind='curves', runs=('baseline', 'student'), y='test.student.accuracy',
                ylabel='accuracy on the test images',
            )
        },
    }  # fmt: skip
