"""Tries recipes for the teacher and the student of section 3 of Hinton, Vinyals & Dean (2015), on MNIST.

  python -m experiments.run --config=configs/hinton/recipes.py

The paper's student makes 74 errors where its teacher makes 67. Ours makes 89 where its teacher makes 73
(configs/hinton_mnist.py:paper). Most runs change one thing against 80 epochs of Adam; the labels of the rows say what.
It takes five hours on one core. All train on 55,000 images and are compared on 5,000 validation images. The KL
divergence from the teacher there says most: it is much less noisy than a count of errors. Test errors are shown and
choose nothing.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.hinton_mnist import adam, averaged, distilled, follow, student_net, teacher

VARIANTS = ('',)
DATA = dict(source='mnist', valid=5000)
JITTERED = dict(DATA, augment=dict(crop=2))
KL = 'KL from the teacher (validation)'
TEACHERS = {
    'teacher': '100 epochs',
    'teacher_longer': '200 epochs, batches of 256, higher learning rate',
    'teacher_averaged': '100 epochs, weights averaged',
    'teacher_dropout': '100 epochs, dropout of 0.5 instead of 0.25',
}
STUDENTS = {
    'plain': '30 epochs',
    'averaged': '60 epochs, constant learning rate, weights averaged',
    'longer': '80 epochs',
    'max_norm': '80 epochs, norm of incoming weights at most 3',
    'max_norm_tight': '80 epochs, norm of incoming weights at most 1.5',
    'weight_decay': '80 epochs, weight decay',
    'small_batches': '20 epochs, batches of 16',
    'sgd': '80 epochs, SGD with momentum',
    't4': '80 epochs, T = 4',
    'dropout': '80 epochs, dropout',
    'he': '80 epochs, first weights of He et al.',
    'masks': '80 epochs, the teacher drops units, other ones in each step',
    'mixed': '80 epochs, mixtures of two images',
    'jittered': '60 epochs, jittered images',
    'jittered_averaged': '100 epochs, jittered images, constant learning rate, weights averaged',
}
DRAWN = {
    'T = 20': 'longer', 'norm of weights ≤ 3': 'max_norm', 'weight decay': 'weight_decay', 'T = 4': 't4',
    'mixed images': 'mixed', 'jittered images': 'jittered',
}  # fmt: skip


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = 'hinton_mnist_recipes'
    config.title = 'Recipes for the teacher and the student of section 3'
    config.text = __doc__.split('\n\n')[-1].strip().replace('\n', ' ')
    config.seeds = 1
    config.runs = {name: dict(run, eval_every=10) for name, run in (teachers() | students()).items()}
    return config


def teachers() -> dict[str, Any]:
    found = {'teacher': teacher(JITTERED, epochs=100)}
    large = dict(found['teacher']['optimizer'], learning_rate=dict(schedule='cosine', peak=1.5e-3))
    found['teacher_longer'] = dict(teacher(JITTERED, epochs=200), batch_size=256, optimizer=large)
    mean = follow('teacher', found['teacher']['networks']['teacher'])
    found['teacher_averaged'] = dict(
        found['teacher'],
        networks=dict(found['teacher']['networks'], average=mean),
        evaluate={'teacher': dict(logits='average.logits')},
    )
    dropout = dict(found['teacher']['networks']['teacher'], dropout=0.5)
    found['teacher_dropout'] = dict(found['teacher'], networks={'teacher': dropout})
    return found


def students() -> dict[str, Any]:
    """Students of `teacher`: soft targets alone, T = 20, unless the name says otherwise."""
    plain = distilled(DATA, t=20.0, epochs=30)
    longer = dict(plain, epochs=80)
    jittered = distilled(JITTERED, t=20.0, epochs=60)
    sgd = dict(name='sgd', learning_rate=dict(schedule='cosine', peak=0.02, warmup=0.05), momentum=0.9, clip=1.0)
    return {
        'plain': plain,
        'averaged': averaged(dict(plain, epochs=60)),
        'longer': longer,
        'max_norm': dict(longer, optimizer=dict(adam(), max_norm=3.0)),
        'max_norm_tight': dict(longer, optimizer=dict(adam(), max_norm=1.5)),
        'weight_decay': dict(longer, optimizer=dict(adam(), name='adamw', weight_decay=0.1)),
        'small_batches': dict(plain, batch_size=16, epochs=20),
        'sgd': dict(longer, optimizer=sgd),
        't4': distilled(DATA, t=4.0, epochs=80),
        'dropout': with_student(longer, dropout=0.25),
        'he': with_student(longer, init_sd=0.0),
        'masks': with_active_dropout(longer),
        'mixed': distilled(dict(DATA, augment=dict(mixup=1.0)), t=20.0, epochs=80),
        'jittered': jittered,
        'jittered_averaged': averaged(dict(jittered, epochs=100)),
    }


def with_student(run: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(run, networks=dict(run['networks'], student=dict(student_net(), **options)))


def with_active_dropout(run: dict[str, Any]) -> dict[str, Any]:
    """Over the steps, the student learns the mean of its teacher's predictions over dropout masks.

    Dropout acts in networks that are trained. So the teacher is trained, by a learning rate of 0.
    """
    still = dict(name='sgd', learning_rate=0.0)
    taught = {key: option for key, option in run['networks']['teacher'].items() if key != 'update'}
    unused = dict(loss='cross_entropy', logits='teacher.logits', labels='batch.label', weight=0.0)
    return dict(
        run, cache=False, networks=dict(run['networks'], teacher=dict(taught, optimizer=still)),
        terms={'soft': dict(run['terms']['soft'], target='~teacher.logits'), 'unused': unused},
    )  # fmt: skip


def get_report(variant: str = '') -> dict[str, Any]:
    """Shows first what recipes are chosen by, on validation images, and the test errors last."""
    valid, test = 'last.valid.{}.errors', 'last.test.{}.errors'
    columns = {
        'validation errors': valid.format('student'), KL: 'last.valid.student.kl',
        'agreement (validation)': 'last.valid.student.agreement', 'test errors': test.format('student'),
    }  # fmt: skip
    own = {'validation errors': valid.format('teacher'), 'test errors': test.format('teacher')}
    taught = dict(label='the teacher', columns={heading: own.get(heading) for heading in columns})
    return {
        'tables': {
            'students': dict(
                title='Students', columns=columns, baseline='plain', compare=KL,
                text='Soft targets alone, at T = 20 unless a row says otherwise.',
                rows={'teacher': taught, **{run: dict(label=label) for run, label in STUDENTS.items()}},
            ),
            'teachers': dict(
                title='Teachers', columns=own, rows={run: dict(label=label) for run, label in TEACHERS.items()}
            ),
        },
        'figures': {
            'kl': dict(
                title='Length of training does not close the distance to the teacher', kind='curves',
                y='valid.student.kl', runs=DRAWN,
                ylabel='KL from the teacher, validation images',
                caption='On the same images, the student stops coming nearer to its teacher on unseen images after '
                'about 40 epochs. If it learns what the teacher says of shifted images, or of mixtures of two training '
                'images, it comes nearer.',
            ),
            'agreement': dict(
                title='Agreement with the teacher', kind='curves', y='valid.student.agreement',
                runs=DRAWN, ylabel='agreement, validation images',
            ),
        },
        'lead': 'kl',
    }  # fmt: skip
