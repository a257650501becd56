"""The section `analyses` of a run."""

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.check_analyses import check_analysis

CONTEXT = {
    'batch': {'label': jax.ShapeDtypeStruct((8,), np.int32)},
    'a': {'logits': jax.ShapeDtypeStruct((8, 3), float)},
}
CLASSES = {'analysis': 'confusable_classes', 'logits': 'a.logits', 'clusters': 2, 'size': 1}
KNOWN = ('train', 'valid', 'test')


@pytest.mark.parametrize(
    'options',
    [
        CLASSES,
        {**CLASSES, 'splits': ['valid']},
        {**CLASSES, 'split': 'train', 'splits': ('train', 'test')},
        {**CLASSES, 'clusters': 'result:first.clusters'},
    ],
)
def test_what_is_right_passes(options):
    check_analysis(options, CONTEXT, KNOWN, 'c')


@pytest.mark.parametrize(
    ('options', 'known', 'said'),
    [
        ({**CLASSES, 'analysis': 'confusable'}, KNOWN, "c: there is no analysis 'confusable'. Did you mean"),
        ({'analysis': 'confusable_classes', 'logits': 'a.logits'}, KNOWN, 'c: confusable_classes needs clusters.'),
        ({**CLASSES, 'sise': 1}, KNOWN, "c: confusable_classes takes no 'sise'. Did you mean 'size'"),
        ({**CLASSES, 'clusters': 2.5}, KNOWN, 'c.clusters is 2.5, but it must be a whole number.'),
        ({**CLASSES, 'scale': 'corelation'}, KNOWN, "c: there is no scale 'corelation'. Did you mean 'correlation'"),
        ({**CLASSES, 'logits': 'a.logit'}, KNOWN, "c reads 'a.logit', which does not exist. Did you mean 'a.logits'"),
        ({**CLASSES, 'logits': 3}, KNOWN, "c: a path looks like 'student.logits' or 'batch.label', not 3."),
        ({**CLASSES, 'logits': ()}, KNOWN, "c: a path looks like 'student.logits' or 'batch.label', not ()."),
        ({**CLASSES, 'splits': 'test'}, KNOWN, "c.splits is 'test', but it must be a list of splits"),
        ({**CLASSES, 'splits': ()}, KNOWN, 'c.splits is (), but it must be a list of splits'),
        (
            {**CLASSES, 'splits': ('valid', 'tst')},
            KNOWN,
            "c reads split 'tst', which the run does not have. Did you mean",
        ),
        (
            CLASSES,
            ('train', 'test'),
            "c reads split 'valid', which the run does not have. Known: test, train.",
        ),
        (
            {**CLASSES, 'split': 'train'},
            KNOWN,
            "c: split is 'train', which is none of the splits that it reads",
        ),
    ],
)
def test_a_mistake_is_told_before_training(options, known, said):
    with pytest.raises(UserError) as error:
        check_analysis(options, CONTEXT, known, 'c')
    assert str(error.value).startswith(said)
