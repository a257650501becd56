"""Value paths in words."""

import pytest

from kd_jax.report.path_words import axis_label, differs, metric_in_words, path_in_words


@pytest.mark.parametrize(
    ('path', 'words'),
    [
        ('last.test.net.accuracy', 'accuracy of net on test examples'),
        ('best.valid.net.errors', 'errors of net on validation examples (best epoch)'),
        ('analyses.bias.tuned_on_test.errors', 'errors (bias, tuned_on_test)'),
        ('seconds', 'seconds'),
    ],
)
def test_a_path_is_said_in_words(path, words):
    assert path_in_words(path) == words


@pytest.mark.parametrize(
    ('path', 'metric', 'label'),
    [
        ('valid.student.nll', 'NLL', 'NLL, validation examples'),
        ('last.test.student.bits_per_byte', 'bits per byte', 'bits per byte, test examples'),
        ('best.train.latest.errors', 'errors', 'errors, training examples'),
        ('analyses.speed.images_per_second.0', 'images per second', 'images per second'),
    ],
)
def test_axes_name_the_metric_and_the_examples(path, metric, label):
    assert metric_in_words(path) == metric
    assert axis_label(path) == label


def test_paths_differ_in_their_metric_or_in_their_examples():
    path = 'last.test.student.accuracy'
    assert differs(path, 'best.test.teacher.accuracy') == differs(path, 'analyses.votes.test.accuracy') == ''
    assert differs(path, 'last.valid.student.accuracy') == differs(path, 'analyses.votes.accuracy') == 'examples'
    assert differs(path, 'last.valid.student.errors') == 'metric'
