"""The committed test vectors are what the script writes."""

import json

import numpy as np

from conformance import vectors


def close(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, list) and a and isinstance(a[0], dict):
        return len(a) == len(b) and all(map(close, a, b))
    return a == b if isinstance(a, str) else np.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_files_are_those_that_the_script_writes():
    written = vectors.documents()
    assert len(written) == 15
    assert sorted(path.stem for path in vectors.FOLDER.iterdir()) == sorted(written)
    for name, document in written.items():
        assert close(json.loads((vectors.FOLDER / f'{name}.json').read_text()), document), name
