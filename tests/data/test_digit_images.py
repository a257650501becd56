"""Images of digits, made small or put side by side."""

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.digit_images import rows_of_digits, shrunk

# The image of digit d is 2 x 3 pixels of value d, so an image of several digits shows its label.
LABELS = np.array([*range(10), *range(10)])
IMAGES = np.broadcast_to(LABELS[:, None, None], (20, 2, 3)).astype(np.uint8)


@pytest.mark.parametrize('digits', [1, 2, 3])
def test_the_label_is_the_number_that_the_digits_write(digits):
    images, labels = rows_of_digits(IMAGES, LABELS, digits, 2500, seed=0)
    assert images.shape == (2500, 2, 3 * digits)
    assert ''.join(map(str, images[7, 0, ::3])) == f'{labels[7]:0{digits}d}'
    written = images[:, 1, 1::3].astype(int) @ 10 ** np.arange(digits)[::-1]
    np.testing.assert_array_equal(written, labels)
    assert set(np.bincount(labels, minlength=10**digits)) <= {2500 // 10**digits, -(-2500 // 10**digits)}


def test_a_pixel_is_the_rounded_mean_of_its_block():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    assert shrunk(image, 2)[0].tolist() == [[2, 4], [10, 12]]  # (0 + 1 + 4 + 5) / 4 = 2.5 rounds to even: 2
    assert shrunk(image, 1) is image
    with pytest.raises(UserError, match=r'data.shrink is 3, but it must be 1, 2 or 4'):
        shrunk(image, 3)
