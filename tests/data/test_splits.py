import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data import sources
from kd_jax.data.batches import fetch_batch, training_view
from kd_jax.data.sources import Source
from kd_jax.data.splits import load_splits


def write(path, labels, test_labels=(0, 1, 2, 3)):
    """Writes a .npz file; each image holds its own number and its label."""
    arrays = {}
    for split, label in (('train', labels), ('test', test_labels)):
        label = np.array(label)
        arrays[f'{split}_image'] = np.stack([np.arange(len(label)), label], axis=1)[:, :, None].astype(np.uint8)
        arrays[f'{split}_label'] = label
    np.savez(path, **arrays)
    return {'source': 'npz', 'path': str(path), 'num_classes': 4}


@pytest.fixture
def config(tmp_path):
    """100 training examples: 40 of class 0 and 20 of each other class."""
    labels = np.random.default_rng(0).permutation([0] * 40 + [1] * 20 + [2] * 20 + [3] * 20)
    return write(tmp_path / 'data.npz', labels)


def assert_whole(arrays):
    """Asserts that images, labels and ids still belong together."""
    np.testing.assert_array_equal(arrays['image'][:, 0, 0], arrays['id'])
    np.testing.assert_array_equal(arrays['image'][:, 1, 0], arrays['label'])


@pytest.mark.parametrize('by', ['random', 'position'])
def test_validation_is_the_same_for_every_seed(config, by):
    loaded = [load_splits({**config, 'valid': 30, 'valid_by': by, 'examples': 50}, seed).arrays for seed in (0, 1)]
    for arrays in loaded:
        np.testing.assert_array_equal(arrays['valid']['id'], loaded[0]['valid']['id'])
        assert not set(arrays['train']['id']) & set(arrays['valid']['id'])
        assert (len(set(arrays['train']['id'])), len(set(arrays['valid']['id']))) == (50, 30)
        assert_whole(arrays['train'])
        assert_whole(arrays['valid'])
    assert set(loaded[0]['train']['id']) != set(loaded[1]['train']['id'])
    again = load_splits({**config, 'valid': 30, 'valid_by': by, 'examples': 50}, 1).arrays
    np.testing.assert_array_equal(loaded[1]['train']['id'], again['train']['id'])


def test_random_validation_holds_its_share_of_every_class_and_by_position_the_end(tmp_path):
    config = {**write(tmp_path / 'sorted.npz', [0] * 40 + [1] * 20 + [2] * 20 + [3] * 20), 'valid': 30}
    drawn = load_splits(config, 0).arrays
    np.testing.assert_array_equal(np.bincount(drawn['valid']['label']), [12, 6, 6, 6])
    np.testing.assert_array_equal(np.bincount(drawn['train']['label']), [28, 14, 14, 14])
    last = load_splits({**config, 'valid_by': 'position'}, 0).arrays
    np.testing.assert_array_equal(last['valid']['id'], np.arange(70, 100))
    assert set(last['train']['label']) == {0, 1, 2}


def test_the_runs_of_a_study_share_the_arrays_of_their_splits(config):
    one, other = (load_splits({**config, 'valid': 30}, seed).arrays for seed in (0, 1))
    for split in ('train', 'valid'):
        assert one[split]['image'] is other[split]['image']


def with_own_validation():
    train, valid, test = ({'image': np.full((count, 2, 2), count, np.uint8)} for count in (5, 3, 2))
    return Source(train, test, valid=valid)


def test_a_source_may_bring_its_own_validation_split():
    config = {'source': with_own_validation}
    arrays = load_splits(config, 0).arrays
    assert {split: len(own['id']) for split, own in arrays.items()} == {'train': 5, 'valid': 3, 'test': 2}
    np.testing.assert_array_equal(arrays['valid']['image'], np.full((3, 2, 2), 3))
    last = load_splits({**config, 'valid': 2, 'valid_by': 'position'}, 0).arrays
    assert (last['valid']['id'].tolist(), len(last['train']['id'])) == ([1, 2], 5)
    assert 'valid' not in load_splits({**config, 'valid': 0}, 0).arrays
    with pytest.raises(UserError, match='valid is 4, but there are 3 validation examples in the source'):
        load_splits({**config, 'valid': 4}, 0)


def test_an_empty_validation_split_of_a_source_is_none():
    loaded = load_splits({'source': lambda: Source({'x': np.zeros((5, 2))}, valid={}), 'valid': 2}, 0)
    assert {split: len(own['id']) for split, own in loaded.arrays.items()} == {'train': 3, 'valid': 2}


@pytest.mark.parametrize('test', [{}, {'x': np.zeros((0, 2))}])
def test_a_source_without_test_examples_has_no_test_split(test):
    loaded = load_splits({'source': lambda: Source({'x': np.zeros((5, 2))}, test), 'valid': 2}, 0)
    assert set(loaded.arrays) == {'train', 'valid'}


def test_pairs_are_validated_on_their_own_pairs():
    arrays = load_splits({'source': 'mnist_pairs', 'train': 30, 'test': 5, 'valid': 7}, 0).arrays
    assert {split: len(a['id']) for split, a in arrays.items()} == {'train': 30, 'valid': 7, 'test': 5}
    again = sources.mnist_pairs(train=20, test=5, valid=7).valid
    np.testing.assert_array_equal(arrays['valid']['image'], again['image'])


def test_arrays_of_any_name_and_shape_reach_the_batch_without_image_label_or_classes(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {'points': rng.normal(size=(6, 4)), 'target': rng.normal(size=6), 'label': rng.normal(size=(6, 2))}
    np.savez(tmp_path / 'd.npz', **{f'{split}_{name}': a for split in ('train', 'test') for name, a in arrays.items()})
    loaded = load_splits({'source': 'npz', 'path': str(tmp_path / 'd.npz'), 'valid': 2}, 0)
    assert loaded.num_classes is None
    batch = training_view(
        fetch_batch(loaded.arrays['train'], np.array([2, 0])), jax.random.key(0), 0, loaded.augment, None
    )
    for name, array in arrays.items():
        np.testing.assert_array_equal(batch[name], array[loaded.arrays['train']['id'][[2, 0]]])


def test_everything_is_kept_by_default(config):
    arrays = load_splits(config, 0).arrays
    assert set(arrays) == {'train', 'test'}
    np.testing.assert_array_equal(arrays['train']['id'], np.arange(100))


@pytest.mark.parametrize(
    ('options', 'left'),
    [
        ({'exclude': (3,)}, {0, 1, 2}),
        ({'classes': (1, 3)}, {1, 3}),
        ({'exclude': 0}, {1, 2, 3}),
        ({'exclude': []}, {0, 1, 2, 3}),
        ({'classes': 0}, {0}),
    ],
)
def test_classes_are_left_out_of_training_alone(config, options, left):
    arrays = load_splits({**config, 'valid': 30, **options}, 0).arrays
    assert set(arrays['train']['label']) == left
    assert set(arrays['valid']['label']) == set(arrays['test']['label']) == {0, 1, 2, 3}
    assert_whole(arrays['train'])


def test_a_subset_relabels_every_split_and_says_how_it_is_oversampled(config):
    loaded = load_splits({**config, 'valid': 30, 'subset': (3, 1)}, 0)
    assert (loaded.num_classes, loaded.subset) == (3, (3, 1))
    for split in ('train', 'valid', 'test'):
        arrays = loaded.arrays[split]
        original = arrays['image'][:, 1, 0]
        np.testing.assert_array_equal(arrays['label'], np.select([original == 3, original == 1], [0, 1], 2))


def test_oversampling_is_the_factor_by_which_bayes_corrects_the_dustbin(config):
    # One class has 20 of 100 examples. Training draws half of each batch from it, so a posterior of 1/2 in training
    # means odds of 20 : 80 on all data.
    ratio = load_splits({**config, 'subset': (1,)}, 0).oversampling
    odds = 1.0 / ratio
    assert odds == pytest.approx(20 / 80)


def test_a_subset_of_more_than_half_is_not_oversampled(config):
    # An epoch holds the 60 examples of the subset and all 40 others, so nothing is oversampled.
    assert load_splits({**config, 'subset': (1, 2, 3)}, 0).oversampling == 1.0
    assert load_splits(config, 0).oversampling == 1.0


def test_an_option_of_a_source_has_the_type_that_its_parameter_declares():
    with pytest.raises(UserError, match=r"c, data\.size is 'big', but it must be a whole number"):
        load_splits({'source': 'image_folder', 'path': '/nowhere', 'size': 'big'}, 0, 'c')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'source': 'mnits'}, "c, data: there is no data source 'mnits'. Did you mean 'mnist'"),
        ({'vaild': 10}, "c, data: there is no option 'vaild'. Did you mean 'valid'"),
        ({'sources': 10}, "c, data: there is no option 'sources'"),
        ({'jitter': 2}, "c, data: there is no option 'jitter'. It is called 'augment.crop' now."),
        ({'augment': {'cutmx': 1.0}}, "c, data.augment: there is no augmentation 'cutmx'. Did you mean 'cutmix'"),
        ({'valid': 100}, 'c, data.valid is 100, but there are 100 training examples'),
        ({'valid': -1}, 'c, data.valid is -1'),
        ({'resident': 'no'}, "c, data.resident is 'no', but it must be True or False"),
        ({'valid_by': 'postion'}, "c, data: there is no valid_by 'postion'. Did you mean 'position'"),
        ({'valid_by': 'random'}, 'c, data.valid_by chooses the examples that valid holds out, but valid is not set'),
        ({'views': 3}, 'c, data.views is 3, but without augment all views of an example are alike'),
        ({'augment': {'moves': ('image',)}}, r'c, data.augment.moves names .* neither of them is set'),
        ({'exclude': (0, 1, 2, 3)}, 'c, data: no training example is left'),
        ({'exclude': (4,)}, r'c, data.exclude: 4 is not a class; classes are the integers in \[0, 4\)'),
        ({'subset': True}, 'c, data.subset: True is not a class'),
        ({'classes': (1.0, 2)}, 'c, data.classes: 1.0 is not a class'),
        ({'classes': ((1,), (1, 2))}, r'c, data.classes: \(1,\) is not a class'),
        ({'subset': (1, 2, 1)}, 'c, data.subset names class 1 twice'),
        ({'classes': []}, 'c, data.classes is empty, but it must name at least one class'),
        ({'subset': ()}, 'c, data.subset is empty, but it must name at least one class'),
        ({'subset': (-1,)}, 'c, data.subset: -1 is not a class'),
        ({'subset': (1,), 'exclude': (1,)}, r'c, data.subset is \[1\], but no training example'),
        ({'num_classes': 3}, r'c, data, training labels: 3 \(example \d+, 20 in all\) is not in \[0, 3\)'),
    ],
)
def test_a_wrong_description_is_refused(config, options, message):
    with pytest.raises(UserError, match=message):
        load_splits({**config, **options}, 0, 'c')


def test_a_negative_label_is_refused(tmp_path):
    config = write(tmp_path / 'bad.npz', [0, 1, 1], test_labels=[2, -1])
    with pytest.raises(UserError, match=r'test labels: -1 \(example 1, 1 in all\) is not in \[0, 4\)'):
        load_splits(config, 0)


def test_a_source_is_told_what_it_needs():
    with pytest.raises(UserError, match="c, data: source 'npz' needs path"):
        load_splits({'source': 'npz'}, 0, 'c')


def test_only_training_labels_are_noisy():
    clean, noisy = (load_splits({'source': 'mnist', 'valid': 100, 'label_noise': share}, 0) for share in (0.0, 0.5))
    for split in ('valid', 'test'):
        np.testing.assert_array_equal(clean.arrays[split]['label'], noisy.arrays[split]['label'])
    assert np.mean(clean.arrays['train']['label'] != noisy.arrays['train']['label']) > 0.4


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'untrained, data: no training example has class 2, which the validation split has; it is never learned.'),
        ({'exclude': (2,)}, ''),
        ({'classes': (0, 1)}, ''),
    ],
)
def test_a_class_that_only_validation_has_gets_a_warning(tmp_path, caplog, options, message):
    label = np.arange(9) // 3
    np.savez(tmp_path / 'sorted.npz', train_x=np.ones((9, 2)), train_label=label)
    data = {'source': 'npz', 'path': str(tmp_path / 'sorted.npz'), 'num_classes': 3, 'valid': 3, **options}
    load_splits({**data, 'valid_by': 'position'}, 0, 'untrained')
    assert [record.message for record in caplog.records] == ([message] if message else [])


def test_a_study_needs_no_test_split_but_something_to_evaluate_is_asked_for(tmp_path, caplog):
    np.savez(tmp_path / 'train.npz', train_x=np.ones((9, 2)), tets_x=np.ones((9, 2)))
    splits = load_splits({'source': 'npz', 'path': str(tmp_path / 'train.npz')}, 0, 'lonely')
    assert set(splits.arrays) == {'train'}
    unread, alone = (record.message for record in caplog.records)
    assert 'the arrays tets_x are not read; only names that begin with train_, valid_ or test_ are.' in unread
    assert alone.startswith('lonely, data: there are no validation and no test examples')


def test_a_mistake_in_a_source_names_the_run():
    with pytest.raises(UserError, match=r"^a.py: run 'student', data.shrink is 3, but it must be 1, 2 or 4.$"):
        load_splits({'source': 'mnist', 'shrink': 3}, 0, "a.py: run 'student'")
