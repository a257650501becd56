"""An encoder halved, as DistilBERT was (Sanh et al. 2019): a BERT trained here, and students with half of its layers.

  python -m experiments.run --config=configs/encoder_halved.py           # small nets, little text, one seed
  python -m experiments.run --config=configs/encoder_halved.py:full      # all texts, three seeds

The teacher has four layers and learns masked words of the included texts. The student has two, starts from every second
layer of the teacher, and learns by three losses: 5 T^2 KL to the teacher's words and 1 - cosine to its last hidden
states on all tokens, and 2 times the cross-entropy of masked words; T = 2. Arms leave each loss out, start from random
weights, or learn from masked words alone (from the teacher's layers, as the others do).

All are judged alike: a linear classifier on the mean of the last hidden states, trained together with the encoder, says
whether human raters found a review positive. The last 3,000 reviews are held out of everything, the vocabulary too:
1,000 for validation, 2,000 for testing. DistilBERT keeps 97% of its teacher's score on GLUE with 40% fewer parameters,
and is 60% faster.

The sizes of `full` are meant for at most five hours on two cores. It has not been run yet; `--plan` shows the time that
is left once one run is done.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'full')
T = 2.0
HELD = dict(tokenizer='words', held_by='position', valid_documents=1000, test_documents=2000)
TEXT = ['batch.tokens', 'batch.segment', 'batch.position']
BODY = ['embedding', 'positions', 'types', 'embedding_norm', 'blocks']  # all modules but the head for words
ADAM = dict(name='adamw', weight_decay=0.01, clip=1.0)
SIZES: dict[str, dict[str, Any]] = {
    '': dict(texts=['handbook', 'sentiment'], width=64, teacher_epochs=2.0, epochs=1.0, tuning=2, seeds=1),
    'full': dict(
        texts=['python_docs', 'handbook', 'plays', 'sentiment'], width=128, teacher_epochs=3.0, epochs=0.75, tuning=3,
        seeds=3,
    ),
}  # fmt: skip
TERMS: dict[str, dict[str, Any]] = {
    'soft': dict(
        loss='kd', student='student.logits', target='teacher.logits', t=T, mask='batch.segment', weight=5.0
    ),
    'words': dict(loss='cross_entropy', logits='student.logits', labels='batch.label', mask='batch.mask', weight=2.0),
    'hidden': dict(loss='cosine', student='student.features', target='teacher.features', mask='batch.segment'),
}  # fmt: skip
ARMS = {
    'triple': 'all three losses',
    'no_soft': 'without KL',
    'no_words': 'without masked words',
    'no_hidden': 'without cosine',
    'random': 'all three, random start',
    'labels': 'masked words alone',
}


def get_config(variant: str = '') -> ConfigDict:
    sizes = SIZES[variant]
    config = ConfigDict()
    config.name = f'encoder_halved_{variant}' if variant else 'encoder_halved'
    config.title = 'An encoder halved'
    config.text = __doc__.split('\n\n', 2)[-1].rpartition('\n\n')[0].strip()
    config.seeds = sizes['seeds']
    config.runs = {
        'teacher': masked_words(
            sizes, sizes['teacher_epochs'], {'teacher': encoder(sizes, 4)},
            {'words': dict(TERMS['words'], logits='teacher.logits', weight=1.0)},
        ),
        **{arm: student(arm, sizes) for arm in ARMS},
        **{f'{name}_tuned': tuned(name, sizes) for name in ('teacher', *ARMS)},
    }  # fmt: skip
    return config


def encoder(sizes: dict[str, Any], layers: int, **options: Any) -> dict[str, Any]:
    width = sizes['width']
    shape = dict(vocabulary=4096, width=width, layers=layers, heads=width // 32, mlp_width=4 * width, window=128)
    return dict(model='encoder', **shape, input=TEXT, **options)


def masked_words(
    sizes: dict[str, Any], epochs: float, networks: dict[str, Any], terms: dict[str, Any], **options: Any
) -> dict[str, Any]:
    """A run on rows of 128 tokens, with other words masked in each epoch."""
    data = dict(HELD, source='text', documents=sizes['texts'], length=128, predicts='masked')
    return {
        'data': dict(data, augment=dict(mask_words=0.15)),
        'batch_size': 32, 'epochs': epochs, 'eval_every': epochs / 3, 'networks': networks, 'terms': terms,
        'optimizer': dict(ADAM, learning_rate=dict(schedule='cosine', peak=2e-3, warmup=0.1)),
        'evaluate': {name: dict(metrics='sequences', logits=f'{name}.logits') for name in networks}, **options,
    }  # fmt: skip


def student(arm: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """A student of two layers, which start from the second and the fourth of the teacher, or from random weights."""
    start = {} if arm == 'random' else dict(init='run:teacher/teacher', init_layers=(2, 4))
    networks = {'student': encoder(sizes, 2, **start)}
    terms = {name: term for name, term in TERMS.items() if arm != f'no_{name}' and (arm != 'labels' or name == 'words')}
    metrics = dict(metrics='sequences', logits='student.logits')
    if arm != 'labels':
        networks['teacher'] = encoder(sizes, 4, update='frozen', init='run:teacher/teacher')
        metrics['teacher'] = 'teacher.logits'
    return masked_words(sizes, sizes['epochs'], networks, terms, evaluate={'student': metrics})


def tuned(name: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """An encoder and a linear classifier of its mean hidden states, trained on the reviews."""
    layers, source = (4, 'teacher') if name == 'teacher' else (2, 'student')
    data = dict(HELD, source='text', documents='sentiment', length=64, predicts='nothing', pack=False, longer='cut')
    return {
        'data': data, 'batch_size': 32, 'epochs': sizes['tuning'],
        'networks': {
            'encoder': encoder(sizes, layers, head='none', init=f'run:{name}/{source}', part=BODY),
            'head': dict(model='classifier', num_classes=2, input='encoder.sentence'),
        },
        'terms': {'hard': dict(loss='cross_entropy', logits='head.logits', labels='batch.positive')},
        'optimizer': dict(ADAM, learning_rate=dict(schedule='cosine', peak=5e-4, warmup=0.1)),
        'evaluate': {'sentiment': dict(logits='head.logits', labels='batch.positive')},
    }  # fmt: skip


def get_report(variant: str = '') -> dict[str, Any]:
    """What each student keeps of its teacher's accuracy on reviews, and how well it predicts masked words."""
    accuracy = 'last.test.sentiment.accuracy'
    words = {'accuracy of masked words': 'last.test.student.accuracy', 'KL to the teacher': 'last.test.student.kl'}
    own = {'accuracy of masked words': 'last.test.teacher.accuracy'}
    return {
        'tables': {
            'sentiment': dict(
                title='Reviews: positive or not', baseline='labels_tuned',
                columns={'test accuracy': accuracy, 'NLL': 'last.test.sentiment.nll'},
                rows={
                    'teacher_tuned': dict(label='teacher, 4 layers'),
                    **{f'{arm}_tuned': dict(label=f'2 layers, {words}') for arm, words in ARMS.items()},
                },
            ),
            'words': dict(
                title='Masked words', baseline='labels', columns=words,
                rows={
                    'teacher': dict(label='teacher, 4 layers', columns=own),
                    **{arm: dict(label=f'2 layers, {words}') for arm, words in ARMS.items()},
                },
            ),
        },
    }  # fmt: skip
