"""An ensemble into one model: section 4 of Hinton, Vinyals & Dean (2015) on public data, in five regimes.

  python -m experiments.run --config=configs/hinton/ensemble.py         # an hour on one core
  python -m experiments.run --config=configs/hinton/ensemble.py:rates   # how the learning rates of `fresh` were chosen

The paper keeps more than 80% of what an ensemble of ten gains over one net. Its 2,000 hours of speech are more than its
nets can memorise. Whether a student can do the same here depends on the images that it learns from:

- `again`: the 5,000 images that the ensemble was trained on. The nets have memorised their labels.
- `stopped`: the same 5,000 images, but the ensemble is trained for 10 epochs instead of 40, so it memorises less.
- `mixed`: mixtures of two of these 5,000 images (mixup, Zhang et al. 2018), without labels.
- `unlabelled`: the 55,000 training images, without labels; the ensemble has seen 5,000 of them.
- `fresh`: the ensemble itself is trained on all 55,000 images, jittered, in few passes. Nothing is memorised.

40% of the training labels are replaced by random ones, because the labels of speech are noisy and MNIST's are not. All
nets are 784-100-100-10. Every student has the number of steps of its regime: 1,560 in `again`, `stopped` and `mixed`,
8,580 in `unlabelled` and 4,290 in `fresh`. The temperature is chosen on 5,000 validation images. So are the 10 epochs
of `stopped`, from the curves of the ensemble of `again`, and the learning rates of `fresh`: the variant `rates` tries
three for the ensemble and for the student. As the paper says, soft targets allow a higher one.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.reports.hinton_ensemble import ensemble_report, members_of
from kd_jax.config.sweeps import grid

VARIANTS = ('', 'rates')
RATES = (1e-3, 3e-3, 1e-2)
TEMPERATURES = (1.0, 2.0, 5.0, 10.0)
NET = dict(model='mlp', hidden=(100, 100))
ALL = dict(source='mnist', valid=5000, valid_by='position', label_noise=0.4)
FEW = dict(ALL, examples=5000)
MIXED = dict(FEW, augment=dict(mixup=1.0))
JITTERED = dict(ALL, augment=dict(crop=2))
# Data, epochs and learning rate of the ensemble, and of the students.
REGIMES = {
    'again': ((FEW, 40, 1e-3), (FEW, 40, 1e-3)),
    'stopped': ((FEW, 10, 1e-3), (FEW, 40, 1e-3)),
    'mixed': ((FEW, 40, 1e-3), (MIXED, 40, 1e-3)),
    'unlabelled': ((FEW, 40, 1e-3), (ALL, 20, 1e-3)),
    'fresh': ((JITTERED, 10, 3e-3), (JITTERED, 10, 1e-2)),
}


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = f'hinton_ensemble_{variant}' if variant else 'hinton_ensemble'
    config.title = 'Learning rates for an ensemble and its student' if variant else 'An ensemble into one model'
    config.text = __doc__.split('\n\n', 2)[-1].strip()
    config.seeds = 1 if variant else 5
    config.runs = rates() if variant else regimes()
    return config


def regimes() -> dict[str, Any]:
    """In every regime: an ensemble, and students of its soft targets and of its decisions."""
    found: dict[str, Any] = {}
    for regime, (taught_on, student_on) in REGIMES.items():
        members = members_of(regime)
        found[members] = ensemble(*taught_on)
        found[f'{regime}_decisions'] = student(members, *student_on, dict(loss='hard_kd'))
        found |= grid(soft(members, *student_on), {'terms.soft.t': TEMPERATURES}, regime + '_t{t:g}')
    found['again_longer'] = student('members_few', FEW, 200, 1e-3, dict(loss='kd', t=10.0))
    found['fresh_longer'] = soft('members_fresh', JITTERED, 50, 1e-2)
    wider = soft('members_fresh', *REGIMES['fresh'][1])
    wider['networks']['student'] = dict(NET, hidden=(300, 300))
    found['fresh_wider'] = wider
    found['fresh_single_longer'] = ensemble(JITTERED, 50, 3e-3)
    found['fresh_single_longer'] |= {'networks': {'member': NET}, 'analyses': {}}
    return found


def rates() -> dict[str, Any]:
    """The ensemble and the student of `fresh` at several learning rates; the students share an ensemble."""
    (data, epochs, chosen), _ = REGIMES['fresh']
    found = {f'members_{rate:.0e}': ensemble(data, epochs, rate) for rate in RATES}
    for rate in RATES:
        taught = soft(f'members_{chosen:.0e}', data, epochs, rate)
        found |= grid(taught, {'terms.soft.t': TEMPERATURES[:2]}, f'student_{rate:.0e}_t{{t:g}}')
    return found


def soft(members: str, data: dict[str, Any], epochs: int, rate: float) -> dict[str, Any]:
    return student(members, data, epochs, rate, dict(loss='kd', t=1.0, average='probabilities'))


def ensemble(data: dict[str, Any], epochs: int, rate: float) -> dict[str, Any]:
    """Ten nets that differ in their first weights alone."""
    return common(data, epochs, rate) | {
        'networks': {'member': dict(NET, copies=10)},
        'terms': {'hard': dict(loss='cross_entropy', logits='member.logits', labels='batch.label')},
        'analyses': {'ensemble': dict(analysis='ensemble', logits='member.logits', labels='batch.label')},
    }


def student(members: str, data: dict[str, Any], epochs: int, rate: float, loss: dict[str, Any]) -> dict[str, Any]:
    """One net that learns from the ensemble alone."""
    return common(data, epochs, rate) | {
        'cache': 'augment' not in data,
        'networks': {'teacher': dict(NET, copies=10, update='frozen', init=f'run:{members}'), 'student': NET},
        'terms': {'soft': dict(loss, student='student.logits', target='teacher.logits')},
    }


def common(data: dict[str, Any], epochs: int, rate: float) -> dict[str, Any]:
    return {
        'data': data, 'batch_size': 128, 'epochs': epochs, 'eval_every': max(1, epochs // 4),
        'optimizer': dict(name='adam', learning_rate=dict(schedule='cosine', peak=rate)),
    }  # fmt: skip


def get_report(variant: str = '') -> dict[str, Any]:
    """For each regime a single net, the ensemble and the students, and the share of the gain that a student keeps."""
    return {} if variant else ensemble_report()
