"""Tries recipes for the teacher and the student of section 3 of Hinton, Vinyals & Dean (2015), on MNIST.

  python -m experiments.run --config=configs/hinton_mnist_recipes.py

The paper's student makes 74 errors where its teacher makes 67. Ours makes 91 where its teacher makes 72
(configs/hinton_mnist.py:paper). Each run changes one thing. All train on 55,000 images and are compared on 5,000
validation images. The KL divergence from the teacher there says most: it is much less noisy than a count of errors.
Test errors are shown and choose nothing.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.hinton_mnist import adam, distilled, student_net, teacher

VARIANTS = ('',)
DATA = dict(source='mnist', valid=5000)
JITTERED = dict(DATA, augment=dict(crop=2))
CONSTANT = dict(name='adam', learning_rate=1e-3)


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
    return found


def students() -> dict[str, Any]:
    """Students of `teacher`: soft targets alone, T = 20, unless the name says otherwise."""
    plain = distilled(DATA, t=20.0, epochs=30)
    longer = dict(plain, epochs=80)
    jittered = distilled(JITTERED, t=20.0, epochs=60)
    sgd = dict(name='sgd', learning_rate=dict(schedule='cosine', peak=0.02, warmup=0.05), momentum=0.9, clip=1.0)
    return {
        'plain': plain,
        'averaged': averaged(dict(plain, epochs=60, optimizer=CONSTANT)),
        'longer': longer,
        'max_norm': dict(longer, optimizer=dict(adam(), max_norm=3.0)),
        'max_norm_tight': dict(longer, optimizer=dict(adam(), max_norm=1.5)),
        'weight_decay': dict(longer, optimizer=dict(adam(), name='adamw', weight_decay=0.1)),
        'small_batches': dict(plain, batch_size=16, epochs=20),
        'sgd': dict(longer, optimizer=sgd),
        't4': distilled(DATA, t=4.0, epochs=80),
        'dropout': with_student(longer, dropout=0.25),
        'he': with_student(longer, init_sd=0.0),
        'jittered': jittered,
        'jittered_averaged': averaged(dict(jittered, epochs=100, optimizer=CONSTANT)),
    }


def with_student(run: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(run, networks=dict(run['networks'], student=dict(student_net(), **options)))


def averaged(run: dict[str, Any]) -> dict[str, Any]:
    """The run with a constant learning rate, judged by the moving average of the student's weights."""
    follower = dict(run['networks']['student'], update='follow', of='student', rule='ema', decay=0.9995)
    networks = dict(run['networks'], average=follower)
    return dict(run, networks=networks, evaluate={'student': dict(logits='average.logits', teacher='teacher.logits')})
