"""ImageNet: ResNet-34 to ResNet-18, and the long schedule of Beyer et al. (2022), arXiv 2106.05237.

  python -m experiments.run --config=configs/imagenet_kd.py             # 100 epochs, T = 1, half and half
  python -m experiments.run --config=configs/imagenet_kd.py:patient     # KL alone, mixup, 1200 epochs

The first is the recipe of Tian et al. (2020) and those who compare with them: SGD from 0.1 at batch 256, a tenth at
epochs 30, 60 and 90. There the teacher is torchvision's; to start from its file instead of training one:

  --only=student --config.runs.student.networks.teacher.init=torch:resnet34-b627a593.pth

The patient variant shows teacher and student the same crop and the same mixup. Theirs is a BiT-M-R152x2 that saw
ImageNet-21k first, with group norm; here it is a ResNet-152 of twice the width with batch norm, trained on ImageNet
alone, so numbers of the paper are no target for this one. Weight decay is that of the published config in optax's words
(there it is not multiplied by the learning rate).

Prepare the data once with `tfds build imagenet2012 --file_format=array_record`, from the two archives of the challenge.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'patient')
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CENTRED = dict(mean=0.5, std=0.5)
EPOCHS = {'': 100, 'patient': 1200}
STUDENT = {'': 'resnet18', 'patient': 'resnet50'}
TEXT = {
    '': 'ResNet-34 to ResNet-18, 100 epochs, half cross-entropy and half KL at T = 1; accuracy on the 50,000 '
    'validation images after the last epoch.',
    'patient': 'KL to a twice as wide ResNet-152 alone, one view for both with mixup, 1200 epochs; accuracy on the '
    '50,000 validation images after the last epoch.',
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
    """SGD with a step schedule at batch 256."""
    rate = dict(schedule='steps', start=0.1, at=(0.3, 0.6, 0.9))
    return {
        'data': images(resized_crop=0.08),
        'batch_size': 256,
        'epochs': epochs,
        'eval_every': 5,
        'optimizer': dict(name='sgd', learning_rate=rate, momentum=0.9, weight_decay=1e-4),
    }


def labelled(name: str, recipe: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    """One network on labels."""
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
    rate = dict(schedule='cosine', peak=0.03, warmup=0.0133)  # 5,000 of some 375,000 steps.
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
    """How the study is shown; Tian et al. (2020), table 4, has the numbers beside ours."""
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
                title='Accuracy in training', kind='curves', runs=('baseline', 'student'), y='test.student.accuracy',
                ylabel='accuracy on the validation images',
            )
        },
    }  # fmt: skip
