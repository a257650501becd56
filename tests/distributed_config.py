"""A run of seconds for several processes: dropout, crops and momentum are on, each process reads its own rows."""

from ml_collections import ConfigDict


def get_config(variant: str = '') -> ConfigDict:
    assert not variant
    c = ConfigDict()
    c.name = 'distributed'
    c.seeds = 1
    c.runs = ConfigDict()
    c.runs.net = {
        'data': {'source': 'tests.multidevice_cases:source', 'augment': {'crop': 1}, 'resident': False},
        'batch_size': 16,
        'epochs': 5.0,
        'checkpoint_seconds': 0.0,
        'networks': {'net': {'model': 'mlp', 'hidden': (64,), 'num_classes': 3, 'dropout': 0.2}},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label'}},
        'optimizer': {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9},
    }
    return c
