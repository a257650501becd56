import numpy as np

from kd_jax.data import source_checksum as source_checksum_module
from kd_jax.data.source_checksum import source_checksum
from kd_jax.data.sources import Source

IMAGE, LABEL = np.arange(24, dtype=np.uint8).reshape(6, 2, 2), np.arange(6) % 3


def checksum(image=IMAGE, label=LABEL, test=None, valid=None):
    return source_checksum(Source({'image': image, 'label': label}, test or {}, 3, valid))


def test_equal_arrays_have_equal_checksums_whatever_their_order_and_layout():
    assert checksum() == checksum(np.asfortranarray(IMAGE), LABEL[::-1][::-1])
    assert checksum() == source_checksum(Source({'label': LABEL, 'image': IMAGE}, {}, 3))


def test_the_parts_of_a_large_array_make_the_checksum_of_the_whole(monkeypatch):
    whole = checksum()
    monkeypatch.setattr(source_checksum_module, 'PART', 9)  # two images of four bytes
    assert checksum() == whole


def test_any_changed_value_shape_type_name_or_split_changes_the_checksum():
    split = {'image': IMAGE, 'label': LABEL}
    flipped = IMAGE.copy()
    flipped[5, 1, 1] ^= 1
    found = [
        checksum(), checksum(flipped), checksum(IMAGE.reshape(6, 4)), checksum(IMAGE.astype(np.int16)),
        checksum(label=LABEL[::-1]), checksum(test=split), checksum(valid=split),
        source_checksum(Source({'image': IMAGE, 'mask': LABEL})),
    ]  # fmt: skip
    assert len(set(found)) == len(found)
