"""Llama 3.1 8B teaches Llama 3.2 1B, on slices of TPUs: a config for scale.

  python -m experiments.preflight --config=configs/llama_kd.py --run=kd --topology=v5p:2x2x4   # memory and least time
  python -m experiments.run --config=configs/llama_kd.py               # needs weights and text, see below
  python -m experiments.run --config=configs/llama_kd.py:recorded      # the teacher's top 64 words are recorded first
  python -m experiments.run --config=configs/llama_kd.py:tiny          # seconds: the same study of two small decoders

The shapes are those of the files config.json of meta-llama/Llama-3.1-8B and meta-llama/Llama-3.2-1B on Hugging Face;
Grattafiori et al. (2024), "The Llama 3 Herd of Models", table 3, has those of 8B, too. Preflight needs neither weights
nor text. Training needs the directories Llama-3.1-8B and Llama-3.2-1B, with the .safetensors files of these models, and
a file corpus.jsonl of documents, beside each other where the command is started.

The teacher is frozen and computes in bfloat16. The student learns from its whole distribution over 128,256 words, or
in `recorded` from the 64 most probable ones with the sum of all others, and from the next word. `labels` is the same
student without the teacher. A step has 128 rows of 2,048 tokens, in four parts; all devices share each of them. All
weights are split over all devices. A slice of more than 32 chips needs fewer parts, or the axis `tensor`:

  --config.runs.kd.accumulate=1
  --config.runs.kd.mesh.fsdp=16 --config.runs.kd.mesh.tensor=4

docs/language.md says what preflight finds. The study has not been trained.
"""

from typing import Any

from ml_collections import ConfigDict

VARIANTS = ('', 'recorded', 'tiny')
TEACHER, STUDENT = 'Llama-3.1-8B', 'Llama-3.2-1B'
SMALL = dict(model='decoder', vocabulary=260, width=32, heads=4, kv_heads=2, mlp_width=64)
Config = dict[str, Any]


def get_config(variant: str = '') -> ConfigDict:
    tiny, config = variant == 'tiny', ConfigDict()
    config.name = '_'.join(filter(None, ('llama_kd', variant)))
    config.title = 'Two small decoders, as a test' if tiny else f'{TEACHER} teaches {STUDENT}'
    config.text = 'NLL and bits a byte on documents that were held out from the student.'
    config.seeds = 1
    config.group_runs = False
    shared = settings(tiny)
    teacher = network(dict(SMALL, layers=4) if tiny else dict(model='llama3_8b'), f'huggingface:{TEACHER}')
    student = network(dict(SMALL, layers=2) if tiny else dict(model='llama3_1b', remat=True), f'huggingface:{STUDENT}')
    if tiny:
        del teacher['init'], student['init']
    frozen = dict(teacher, update='frozen', init='run:teacher' if tiny else teacher['init'])
    taught: Config = {'networks': {'teacher': frozen, 'student': student}, 'terms': words('student') | soft(variant)}
    if variant == 'recorded':
        taught['networks']['top'] = dict(model='top_k', input='teacher.logits', update='frozen', k=64)
        taught['cache'] = dict(dtype='bfloat16')
    config.runs = {
        'teacher': {
            **shared, 'evaluate': {'teacher': measured('teacher')},
            **({'networks': {'teacher': teacher}, 'terms': words('teacher'), 'optimizer': adamw(3e-3)}
               if tiny else {'networks': {'teacher': frozen}, 'epochs': 0, 'accumulate': 1}),
        },
        'kd': {**shared, **taught, 'evaluate': {'student': measured('student')}},
        'labels': {
            **shared, 'networks': {'student': student}, 'terms': words('student'),
            'evaluate': {'student': measured('student')},
        },
    }  # fmt: skip
    return config


def settings(tiny: bool) -> Config:
    """What all runs have in common."""
    if tiny:
        data = dict(source='text', documents='sentiment', length=64, test_documents=2, examples=64)
        return {'data': data, 'batch_size': 8, 'epochs': 2, 'accumulate': 2, 'optimizer': adamw(1e-3)} | SPLIT
    data = dict(
        source='text', documents='corpus.jsonl', tokenizer=f'json:{STUDENT}/tokenizer.json', end='<|end_of_text|>',
        length=2048, test_documents=1000, in_memory=False,
    )  # fmt: skip
    return {
        'data': data, 'batch_size': 128, 'epochs': 1, 'accumulate': 4, 'eval_every': 0.1, 'checkpoint_seconds': 1800,
        'optimizer': adamw(2e-5),
    } | SPLIT  # fmt: skip


SPLIT = {'mesh': {'fsdp': -1}}


def network(model: Config, init: str) -> Config:
    read = ['batch.tokens', 'batch.segment', 'batch.position']
    return {**model, 'input': read, 'init': init, 'compute_dtype': 'bfloat16', 'sharding': 'fsdp'}


def words(student: str) -> Config:
    return {'words': dict(loss='cross_entropy', logits=f'{student}.logits', labels='batch.label', mask='batch.mask')}


def soft(variant: str) -> Config:
    """KL to the teacher's distribution of the next word, whole or of its most probable words."""
    if variant == 'recorded':
        return {
            'soft': dict(
                loss='kd_top_k', student='student.logits', log_probs='top.log_probs', classes='top.classes',
                t='top.t', mask='batch.mask',
            )
        }  # fmt: skip
    return {'soft': dict(loss='kd', student='student.logits', target='teacher.logits', t=1.0, mask='batch.mask')}


def adamw(peak: float) -> Config:
    rate = dict(schedule='cosine', peak=peak, warmup=0.02)
    return dict(name='adamw', learning_rate=rate, weight_decay=0.1, clip=1.0)


def measured(name: str) -> Config:
    return dict(metrics='sequences', logits=f'{name}.logits', bytes='batch.bytes')


def get_report(variant: str = '') -> Config:
    """How the study is shown: numbers on held-out documents, and the share of the gap that distillation closes."""

    def of(name: str) -> Config:
        return {'NLL': f'last.test.{name}.nll', 'bits a byte': f'last.test.{name}.bits_per_byte'}

    return {
        'tables': {
            'held_out': dict(
                title='On held-out documents', columns=dict(of('student'), parameters='parameters.student'),
                baseline='labels',
                rows={
                    'teacher': dict(label='teacher', columns=of('teacher')),
                    'kd': dict(label='student, taught'),
                    'labels': dict(label='student, labels alone'),
                },
            )
        },
        'claims': {
            'recovered': dict(
                title='Share of the gap between labels alone and the teacher that distillation closes', kind='share',
                value='kd:last.test.student.nll', low='labels:last.test.student.nll',
                high='teacher:last.test.teacher.nll',
            )
        },
    }  # fmt: skip
