"""What PyTorch computed (torch_reference/expected.npz), and the weights by formula that it used."""

import json
import pathlib
import runpy

import numpy as np

REFERENCE = pathlib.Path(__file__).parents[1] / 'torch_reference'
FORMULA = runpy.run_path(str(REFERENCE / 'formula.py'))


def expected_outputs():
    """The arrays of expected.npz by name."""
    with np.load(REFERENCE / 'expected.npz') as file:
        return {name: file[name] for name in file.files}


def reference_state(expected, name):
    """The state_dict that the network had in PyTorch, with its keys there."""
    shapes = json.loads(str(expected[f'{name}/shapes']))
    return {key: FORMULA['array'](key, tuple(shape)) if shape else np.int64(7) for key, shape in shapes.items()}
