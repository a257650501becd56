import re

import flax.linen as nn
import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.sources import Source
from kd_jax.prepare.prepared_run import prepare_run

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 3, (20, 8, 8)).astype(np.int32)
IGNORED = np.where(RNG.random(MASK.shape) < 0.1, 255, MASK)
ARRAYS = {
    'image': RNG.integers(0, 256, (20, 8, 8), np.uint8), 'mask': MASK, 'ignored': IGNORED, 'counts': IGNORED != 255,
    'label': np.arange(20) % 3, 'teacher': RNG.normal(size=(20, 3)), 'tags': RNG.integers(0, 2, (20, 3)),
    'counted_tags': np.arange(20) > 1, 'soft_tags': np.r_[np.full((2, 3), 2.0), np.full((18, 3), 0.5)],
}  # fmt: skip


class Net(nn.Module):
    """Logits for each pixel, [batch, height, width, 3], and their mean over the image."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.Conv(3, (3, 3))(x[..., None])
        return {'logits': x, 'mean': x.mean((1, 2))}


def source(num_classes=0):
    return Source(ARRAYS, ARRAYS, num_classes or None)


def prepared(terms, evaluate=None, networks=None, **data):
    config = {
        'data': {'source': source, **data}, 'batch_size': 5, 'epochs': 1, 'optimizer': {'learning_rate': 0.1},
        'networks': {'net': {'model': Net}, **(networks or {})}, 'terms': terms,
        'evaluate': {'net': evaluate or {'logits': 'net.mean', 'labels': 'batch.label'}},
    }  # fmt: skip
    return prepare_run(config, 0, 'c')


def hard(labels, logits='net.logits', **options):
    return {'hard': {'loss': 'cross_entropy', 'logits': logits, 'labels': labels, **options}}


OF_IMAGE = hard('batch.label', 'net.mean')


def test_labels_of_a_term_must_be_classes_of_its_logits_where_its_mask_keeps_them():
    first = np.argwhere(IGNORED == 255)[0][0]
    message = f"c, term 'hard': 'batch.ignored' holds 255 (example {first}), which is none of the 3 classes of 'net.l"
    with pytest.raises(UserError, match=re.escape(message)):
        prepared(hard('batch.ignored'), num_classes=3)


def test_labels_of_an_evaluation_must_be_classes_of_its_logits_where_they_count():
    pixels = {'metrics': 'positions', 'logits': 'net.logits', 'labels': 'batch.ignored'}
    with pytest.raises(UserError, match=r"c, evaluate 'net': 'batch.ignored' of split 'train' holds 255 .*ignore=NUM"):
        prepared(OF_IMAGE, pixels, num_classes=3)
    words = {'metrics': 'sequences', 'logits': 'net.logits', 'labels': 'batch.ignored', 'mask': 'batch.counts'}
    with pytest.raises(UserError, match=r"'batch.ignored' of split 'train' holds 255 .*which is none of the 3 classes"):
        prepared(OF_IMAGE, {**words, 'mask': 'batch.mask'}, num_classes=3)
    prepared(OF_IMAGE, words, num_classes=3)
    prepared(OF_IMAGE, {**pixels, 'ignore': 255}, num_classes=3)
    prepared(OF_IMAGE, {**pixels, 'mask': 'batch.counts'}, num_classes=3)


@pytest.mark.parametrize(
    ('terms', 'name'),
    [
        (OF_IMAGE, 'batch.label'),
        ({'soft': {'loss': 'kd', 'student': 'net.mean', 'target': 'batch.teacher'}}, 'batch.teacher'),
    ],
)
def test_a_term_that_reads_what_mixing_does_not_mix_is_refused(terms, name):
    with pytest.raises(UserError, match=f"reads '{name}', but data.augment mixes the images"):
        prepared(terms, num_classes=3, augment={'cutmix': 1.0, 'moves': ()})


class Known(nn.Module):
    """Certain predictions of the labels that it reads."""

    @nn.compact
    def __call__(self, labels, *, train=False):
        return {'logits': 9.0 * jax.nn.one_hot(labels, 3)}


@pytest.mark.parametrize(
    ('added', 'message'),
    [
        (
            {'target': 'known.logits'},
            "c, network 'known' reads 'batch.label', but data.augment mixes the images",
        ),
        (
            {'mask': 'batch.counted_tags'},
            "c, term 'soft', mask reads 'batch.counted_tags', but data.augment mixes the",
        ),
    ],
)
def test_a_network_or_a_mask_that_reads_what_mixing_does_not_mix_is_refused(added, message):
    terms = {'soft': {'loss': 'kd', 'student': 'net.mean', 'target': '~net.mean', **added}}
    known = {'known': {'model': Known, 'input': 'batch.label', 'update': 'frozen'}} if 'target' in added else {}
    assert prepared(terms, networks=known, num_classes=3)
    with pytest.raises(UserError, match=f'{message}.*: leave out data.augment.mixup and cutmix'):
        prepared(terms, networks=known, num_classes=3, augment={'mixup': 1.0, 'moves': ()})


def test_an_evaluation_with_labels_needs_the_number_of_classes():
    with pytest.raises(
        UserError, match=r"'net.mean' is evaluated as classes with 'batch.label', but .* set data.num_cl"
    ):
        prepared(OF_IMAGE)
    with pytest.raises(
        UserError, match=r"'net.mean' has 3 classes, but the data has 4; set networks.net.num_classes=4"
    ):
        prepared(OF_IMAGE, num_classes=4)


def test_targets_of_labels_must_be_0_or_1_and_those_of_bce_probabilities():
    def labels(target, evaluated='batch.tags', **mask):
        measured = {'metrics': 'multi_label', 'logits': 'net.mean', 'target': evaluated, **mask}
        return {'tags': {'loss': 'bce', 'logits': 'net.mean', 'target': target, **mask}}, measured

    prepared(*labels('batch.tags'))
    with pytest.raises(UserError, match=r"c, term 'tags': 'batch.soft_tags' holds 2.0 \(example 0\), which is not in"):
        prepared(*labels('batch.soft_tags'))
    prepared(*labels('batch.soft_tags', mask='batch.counted_tags'))
    message = r"c, evaluate 'net': 'batch.soft_tags' of split 'train' holds 0.5 \(example 2\), which is not 0 or 1"
    with pytest.raises(UserError, match=message):
        prepared(*labels('batch.tags', 'batch.soft_tags', mask='batch.counted_tags'))


def test_masks_move_with_their_images_in_training():
    options = {'crop': 2, 'flip': True, 'moves': {'mask': 0, 'ignored': 255, 'counts': 0}}
    made = prepared(hard('batch.ignored', mask='batch.counts'), num_classes=3, augment=options)
    assert made.splits.augment == options


@pytest.mark.parametrize('memory', [{'model': 'recall'}, {'model': 'memory_bank', 'negatives': 2, 'dim': 2}])
def test_a_memory_has_a_place_for_every_training_example(memory):
    def run(examples):
        networks = {
            'net': {'model': Net},
            'past': {**memory, 'input': ['~net.mean', 'batch.id'], 'examples': examples},
        }
        terms = OF_IMAGE | {'kept': {'loss': 'mse', 'student': 'net.mean', 'target': 'past.logits'}}
        if memory['model'] == 'memory_bank':
            terms['kept'] = {'loss': 'mse', 'student': 'past.embedding', 'target': '~past.entry'}
        data = {'source': source, 'num_classes': 3, 'valid': 4}
        return prepare_run(
            {'data': data, 'batch_size': 4, 'epochs': 1, 'optimizer': {'learning_rate': 0.1}, 'networks': networks,
             'terms': terms, 'evaluate': {'net': {'logits': 'net.mean'}}}, 0, 'c'
        )  # fmt: skip

    last = int(run(20).splits.arrays['train']['id'].max())  # 20 examples, of which 4 are held out
    assert 15 < last < 20
    run(last + 1)
    with pytest.raises(
        UserError, match=f"c, network 'past': examples is {last}, but .* numbers up to {last}, .*{last + 1}"
    ):
        run(last)
