"""A finished study whose student evaluates much: a chain that ends in the teacher's classifier, an average, copies."""

import json

import numpy as np

from kd_jax.studies.execute import execute_group
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

MODEL = {'model': 'mlp', 'hidden': (6,), 'num_classes': 3}
STUDENT = {**MODEL, 'hidden': (4,), 'normalize': {'mean': 0.5, 'std': 0.25}}
LOSSES = {
    'matched': {'loss': 'mse', 'student': 'projected.logits', 'target': 'teacher.hidden1'},
    'hard': {'loss': 'cross_entropy', 'logits': 'pair.logits', 'labels': 'batch.label'},
    'reader': {'loss': 'cross_entropy', 'logits': 'reader.logits', 'labels': 'batch.label'},
    'depth': {'loss': 'mse', 'student': 'depth.logits', 'target': 'batch.depth'},
    'tags': {'loss': 'bce', 'logits': 'tags.logits', 'target': 'batch.tags'},
}
NETWORKS = {
    'teacher': {**MODEL, 'update': 'frozen', 'init': 'run:teacher'},
    'student': STUDENT,
    'projected': {'model': 'mlp', 'hidden': (), 'num_classes': 6, 'input': 'student.hidden1'},
    'classifier': {'model': 'classifier', 'num_classes': 3, 'input': 'projected.logits', 'update': 'frozen',
                   'init': 'run:teacher', 'part': 'head'},
    'average': {**STUDENT, 'update': 'follow', 'rule': 'ema', 'of': 'student', 'decay': 0.5},
    'pair': {**MODEL, 'copies': 2},
    'reader': {**MODEL, 'hidden': (), 'input': ['pair.hidden1'], 'copies': 2},
    'depth': {'model': 'mlp', 'hidden': (), 'num_classes': 1, 'input': 'student.hidden1'},
    'tags': {'model': 'mlp', 'hidden': (4,), 'num_classes': 2},
}  # fmt: skip
EVALUATE = {
    'simkd': {'logits': 'classifier.logits', 'teacher': 'teacher.logits', 'best': 'nll'},
    'average': {'logits': 'average.logits'},
    'pair': {'logits': 'pair.logits'},
    'second': {'logits': 'reader.logits'},
    'depth': {'metrics': 'regression', 'prediction': 'depth.logits', 'target': 'batch.depth'},
    'tags': {'metrics': 'multi_label', 'logits': 'tags.logits', 'target': 'batch.tags'},
}


def edit_result(workdir, run_id, old='', new='', **changes):
    """Edits a result as somebody else may write it: another text, other entries, no checksum; None drops an entry."""
    path = workdir / 'results' / f'{run_id}.json'
    result = {
        **json.loads(path.read_text().replace(old, new) if old else path.read_text()),
        'checksum': None,
        **changes,
    }
    path.write_text(json.dumps({key: value for key, value in result.items() if value is not None or key == 'stopped'}))


def data(path):
    """60 images of three classes, with tags and depths that depend on them."""
    rng = np.random.default_rng(0)
    label = np.arange(60, dtype=np.int32) % 3
    image = np.clip(rng.normal(60 + 40 * label[:, None, None], 50, (60, 4, 4)), 0, 255).astype(np.uint8)
    arrays = {
        'image': image,
        'label': label,
        'depth': image.mean((1, 2), dtype=np.float32)[:, None] / 255,
        'tags': np.stack([image[:, 0, 0] > 99, label == 1], 1).astype(np.float32),
    }
    np.savez(path, **{f'{split}_{name}': a[::2] for name, a in arrays.items() for split in ('train', 'test')})
    return {'source': 'npz', 'path': str(path), 'num_classes': 3, 'valid': 10}


def finish(path):
    """Trains the study in the directory `path`. The rate jumps at the end, so the best evaluation is not the last."""
    (path / 'results').mkdir()
    rate = {'schedule': 'steps', 'start': 0.2, 'at': (0.98,), 'factor': 6.0}
    common = {
        'data': data(path / 'data.npz'),
        'batch_size': 10,
        'epochs': 40,
        'eval_every': 20,
        'optimizer': {'learning_rate': rate},
    }
    hard = {'loss': 'cross_entropy', 'logits': 'teacher.logits', 'labels': 'batch.label'}
    runs = {
        'teacher': {**common, 'networks': {'teacher': MODEL}, 'terms': {'hard': hard}},
        'student': {**common, 'networks': NETWORKS, 'terms': LOSSES, 'evaluate': EVALUATE},
    }
    planned = parse_study({'name': 'small', 'runs': runs}, 'here')
    for result in execute_group(planned, planned.runs, Workdir(path), lambda *_: None):
        assert isinstance(result, dict), result
    return path
