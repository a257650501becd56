import os
import re
import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from kd_jax.config.errors import UserError
from kd_jax.data import image_folder, sources
from kd_jax.data.batches import fetch_batch
from kd_jax.data.splits import load_splits


def write(root, files):
    """Writes images of one grey level each: {path: level}."""
    for path, level in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 16, 3), level, np.uint8)).save(root / path)


def of_class(folder, count, level, suffix='png'):
    return {f'{folder}/{i:02d}.{suffix}': level + i for i in range(count)}


def folder(root, **options):
    return {'source': 'image_folder', 'path': str(root), 'size': 8, 'resize': 8, **options}


@pytest.fixture
def splits_on_disk(tmp_path):
    write(tmp_path, of_class('train/cats', 6, 10, 'png') | of_class('train/ants', 4, 50, 'bmp'))
    write(tmp_path, of_class('test/cats', 2, 100) | {'test/ants/deeper/1.gif': 120, 'val/ants/1.tif': 200})
    (tmp_path / 'train/cats/notes.txt').write_text('no image')
    (tmp_path / 'train/.hidden').mkdir()
    return tmp_path


def test_a_folder_is_read_file_by_file_with_classes_sorted_by_name(splits_on_disk):
    loaded = load_splits(folder(splits_on_disk), 0)
    assert (loaded.num_classes, loaded.resident) == (2, False)
    for split, levels, labels in (
        ('train', [50, 51, 52, 53, *range(10, 16)], [0] * 4 + [1] * 6),
        ('test', [120, 100, 101], [0, 1, 1]),
        ('valid', [200], [0]),
    ):
        batch = fetch_batch(loaded.arrays[split], np.arange(len(levels)))
        np.testing.assert_array_equal(batch['label'], labels)
        assert batch['image'].shape == (len(levels), 8, 8, 3)
        np.testing.assert_array_equal(batch['image'][:, 3, 4, 0], levels)


def test_labels_are_known_at_once_so_that_classes_can_be_chosen_relabelled_and_held_out(splits_on_disk, tmp_path):
    some = load_splits(folder(splits_on_disk, classes=(1,), augment={'resized_crop': 0.5}), 0).arrays['train']
    np.testing.assert_array_equal(fetch_batch(some, np.arange(6), 3)['image'][:, 0, 0, 0], range(10, 16))
    specialist = load_splits(folder(splits_on_disk, subset=(1,)), 0).arrays['train']
    np.testing.assert_array_equal(fetch_batch(specialist, np.array([0, 9]))['label'], [1, 0])
    write(tmp_path / 'flat', of_class('a', 20, 0) | of_class('b', 10, 100))
    arrays = load_splits(folder(tmp_path / 'flat', test=6, valid=8), 0).arrays
    sizes = {split: np.bincount(own['label']).tolist() for split, own in arrays.items()}
    assert sizes == {'test': [4, 2], 'valid': [5, 3], 'train': [11, 5]}  # 16 and 8 are left for 8: 5.3 and 2.7
    levels = [fetch_batch(own, np.arange(len(own['id'])))['image'][:, 0, 0, 0] for own in arrays.values()]
    np.testing.assert_array_equal(np.sort(np.concatenate(levels)), [*range(20), *range(100, 110)])


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        (lambda root: (root / 'train/bees').mkdir(), {}, 'train/bees holds no images; each class is a folder of image'),
        (
            lambda root: write(root, {'test/cat/1.png': 0}),
            {},
            "test/ has the class 'cat', which train/ does not have. Did you",
        ),
        (lambda root: None, {'test': 3}, 'data.test is 3, but'),
        (
            lambda root: (root / 'test').rename(root / 'tests'),
            {},
            "the folder tests/ beside train/ is no split. Did you mean 'test'?",
        ),
        (
            lambda root: write(root, {'val/cats/1.png': 0, 'valid/cats/1.png': 0}),
            {},
            'valid/ beside train/ is a second',
        ),
        (
            lambda root: write(root, {'train/1.png': 0}),
            {},
            '1.png lies beside the folders of the classes; move it into',
        ),
        (lambda root: None, {'size': 9}, 'data.size is 9 and data.resize is 8'),
        (lambda root: None, {'path': '/no/such'}, "data.path='/no/such' is not a folder."),
    ],
)
def test_a_folder_that_is_not_laid_out_so_is_refused(splits_on_disk, change, options, message):
    change(splits_on_disk)
    with pytest.raises(UserError, match=re.escape(message)):
        load_splits(folder(splits_on_disk, **options), 0)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=f'{tmp_path} holds no images; each class is a folder of image files'):
        load_splits(folder(tmp_path), 0)


def test_a_file_that_cannot_be_read_is_named(splits_on_disk):
    whole = splits_on_disk / 'train/cats/00.png'
    (splits_on_disk / 'train/cats/03.png').write_bytes(whole.read_bytes()[:45])
    (splits_on_disk / 'train/cats/04.png').write_text('no image')
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(splits_on_disk / 'train/cats/05.png')
    arrays = load_splits(folder(splits_on_disk), 0).arrays['train']
    for number, name, reason in ((7, '03', ''), (8, '04', 'cannot identify'), (9, '05', 'its pixels have more than 8')):
        with pytest.raises(UserError, match=rf'example {number} cannot be read \(.*cats/{name}.png: .*{reason}'):
            fetch_batch(arrays, np.array([number]))


def png(width, height):
    """The beginning of a PNG that claims so many pixels."""
    chunk = b'IHDR' + width.to_bytes(4, 'big') + height.to_bytes(4, 'big') + b'\x08\x02\0\0\0'
    return (
        b'\x89PNG\r\n\x1a\n'
        + b'\0\0\0\r'
        + chunk
        + zlib.crc32(chunk).to_bytes(4, 'big')
        + bytes(4)
        + b'IDAT'
        + bytes(99)
    )


def test_an_image_that_claims_more_than_memory_or_needs_a_program_is_refused(splits_on_disk):
    cats = splits_on_disk / 'train/cats'
    files = {
        '00': (png(8200, 8200), r'it has 8200 x 8200 pixels, more than 67,108,864'),
        '01': (png(2**20, 2**20), 'decompression bomb'),
        '02': (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'cannot identify image file'),
        '03': (b'', 'cannot identify image file'),
    }
    for name, (content, _) in files.items():
        (cats / f'{name}.png').write_bytes(content)
    (cats / 'paper.eps').write_bytes(files['02'][0])
    arrays = load_splits(folder(splits_on_disk), 0).arrays['train']
    assert len(arrays['label']) == 10
    os.truncate(cats / '05.png', 2**40)  # a file with a hole
    (cats / '04.png').unlink()
    os.mkfifo(cats / '04.png')  # as if it had changed after the folder was read
    for number, message in enumerate(
        [*(message for _, message in files.values()), 'is a FIFO', 'it has 1,099,511,627,776 bytes']
    ):
        with pytest.raises(UserError, match=rf'cats/0{number}.png: .*{message}'):
            fetch_batch(arrays, np.array([4 + number]))


def checksum_now(root, **options):
    """The checksum of the data as a new process finds it."""
    sources.image_folder.cache_clear()
    return load_splits(folder(root, **options), 0).checksum


@pytest.mark.parametrize('whole', [True, False], ids=['small', 'large'])
def test_a_replaced_renamed_or_added_image_changes_the_checksum_of_the_data(tmp_path, monkeypatch, whole):
    root, other = tmp_path / 'one', tmp_path / 'other'
    write(root, of_class('a', 40, 0) | of_class('b', 40, 100))
    if not whole:
        monkeypatch.setattr(image_folder, 'READ_WHOLE', 0)
    found = [checksum_now(root)]
    shutil.copytree(root, other, copy_function=shutil.copyfile)  # at another time and place
    os.utime(other / 'a/03.png', (0, 0))
    assert checksum_now(other) == found[0]
    image = Image.fromarray(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3))
    image.save(root / 'a/03.png')
    found.append(checksum_now(root))
    (root / 'a/03.png').rename(root / 'a/03b.png')
    found.append(checksum_now(root))
    image.save(root / 'b/40.png')
    found.append(checksum_now(root))
    assert len(set(found)) == len(found)


def test_another_image_of_the_same_size_changes_the_checksum_unless_the_folder_is_too_large(tmp_path, monkeypatch):
    write(tmp_path, of_class('a', 4, 0, 'bmp') | of_class('b', 4, 100, 'bmp'))
    before = checksum_now(tmp_path)
    monkeypatch.setattr(image_folder, 'READ_WHOLE', 0)
    large = checksum_now(tmp_path)
    write(tmp_path, {'a/01.bmp': 7})
    assert checksum_now(tmp_path) == large
    monkeypatch.undo()
    assert checksum_now(tmp_path) != before


def test_every_split_has_a_checksum_of_its_own_files(splits_on_disk):
    before = checksum_now(splits_on_disk)
    for path in ('train/cats/02.png', 'test/cats/01.png', 'val/ants/1.tif'):
        write(splits_on_disk, {path: 77})
        before, last = checksum_now(splits_on_disk), before
        assert before != last


def test_a_file_that_vanishes_is_named(splits_on_disk):
    found, _ = image_folder.find_splits(str(splits_on_disk))
    (splits_on_disk / 'train/cats/02.png').unlink()
    with pytest.raises(UserError, match=r'train/cats/02\.png cannot be read \(.*No such file'):
        _ = found['train'].checksum
