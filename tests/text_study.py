"""A finished study of one tiny decoder on text, by bytes or by a tokenizer.json."""

import json

from kd_jax.studies.execute import execute_group
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

DECODER = {'model': 'decoder', 'vocabulary': 260, 'width': 8, 'layers': 2, 'heads': 2, 'mlp_width': 8, 'window': 32}


def text_study(directory, tokenizer='bytes', **options):
    """Trains for two steps; returns the work directory."""
    path = directory / 'a.jsonl'
    path.write_text(''.join(json.dumps({'text': 'abcdefgh' * 6}) + '\n' for _ in range(8)))
    data = {'source': 'text', 'documents': str(path), 'length': 16, 'valid_documents': 2, 'tokenizer': tokenizer}
    data['predicts'] = 'masked' if options.get('model') == 'encoder' else 'next'
    logits = {'logits': 'student.logits'}
    run = {
        'data': data, 'batch_size': 8, 'epochs': 1, 'optimizer': {'learning_rate': 0.1},
        'networks': {'student': {**DECODER, 'input': ['batch.tokens', 'batch.segment'], **options}},
        'terms': {'words': {'loss': 'cross_entropy', **logits, 'labels': 'batch.label', 'mask': 'batch.mask'}},
        'evaluate': {'student': {'metrics': 'sequences', **logits, 'bytes': 'batch.bytes'}},
    }  # fmt: skip
    study = parse_study({'name': 'text', 'runs': {'student': run}}, 'here')
    (directory / 'work' / 'results').mkdir(parents=True)
    (result,) = execute_group(study, study.runs, Workdir(directory / 'work'), lambda *_: None)
    assert isinstance(result, dict), result
    return directory / 'work'
