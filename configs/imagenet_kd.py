"""ImageNet: ResNet-34 to ResNet-18, and the long schedule of Beyer et al. (2022), arXiv 2106.05237.

  python -m experiments.run --config=configs/imagenet_kd.py             # 100 epochs, T = 1, equal weights
  python -m experiments.run --config=configs/imagenet_kd.py:patient     # KL alone, mixup, 1200 epochs

The first study follows Tian et al. (2020) and the papers that compare with them: SGD with batch size 256 and a learning
rate of 0.1, divided by 10 at epochs 30, 60 and 90. Their teacher is torchvision's. To load its file instead of training
a teacher:

  --only=student --config.runs.student.networks.teacher.init=torch:resnet34-b627a593.pth

In the variant `patient`, teacher and student see the same crop and the same mixup. The paper's teacher is a
BiT-M-R152x2 with group norm, pretrained on ImageNet-21k. Ours is a ResNet-152 of twice the width with batch norm,
trained on ImageNet alone, so the paper's numbers are no target for it. The weight decay of the published config is
converted to optax's convention, which multiplies it by the learning rate; the published code does not.

Prepare the data set once with `tfds build imagenet2012 --file_format=array_record`, from the two archives of the
challenge. This needs TensorFlow; training does not.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'patient')
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CENTRED = dict(mean=0.5, std=0.5)
EPOCHS = {'': 100, 'patient': 1200}
STUDENT = {'': 'resnet18', 'patient': 'resnet50'}
TEXT = {
    '': 'ResNet-34 to ResNet-18 in 100 epochs, with weight 0.5 for cross-entropy and 0.5 for KL at T = 1. Accuracy on '
    'the 50,000 validation images after the last epoch.',
    'patient': 'ResNet-50 trained for 1200 epochs on KL alone; the teacher is a ResNet-152 of twice the width. Both '
    'see the same view, with mixup. Accuracy on the 50,000 validation images after the last epoch.',
}


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = f'imagenet_{variant or "kd"}'
    config.title = 'ImageNet: a patient teacher' if variant else 'ImageNet: ResNet-34 to ResNet-18'
    config.text = TEXT[variant]
    config.seeds = 1
    config.runs = patient_runs() if variant else short_runs()
    return config


def images(**augment: Any) -> dict[str, Any]:
    return dict(source='imagenet2012', augment=dict(flip=True, **augment))


def net(model: str, normalize: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(model=model, num_classes=1000, normalize=normalize, **options)


def short(epochs: int) -> dict[str, Any]:
    """SGD with a step schedule and batch size 256."""
    rate = dict(schedule='steps', start=0.1, at=(0.3, 0.6, 0.9))
    return {
        'data': images(resized_crop=0.08),
        'batch_size': 256,
        'epochs': epochs,
        'eval_every': 5,
        'optimizer': dict(name='sgd', learning_rate=rate, momentum=0.9, weight_decay=1e-4),
    }


def labelled(name: str, recipe: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    """One network trained on labels."""
    hard = dict(loss='cross_entropy', logits=f'{name}.logits', labels='batch.label')
    return {**recipe, 'networks': {name: network}, 'terms': {'hard': hard}}


def short_runs() -> dict[str, Any]:
    recipe, student = short(EPOCHS['']), net(STUDENT[''], IMAGENET)
    teacher = net('resnet34', IMAGENET)
    return {
        'teacher': labelled('teacher', recipe, teacher),
        'baseline': labelled('student', recipe, student),
        'student': {
            **recipe,
            'networks': {'teacher': dict(teacher, update='frozen', init='run:teacher'), 'student': student},
            'terms': {
                'hard': dict(loss='cross_entropy', logits='student.logits', labels='batch.label', weight=0.5),
                'soft': dict(loss='kd', student='student.logits', target='teacher.logits', t=1.0, weight=0.5),
            },
            'evaluate': {'student': dict(logits='student.logits', teacher='teacher.logits')},
        },
    }


def patient_runs() -> dict[str, Any]:
    teacher, student = net('resnet152', CENTRED, width=2), net(STUDENT['patient'], CENTRED)
    rate = dict(schedule='cosine', peak=0.03, warmup=0.0133)  # 5,000 of about 375,000 steps
    return {
        'teacher': labelled('teacher', short(100), teacher),
        'baseline': labelled('student', short(100), student),
        'student': {
            'data': images(resized_crop=0.05, mixup=1.0),
            'batch_size': 4096,
            'epochs': EPOCHS['patient'],
            'eval_every': 10,
            'optimizer': dict(name='adamw', learning_rate=rate, weight_decay=0.01, clip=1.0),
            'networks': {'teacher': dict(teacher, update='frozen', init='run:teacher'), 'student': student},
            'terms': {'soft': dict(loss='kd', student='student.logits', target='teacher.logits', t=1.0)},
            'evaluate': {'student': dict(logits='student.logits', teacher='teacher.logits')},
        },
    }


def get_report(variant: str = '') -> dict[str, Any]:
    """How the study is shown; the paper's numbers are from Tian et al. (2020), table 4."""
    of_student = {name: f'last.test.student.{name}' for name in ('accuracy', 'agreement')}
    of_teacher = {'accuracy': 'last.test.teacher.accuracy'}
    paper = dict(teacher=0.7331, baseline=0.6975, student=0.7066)
    beside = {name: {} if variant else {'paper': {'accuracy': value}} for name, value in paper.items()}
    soft = 'student, KL alone' if variant else 'student, KD at T = 1'
    return {
        'tables': {
            'accuracy': dict(
                title='Accuracy on the validation images', columns=of_student,
                rows={
                    'teacher': dict(label='teacher', columns=of_teacher, **beside['teacher']),
                    'baseline': dict(label='student, labels alone', **beside['baseline']),
                    'student': dict(label=soft, **beside['student']),
                },
            )
        },
        'figures': {
            'curves': dict(
                title='Learning curves', kind='curves', runs=('baseline', 'student'), y='test.student.accuracy',
                ylabel='accuracy on the validation images',
            )
        },
    }  # fmt: skip
