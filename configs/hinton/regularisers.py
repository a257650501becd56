"""Soft targets as regularisers: section 6 of Hinton, Vinyals & Dean (2015) on MNIST.

  python -m experiments.run --config=configs/hinton/regularisers.py      # an hour on one core

In the paper, soft targets of a net that was trained on all data recover 87% of what is lost with 3% of the data, and
need no early stopping. Here the net 784-800-800-10 learns from 1 to 100% of 55,000 images: from labels, and from the
soft targets of the same net trained on labels of all 55,000. Every run has as many steps. The last evaluation counts;
early stopping, for labels, takes the evaluation with the fewest errors on 5,000 validation images. Temperatures were
compared there too.

The runs `views` show each of the same 3% of the images shifted by up to one or two pixels, and ask the teacher about
what they show. The paper did not do this.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.hinton_mnist import adam, baseline, distilled, student_net

VARIANTS = ('',)
IMAGES = {1: 550, 3: 1650, 10: 5500, 30: 16_500}  # by percent of the 55,000
STEPS = 6450  # 15 epochs of all images
BATCH = 128
ALL = dict(source='mnist', valid=5000, valid_by='position')


def get_config(variant: str = '') -> ConfigDict:
    config = ConfigDict()
    config.name = 'hinton_regularisers'
    config.title = 'Soft targets as regularisers'
    config.text = __doc__.split('\n\n', 2)[-1].strip()
    config.seeds = 3
    config.runs = runs()
    return config


def runs() -> dict[str, Any]:
    found = {'all_hard': dict(baseline(ALL, epochs=30), eval_every=10)}
    for percent, images in IMAGES.items():
        few = dict(ALL, examples=images)
        found[f'hard_{percent}'] = few_images(baseline(few, 0, optimizer=adam()), images)
        found[f'soft_{percent}_t20'] = few_images(soft(few, 20.0), images)
    few, images = dict(ALL, examples=IMAGES[3]), IMAGES[3]
    for t in (2.0, 5.0, 50.0):
        found[f'soft_3_t{t:g}'] = few_images(soft(few, t), images)
    for pixels in (1, 2):
        views = dict(few, augment=dict(crop=pixels))
        found[f'hard_3_views{pixels}'] = few_images(baseline(views, 0, optimizer=adam()), images)
        found[f'soft_3_views{pixels}'] = few_images(soft(views, 20.0), images)
    return found


def soft(data: dict[str, Any], t: float) -> dict[str, Any]:
    return distilled(data, t=t, epochs=0, teacher_run='all_hard', teacher_net=student_net())


def few_images(run: dict[str, Any], images: int) -> dict[str, Any]:
    """The run with as many epochs of its few images as make `STEPS` steps, and sixteen evaluations."""
    epochs = round(STEPS / (images // BATCH))
    return dict(run, epochs=epochs, eval_every=max(1, epochs // 16))
