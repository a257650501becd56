"""An encoder halved, as DistilBERT was (Sanh et al. 2019): a BERT trained here, and students with half of its layers.

  python -m experiments.run --config=configs/encoder_halved.py           # small nets, little text, one seed
  python -m experiments.run --config=configs/encoder_halved.py:full      # all texts, three seeds
  python -m experiments.run --config=configs/encoder_halved.py:rates     # learning rates of the teacher of `full`

The teacher has four layers and learns masked words of the included texts. The student has two, starts from every second
layer of the teacher, and learns by three losses: 5 T^2 KL to the teacher's words and 1 - cosine to its last hidden
states on all tokens, and 2 times the cross-entropy of masked words; T = 2. Arms leave each loss out, start from random
weights, or learn from masked words alone (from the teacher's layers, as the others do). Two more learn nothing before
they are judged: every second layer of the teacher as it is, and two random layers. There is one teacher. All are judged
with each seed; the students that leave a loss out are trained with one seed, the others with each.

All are judged alike: a linear classifier on the mean of the last hidden states, trained together with the encoder, says
whether human raters found a review positive. 3,000 reviews are held out of everything: 1,000 for validation, 2,000 for
testing. The paper's numbers are those of DistilBERT on GLUE (its tables 1, 3 and 4); it measured speed on one sentence
at a time, and this study on 256 reviews.

The first variant took 12 minutes on one core. In both variants the teacher is not certainly better than random layers,
so no student could lose anything, and the claims about scores stay open. `rates` trains the teacher of `full` with four
learning rates; the best one by validation documents is the rate of `full`.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'full', 'rates')
RATES = (2.5e-4, 5e-4, 1e-3, 2e-3)  # the learning rates on masked words that `rates` tries
T = 2.0
HELD = dict(tokenizer='words', held_by='position', valid_documents=1000, test_documents=2000)
TEXT = ['batch.tokens', 'batch.segment', 'batch.position']
BODY = ['embedding', 'positions', 'types', 'embedding_norm', 'blocks']  # all modules but the head for words
ADAM = dict(name='adamw', weight_decay=0.01, clip=1.0)
HALF = dict(init='run:base/teacher', init_layers=(2, 4))
SIZES: dict[str, dict[str, Any]] = {  # epochs: those of the teacher, of a student, and on the reviews
    '': dict(
        texts=['handbook', 'sentiment'], width=64, teacher_epochs=0.5, epochs=0.1, tuning=0.5, rate=2e-3, seeds=1,
    ),
    'full': dict(
        texts=['python_docs', 'handbook', 'plays', 'sentiment'], width=128, teacher_epochs=8.0, epochs=1.0, tuning=1.5,
        rate=1e-3, seeds=3,
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
ONCE = ('no_soft', 'no_words', 'no_hidden')  # distilled with one seed, and judged with each
AS_THEY_ARE = {'cut': 'the teacher’s layers as they are', 'untrained': 'random layers'}
LEFT_OUT = {  # DistilBERT, table 4: by how many points the mean score on GLUE changes
    'no_soft': ('Without KL', -0.0296), 'no_hidden': ('Without cosine', -0.0146),
    'no_words': ('Without masked words', -0.0031), 'random': ('From random weights', -0.0369),
}  # fmt: skip


def get_config(variant: str = '') -> ConfigDict:
    sizes = SIZES['full' if variant == 'rates' else variant]
    config = ConfigDict()
    config.name = f'encoder_halved_{variant}' if variant else 'encoder_halved'
    config.title = 'An encoder halved'
    config.text = __doc__.split('\n\n', 2)[-1].rpartition('\n\n')[0].strip()
    config.seeds = sizes['seeds']
    config.group_runs = 'map'
    if variant == 'rates':
        config.title += ': learning rates of the teacher'
        config.runs = {rate_name(rate): teacher(sizes | dict(rate=rate)) for rate in RATES}
        return config
    to_judge = {arm: f'{arm}_once' if arm in ONCE else arm for arm in ARMS}
    config.runs = {
        'teacher': teacher(sizes),
        'base': for_every_seed('teacher/teacher', sizes),
        **{arm: student(arm, sizes) for arm in ARMS},
        **{f'{arm}_once': for_every_seed(f'{arm}/student', sizes) for arm in ONCE},
        'teacher_tuned': tuned(sizes, encoder(sizes, 4, head='none', init='run:base/teacher', part=BODY)),
        **{
            f'{arm}_tuned': tuned(sizes, encoder(sizes, 2, head='none', init=f'run:{name}/student', part=BODY))
            for arm, name in to_judge.items()
        },
        'cut_tuned': tuned(sizes, encoder(sizes, 2, head='none', part=BODY, **HALF)),
        'untrained_tuned': tuned(sizes, encoder(sizes, 2, head='none')),
    }  # fmt: skip
    return config


def for_every_seed(trained: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """A network that is trained with one seed, for the runs of every seed."""
    transform = dict(name='average_weights', of=f'run:{trained}', seeds=[0])
    return {'data': words_of(sizes), 'transform': transform}


def rate_name(rate: float) -> str:
    return f'rate_{rate:g}'.replace('.', '_')


def teacher(sizes: dict[str, Any]) -> dict[str, Any]:
    terms = {'words': dict(TERMS['words'], logits='teacher.logits', weight=1.0)}
    return masked_words(sizes, sizes['teacher_epochs'], {'teacher': encoder(sizes, 4)}, terms, seeds=1)


def encoder(sizes: dict[str, Any], layers: int, **options: Any) -> dict[str, Any]:
    width = sizes['width']
    shape = dict(vocabulary=4096, width=width, layers=layers, heads=width // 32, mlp_width=4 * width, window=128)
    return dict(model='encoder', **shape, input=TEXT, **options)


def masked_words(
    sizes: dict[str, Any], epochs: float, networks: dict[str, Any], terms: dict[str, Any], **options: Any
) -> dict[str, Any]:
    """A run on rows of 128 tokens, with other words masked in each epoch."""
    return {
        'data': dict(words_of(sizes), augment=dict(mask_words=0.15)),
        'batch_size': 16, 'epochs': epochs, 'eval_every': epochs / 2, 'evaluate_train': False, 'networks': networks,
        'terms': terms, 'matmul_precision': 'bfloat16',
        'optimizer': dict(ADAM, learning_rate=dict(schedule='cosine', peak=sizes['rate'], warmup=0.1)),
        'evaluate': {name: dict(metrics='sequences', logits=f'{name}.logits') for name in networks}, **options,
    }  # fmt: skip


def words_of(sizes: dict[str, Any]) -> dict[str, Any]:
    return dict(HELD, source='text', documents=sizes['texts'], length=128, predicts='masked')


def student(arm: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """A student of two layers, which start from the second and the fourth of the teacher, or from random weights."""
    networks = {'student': encoder(sizes, 2, **({} if arm == 'random' else HALF))}
    terms = {name: term for name, term in TERMS.items() if arm != f'no_{name}' and (arm != 'labels' or name == 'words')}
    metrics = dict(metrics='sequences', logits='student.logits')
    if arm != 'labels':
        networks['teacher'] = encoder(sizes, 4, update='frozen', init='run:base/teacher')
        metrics['teacher'] = 'teacher.logits'
    seeds = dict(seeds=1) if arm in ONCE else {}
    return masked_words(sizes, sizes['epochs'], networks, terms, evaluate={'student': metrics}, **seeds)


def tuned(sizes: dict[str, Any], net: dict[str, Any]) -> dict[str, Any]:
    """An encoder and a linear classifier of its mean hidden states, trained on the reviews."""
    data = dict(HELD, source='text', documents='sentiment', length=48, predicts='nothing', pack=False, longer='cut')
    return {
        'data': data, 'batch_size': 32, 'epochs': sizes['tuning'], 'evaluate_train': False,
        'matmul_precision': 'bfloat16',
        'networks': {'encoder': net, 'head': dict(model='classifier', num_classes=2, input='encoder.sentence')},
        'terms': {'hard': dict(loss='cross_entropy', logits='head.logits', labels='batch.positive')},
        'optimizer': dict(ADAM, learning_rate=dict(schedule='cosine', peak=5e-4, warmup=0.1)),
        'evaluate': {'sentiment': dict(logits='head.logits', labels='batch.positive')},
        'analyses': {'speed': dict(analysis='speed', output='head.logits', splits=['test'])},
    }  # fmt: skip


ACCURACY, SIZE = 'last.test.sentiment.accuracy', 'parameters.encoder'
SPEED = 'analyses.speed.examples_per_second'


def get_report(variant: str = '') -> dict[str, Any]:
    """What each student keeps of its teacher's accuracy on reviews, and how well it predicts masked words."""
    if variant == 'rates':
        return report_of_rates()
    measured = {'NLL of masked words': 'nll', 'accuracy of masked words': 'accuracy'}
    words = {title: f'last.test.student.{name}' for title, name in measured.items()}
    words['KL to the teacher'] = 'last.test.student.kl'
    own = {title: f'last.test.teacher.{name}' for title, name in measured.items()}
    labels = {arm: f'2 layers, {words}' for arm, words in ARMS.items()}
    judged = labels | {name: f'2 layers, {words}' for name, words in AS_THEY_ARE.items()}
    tables = {
        'sentiment': dict(
            title='Reviews: positive or not', baseline='labels_tuned', teachers=('teacher_tuned',),
            compare='test accuracy',
            columns={
                'test accuracy': ACCURACY, 'NLL': 'last.test.sentiment.nll', 'parameters': SIZE,
                'reviews a second': SPEED,
            },
            rows={'teacher_tuned': dict(label='teacher, 4 layers')}
            | {f'{name}_tuned': dict(label=label) for name, label in judged.items()},
        ),
        'words': dict(
            title='Masked words', baseline='labels', columns=words,
            rows={'teacher': dict(label='teacher, 4 layers', columns=own)}
            | {name: dict(label=label) for name, label in labels.items()},
        ),
    }  # fmt: skip
    drawn = {words: f'kept_{name}' for name, words in (ARMS | AS_THEY_ARE).items()}
    kept = dict(
        title='The student’s accuracy as a share of its teacher’s',
        xlabel='share of the teacher’s accuracy',
        caption='Mean and standard deviation over seeds. Dashed: the teacher. Diamond: DistilBERT on GLUE, 97%.',
    )
    return {
        'tables': tables, 'claims': claims(judged), 'lead': 'kept',
        'figures': {'kept': dict(kept, kind='shares', claims=drawn)},
    }  # fmt: skip


def report_of_rates() -> dict[str, Any]:
    """Validation documents alone."""
    nll = 'last.valid.teacher.nll'
    figure = dict(
        title='Learning rates', kind='lines', runs={'teacher': 'rate_*'}, x='config.optimizer.learning_rate.peak',
        y=nll, log_x=True, xlabel='learning rate', ylabel='NLL of validation documents',
    )  # fmt: skip
    columns = {'NLL': nll, 'accuracy of masked words': 'last.valid.teacher.accuracy'}
    rows = {rate_name(rate): dict(label=f'learning rate {rate:g}') for rate in RATES}
    tables = {'rates': dict(title='The teacher after its eight epochs', columns=columns, rows=rows)}
    return {'tables': tables, 'figures': {'rates': figure}, 'lead': 'rates'}


def claims(judged: dict[str, str]) -> dict[str, Any]:
    """The paper's claims of score, size and speed, of each loss and of the start, and the share that each arm keeps."""
    # If what the teacher learned does not help to judge reviews, no student can lose it.
    learned = dict(
        value=f'teacher_tuned:{ACCURACY}', above=f'untrained_tuned:{ACCURACY}',
        otherwise='the teacher is not certainly better than random layers',
    )  # fmt: skip
    pair: dict[str, dict[str, Any]] = {
        name: dict(kind='ratio', value=f'triple_tuned:{path}', high=f'teacher_tuned:{path}')
        for name, path in (('score', ACCURACY), ('size', SIZE), ('speed', SPEED))
    }
    shares = {
        f'kept_{arm}': dict(pair['score'], value=f'{arm}_tuned:{ACCURACY}', title=f'Share of the score kept: {label}')
        for arm, label in judged.items()
    }
    shares['kept_triple'] |= dict(
        title='The student keeps 97% of the score', paper=0.97, rule=dict(at_least=0.97), provided=learned
    )
    return {
        **shares,
        'size': dict(
            pair['size'], title='It is 40% smaller', paper=0.6, rule=dict(at_most=0.6),
            why='The embeddings of words and positions, which are not halved, are a larger share of these small nets.',
        ),
        'speed': dict(pair['speed'], title='It is 60% faster', paper=1.6, rule=dict(at_least=1.6)),
        **{
            f'needs_{arm}': dict(
                kind='difference', title=f'{words} it scores lower', value=f'{arm}_tuned:{ACCURACY}',
                low=f'triple_tuned:{ACCURACY}', paper=paper, rule=dict(below=0.0), provided=learned,
            )
            for arm, (words, paper) in LEFT_OUT.items()
        },
    }  # fmt: skip
