"""Hinton, Vinyals & Dean (2015), section 5, on three-digit numbers: a generalist and its specialists.

  python -m experiments.run --config=configs/hinton/specialists.py       # three seeds, about an hour on one core
  python -m experiments.run --config=configs/hinton/specialists.py:many  # four times as many images: about five hours

The images are three MNIST digits side by side, so there are 1,000 classes, and numbers that differ in one digit are
confused. Specialists learn subsets of classes that the generalist confuses. Three rows have the same cost as generalist
and specialists together: one net trained longer, a wider one, and an ensemble of two. Cost is the number of parameters
times the number of training examples seen. Nothing is chosen on test images.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.hinton.specialist_settings import (
    CLASSES,
    KINDS,
    MEMBERS,
    SETTINGS,
    SOFT_T,
    SPECIALISTS,
    SUBSET,
    TRANSFER,
    TRANSFER_EPOCHS,
    Setting,
)
from configs.hinton_mnist import adam
from configs.reports.hinton_specialists import report

VARIANTS = tuple(SETTINGS)


def get_config(variant: str = '') -> ConfigDict:
    config, setting = ConfigDict(), SETTINGS[variant]
    config.name = '_'.join(filter(None, ('hinton_specialists', variant)))
    config.title = 'A generalist and its specialists: three-digit numbers'
    config.text = f'{__doc__.split(chr(10) * 2)[-1].strip()} {setting.text}'.replace('\n', ' ')
    config.seeds = 3
    runs = generalists(setting) | specialists(setting) | combinations() | distilled_back()
    config.runs = {name: settled(run, setting) for name, run in runs.items()}
    return config


def settled(run: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """The run with the data and the sizes of nets of a setting."""
    common = dict(source='mnist_numbers', digits=3, shrink=2, train=setting.train, valid=10_000, test=10_000)
    nets = {name: sized(options, setting) for name, options in run['networks'].items()}
    return dict(run, data=common | run.get('data', {}), networks=nets)


def sized(options: dict[str, Any], setting: Setting) -> dict[str, Any]:
    return {'hidden': (setting.width,) * 2, **options} if options['model'] == 'mlp' else options


def net(classes: int = CLASSES, **options: Any) -> dict[str, Any]:
    return dict(model='mlp', num_classes=classes, **options)


def hard(network: str, **options: Any) -> dict[str, Any]:
    return dict(loss='cross_entropy', logits=f'{network}.logits', labels='batch.label', **options)


def frozen(run: str, **options: Any) -> dict[str, Any]:
    return net(update='frozen', init=f'run:{run}', **options)


def training(epochs: int, networks: dict[str, Any], terms: dict[str, Any], **options: Any) -> dict[str, Any]:
    common = {'batch_size': 128, 'eval_every': 1, 'optimizer': adam()}
    return {**common, 'epochs': epochs, 'networks': networks, 'terms': terms, **options}


def subset(number: int) -> str:
    return f'result:generalist.analyses.confusable.subsets.{number}'


def generalists(setting: Setting) -> dict[str, Any]:
    """The generalist, and what could be trained in place of specialists."""
    confusable = dict(
        analysis='confusable_classes', logits='generalist.logits', clusters=SPECIALISTS, size=SUBSET,
        scale='correlation',
    )  # fmt: skip
    terms = {'hard': hard('generalist')}
    members = training(setting.member_epochs, {'member': net(copies=MEMBERS)}, {'hard': hard('member')})
    together = dict(analysis='ensemble', logits='member.logits', labels='batch.label')
    return {
        'generalist': training(setting.epochs, {'generalist': net()}, terms, analyses={'confusable': confusable}),
        'longer': training(setting.longer, {'generalist': net()}, terms),
        'wider': training(setting.epochs, {'generalist': net(hidden=(setting.wider,) * 2)}, terms),
        'members': dict(members, analyses={'ensemble': together}),
    }


def specialists(setting: Setting) -> dict[str, Any]:
    """Three kinds of specialists; those with soft targets also learn what the generalist says of their images."""
    runs = {}
    head = dict(classes=SUBSET + 1)
    for m in range(SPECIALISTS):
        data = dict(subset=subset(m))
        started = net(**head, init='run:generalist', fresh=('head',))
        terms = {'hard': hard('specialist')}
        runs[f'specialist_{m}'] = training(setting.specialist_epochs, {'specialist': started}, terms, data=data)
        runs[f'fresh_{m}'] = training(setting.specialist_epochs, {'specialist': net(**head)}, terms, data=data)
        said = dict(model='subset_logits', input='generalist.logits', update='frozen', size=SUBSET, subset=subset(m))
        networks = {'specialist': started, 'generalist': frozen('generalist'), 'said': said}
        soft = dict(loss='kd', student='specialist.logits', target='said.logits', t=SOFT_T, weight=0.5)
        both = {'hard': hard('specialist', weight=0.5), 'soft': soft}
        evaluate = {'specialist': dict(logits='specialist.logits')}
        runs[f'soft_{m}'] = training(setting.specialist_epochs, networks, both, data=data, evaluate=evaluate)
    return runs


def experts(kind: str) -> dict[str, Any]:
    """The generalist and its specialists of one kind, frozen."""
    names = range(SPECIALISTS)
    own = {f's{m}': frozen(f'{kind}_{m}/specialist', classes=SUBSET + 1) for m in names}
    return {'generalist': frozen('generalist'), **own}


def oversampling(kind: str) -> tuple[str, ...]:
    return tuple(f'result:{kind}_{m}.oversampling' for m in range(SPECIALISTS))


def combinations() -> dict[str, Any]:
    """Generalist and specialists together, with and without the correction of the dustbin class."""
    runs = {}
    for kind in KINDS:
        scored = dict(
            analysis='specialists', generalist='generalist.logits', labels='batch.label', steps=50,
            specialist=tuple(f's{m}.logits' for m in range(SPECIALISTS)),
            subsets='result:generalist.analyses.confusable.subsets',
        )  # fmt: skip
        runs[f'combined_{kind}'] = {
            'batch_size': 128, 'epochs': 0, 'networks': experts(kind),
            'evaluate': {'generalist': dict(logits='generalist.logits')},
            'analyses': {'corrected': dict(scored, oversampling=oversampling(kind)), 'uncorrected': scored},
        }  # fmt: skip
    return runs


def distilled_back() -> dict[str, Any]:
    """One net of the generalist's size that learns from generalist and specialists, or from the generalist alone."""
    together = dict(
        model='combined_experts', input=('generalist.logits', *(f's{m}.logits' for m in range(SPECIALISTS))),
        update='frozen', subsets='result:generalist.analyses.confusable.subsets',
        oversampling=oversampling('specialist'),
    )  # fmt: skip
    sources = {
        'distilled_combined': ({**experts('specialist'), 'combined': together}, 'combined.logits'),
        'distilled_generalist': ({'generalist': frozen('generalist')}, 'generalist.logits'),
    }
    runs = {}
    for name, (teachers, target) in sources.items():
        soft = dict(loss='kd', student='student.logits', target=target, t=SOFT_T)
        evaluate = {'student': dict(logits='student.logits', teacher=target)}
        runs[name] = training(
            TRANSFER_EPOCHS, {**teachers, 'student': net()}, {'soft': soft}, cache=dict(dtype='float16'),
            data=dict(examples=TRANSFER), evaluate=evaluate,
        )  # fmt: skip
    return runs


def get_report(variant: str = '') -> dict[str, Any]:
    return report(SETTINGS[variant])
