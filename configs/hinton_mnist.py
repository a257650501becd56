"""Hinton et al. (2015): MNIST errors of a big net, a small net, and the small net taught by the big one.

  python -m experiments.run --config=configs/hinton_mnist.py            # minutes on two cores
"""
from ml_collections import ConfigDict

VARIANTS = ('', 'paper')

def get_config(variant=''):
    c = ConfigDict()
    c.name = 'hinton_mnist'
    c.seeds = 1
    c.runs = ConfigDict()
    base = dict(data=dict(source='mnist', valid=5000, examples=10000), batch_size=128, epochs=3)
    c.runs.teacher = dict(base, networks=dict(teacher=dict(model='mlp', hidden=(1200,1200), dropout_input=.1, dropout=.3)), terms=dict(hard=dict(loss='cross_entropy', logits='teacher.logits', labels='batch.label')), optimizer=dict(name='sgd', learning_rate=dict(schedule='cosine', peak=.1), momentum=.9, max_norm=3.))
    c.runs.student = dict(base, networks=dict(teacher=dict(model='mlp', hidden=(1200,1200), update='frozen', init='run:teacher'), student=dict(model='mlp')), terms=dict(soft=dict(loss='kd', student='student.logits', target='teacher.logits', t=20.)), optimizer=dict(name='adam', learning_rate=dict(schedule='cosine', peak=.001)),evaluate=dict(student=dict(logits='student.logits',teacher='teacher.logits')))
    return c
