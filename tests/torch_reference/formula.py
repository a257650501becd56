"""Weights and images by formula, the same wherever they are computed: no file needs to hold them."""

import math
import zlib

import numpy as np


def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array for a name of a PyTorch state_dict: no two entries alike, sizes as in a trained network."""
    phase = zlib.crc32(name.encode()) % 1000
    index = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    wave = np.sin(phase + 0.013 * index * (index % 997 + 1.0))
    if name.endswith('running_var'):
        return (1.0 + 0.5 * wave).astype(np.float32)
    if len(shape) > 1:
        return (wave * math.sqrt(4.0 / math.prod(shape[1:]))).astype(np.float32)
    is_scale = name.endswith('weight')
    return (0.1 * wave + is_scale).astype(np.float32)


def image(size: int) -> np.ndarray:
    """Two images, [2, size, size, 3]."""
    return array('image', (2, size, size, 3)) * math.sqrt(size * size * 3 / 4.0)
