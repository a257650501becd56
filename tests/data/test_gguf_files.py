import math
import struct
import tracemalloc

import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.gguf_files import GgufTensor, read_gguf, tensor_bytes

SIZES = {0: (1, 4), 8: (32, 34)}  # F32 and Q8_0


def text(value):
    return struct.pack('<Q', len(value.encode())) + value.encode()


def field(name, kind, content):
    return text(name) + struct.pack('<I', kind) + content


def array(name, kind, count, content):
    return field(name, 9, struct.pack('<IQ', kind, count) + content)


def tensor(name, shape, kind, offset):
    """The place of a tensor; its shape is written with the rows last."""
    return text(name) + struct.pack('<I', len(shape)) + struct.pack(f'<{len(shape)}QIQ', *shape[::-1], kind, offset)


def gguf(fields=(), tensors=(), data=b'', counts=None, alignment=32, version=3):
    counts = (len(tensors), len(fields)) if counts is None else counts
    head = b'GGUF' + struct.pack('<IQQ', version, *counts) + b''.join((*fields, *tensors))
    return head + bytes(-len(head) % alignment) + data


@pytest.fixture
def read(tmp_path):
    """A function that reads a file of some bytes, and allows it little memory."""

    def of(content):
        (tmp_path / 'a.gguf').write_bytes(content)
        tracemalloc.start()
        try:
            return read_gguf(str(tmp_path / 'a.gguf'))
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 2**22

    return of


def test_fields_and_places_of_tensors_are_those_that_were_written(read):
    fields = [
        field('a.text', 8, text('Grüße')), field('a.count', 4, struct.pack('<I', 7)),
        field('a.base', 6, struct.pack('<f', 0.5)), field('a.yes', 7, b'\1'),
        array('a.words', 8, 2, text('x') + text('')), array('a.scores', 5, 3, struct.pack('<iii', 1, -2, 3)),
        field('general.alignment', 4, struct.pack('<I', 64)),
    ]  # fmt: skip
    tensors = [tensor('w', (3, 32), 8, 64), tensor('b', (5,), 0, 0)]
    content = gguf(fields, tensors, bytes(64 + 3 * 34), alignment=64)
    found = read(content)
    assert found.fields == {
        'a.text': 'Grüße', 'a.count': 7, 'a.base': 0.5, 'a.yes': True, 'a.words': ['x', ''], 'a.scores': [1, -2, 3],
        'general.alignment': 64,
    }  # fmt: skip
    begin = len(content) - 64 - 3 * 34
    assert found.tensors == {'w': GgufTensor((3, 32), 8, begin + 64), 'b': GgufTensor((5,), 0, begin)}
    assert tensor_bytes(found, SIZES) == {'w': 3 * 34, 'b': 5 * 4}


@pytest.mark.parametrize(
    ('content', 'says'),
    [
        (b'', 'at byte 0 it claims 4 bytes, but it has 0 in all'),
        (b'PK\3\4' + bytes(99), r"it begins with b'PK\\x03\\x04', not with b'GGUF'"),
        (gguf(version=1), 'it has version 1, but only 2 and 3 are known'),
        (gguf(version=3 << 24), 'it has version 50331648'),  # of another byte order
        (gguf(counts=(0, 2**60)), 'it claims'),
        (gguf(counts=(2**60, 0)), 'it claims'),
        (gguf([struct.pack('<Q', 2**63)]), 'it claims 9,223,372,036,854,775,808 bytes, but it has'),
        (gguf([field('a', 8, struct.pack('<Q', 2**40))]), 'it claims 1,099,511,627,776 bytes'),
        (gguf([array('a', 0, 2**60, b'')]), 'it claims 1,152,921,504,606,846,976 bytes'),
        (gguf([array('a', 12, 2**62, b'')]), 'it claims'),
        (gguf([array('a', 8, 2**60, b'')]), 'it claims 8 bytes, but it has 64 in all'),
        (gguf([array('a', 9, 1, struct.pack('<IQ', 9, 2**40))]), "'a' has values of type number 9, which is not known"),
        (gguf([field('a', 77, b'')]), "'a' has values of type number 77"),
        (gguf([field('a', 7, b'\0')] * 2), "'a' is there twice"),
        (gguf([field('a', 8, struct.pack('<Q', 1) + b'\xff')]), r'at byte 45 is a text that is not UTF-8'),
        (gguf([field('general.alignment', 4, struct.pack('<I', 0))]), 'alignment is 0, which is no power of 2'),
        (gguf([field('general.alignment', 4, struct.pack('<I', 48))]), 'alignment is 48, which is no power'),
        (gguf([field('general.alignment', 8, text('x'))]), "alignment is 'x'"),
        (gguf(tensors=[tensor('w', (1,), 0, 0)] * 2), "'w' is there twice"),
        (gguf(tensors=[tensor('w', (1,) * 5, 0, 0)]), 'w has 5 axes, but a tensor has 1 to 4'),
        (gguf(tensors=[text('w') + struct.pack('<I', 2**32 - 1)]), 'w has 4,294,967,295 axes'),
        (gguf(tensors=[tensor('w', (3, 0), 0, 0)]), 'w has no weights'),
    ],
)  # fmt: skip
def test_what_a_damaged_or_hostile_file_claims_is_refused(read, content, says):
    with pytest.raises(ValueError, match=says):
        read(content)


@pytest.mark.parametrize(
    ('tensors', 'says'),
    [
        ([('w', (4,), 99, 0)], 'w has the type of tensors number 99, which is not known'),
        ([('w', (4, 33), 8, 0)], 'w has rows of 33 weights, but its type has blocks of 32'),
        ([('w', (32, 2), 0, 0)], 'w ends at byte 352, and the file at 160'),
        ([('w', (4,), 0, 2**63)], 'w ends at byte 9,223,372,036,854,775,888'),
        ([('w', (2**32, 2**32, 2**32, 2**32), 0, 0)], 'w ends at byte'),  # 2^128 is 0 in 64 bits
        ([('w', (8,), 0, 32), ('v', (16,), 0, 0)], 'v and w overlap'),
    ],
)
def test_tensors_lie_in_the_file_and_do_not_overlap(read, tensors, says):
    with pytest.raises(ValueError, match=says):
        tensor_bytes(read(gguf(tensors=[tensor(*one) for one in tensors], data=bytes(64 * len(tensors)))), SIZES)


def test_a_file_that_ends_anywhere_is_refused(read):
    fields = [field('a', 8, text('one')), array('b', 8, 2, text('x') + text('yz'))]
    content = gguf(fields, [tensor('w', (4, 32), 0, 0)], bytes(512))
    assert math.prod(read(content).tensors['w'].shape) == 128
    for end in range(len(content)):
        with pytest.raises(ValueError, match=r'it claims|and the file at'):
            tensor_bytes(read(content[:end]), SIZES)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_gguf(str(tmp_path / 'a.gguf'))
    with pytest.raises(UserError, match='is a directory, not an ordinary file'):
        read_gguf(str(tmp_path))
