"""How the study of hinton_mnist.py is shown: tables with the numbers of Hinton et al. (2015), claims and figures."""

from collections.abc import Sequence
from typing import Any

from kd_jax.report.number_format import with_plural

ERRORS = 'last.test.student.errors'
ACCURACY = 'last.test.student.accuracy'
AGREEMENT = 'last.test.student.agreement'
TEACHER_ERRORS = {'errors': 'last.test.teacher.errors', 'NLL': 'last.test.teacher.nll'}
MNIST_COLUMNS = {'errors': ERRORS, 'NLL': 'last.test.student.nll', 'agreement': AGREEMENT}
ENSEMBLE_TEXT = (
    'Ten nets 784-100-100-10 are trained on 5,000 images. 40% of the labels are replaced by random ones, because '
    "speech labels are noisy and MNIST's are not. One student of the same size learns from the ten on the "
    'same images; its temperature was chosen on validation images.'
)
DARK_CAPTION = "The teacher's soft targets: a higher temperature shows which wrong classes the teacher finds likely."


def short_report() -> dict[str, Any]:
    """The report of the short version of section 3."""
    rows: dict[str, Any] = {
        'teacher': dict(label='teacher 1200-1200', columns=TEACHER_ERRORS, paper={'errors': 67}),
        'baseline': dict(label='baseline 800-800, labels', paper={'errors': 146}),
    }
    for t, paper in ((1, None), (4, None), (20, 74)):
        rows[f'student_t{t}'] = dict(label=f'distilled 800-800, T = {t}', paper={'errors': paper})
    return {
        'tables': {'mnist': dict(title='Errors on the 10,000 test images', columns=MNIST_COLUMNS, rows=rows)},
        'claims': {
            'better': dict(
                title='Change in errors of the small net with soft targets at T = 20', kind='difference',
                value=f'student_t20:{ERRORS}', low=f'baseline:{ERRORS}', paper=-72,
            )
        },
        'figures': {
            'curves': dict(
                title='Learning curves', kind='curves', runs=('baseline', 'student_t*'), y='valid.student.errors',
                ylabel='errors of 5,000 validation images',
            ),
            'dark': dict(
                title='Dark knowledge', kind='soft_targets', run='student_t20', analysis='dark',
                caption=DARK_CAPTION,
            ),
        },
    }  # fmt: skip


def paper_report(widths: Sequence[int], specialists: int, temperatures: Sequence[float]) -> dict[str, Any]:
    """The report of every experiment of the paper.

    Args:
      widths: units per layer of the students of section 3.
      specialists: number of specialists in section 5.
      temperatures: temperatures of the soft targets in section 6.
    """
    tables = mnist_tables() | ensemble_table() | specialist_tables(specialists) | regulariser_table(temperatures)
    return {'tables': tables, 'claims': paper_claims(), 'figures': paper_figures(widths)}


def mnist_tables() -> dict[str, Any]:
    """Section 3."""
    bias = {
        column: f'analyses.bias.{when}.{what}'
        for column, when, what in (
            ('errors before', 'before', 'errors'),
            ('offset (test)', 'tuned_on_test', 'offset'),
            ('errors, tuned on test', 'tuned_on_test', 'errors'),
            ('offset (validation)', 'tuned_on_valid', 'offset'),
            ('errors, tuned on validation', 'tuned_on_valid', 'errors'),
        )
    }
    return {
        'mnist': dict(
            title='Section 3: errors on the 10,000 test images', columns=MNIST_COLUMNS,
            text='All 60,000 training images. As in the paper, only the teacher sees jittered images.',
            rows={
                'teacher': dict(label='teacher 1200-1200', columns=TEACHER_ERRORS, paper={'errors': 67}),
                'baseline': dict(label='baseline 800-800, labels', paper={'errors': 146}),
                'distilled': dict(label='distilled 800-800, T = 20', paper={'errors': 74}),
            },
        ),
        'unseen': dict(
            title='Section 3: classes missing from the transfer set', columns=bias,
            text='One offset is added to the logits of the missing class (3) or the remaining ones (7 and 8). The '
            'paper tuned it on the test images. We also tune it on 5,000 validation images that the student has '
            'not seen.',
            rows={
                'no_threes': dict(
                    label='transfer set without 3s',
                    paper={'errors before': 206, 'offset (test)': 3.5, 'errors, tuned on test': 109},
                ),
                'sevens_and_eights': dict(
                    label='transfer set of 7s and 8s',
                    paper={'errors before': 4730, 'offset (test)': -7.6, 'errors, tuned on test': 1320},
                ),
            },
        ),
    }  # fmt: skip


def ensemble_table() -> dict[str, Any]:
    """Section 4."""
    return {
        'ensemble': dict(
            title='Section 4: ten nets, their ensemble, and one student',
            columns={'accuracy': ACCURACY}, text=ENSEMBLE_TEXT, baseline='member',
            rows={
                'member': dict(
                    run='members', label='a single net', columns={'accuracy': 'last.test.member.accuracy'}
                ),
                'ensemble': dict(
                    run='members', label='ensemble of 10',
                    columns={'accuracy': 'analyses.ensemble.test.probabilities.accuracy'},
                ),
                'ensemble_logits': dict(
                    run='members', label='ensemble of 10, logits averaged',
                    columns={'accuracy': 'analyses.ensemble.test.logits.accuracy'},
                ),
                **{
                    f'taught_by_{average}': dict(label=f'one student, {average} averaged')
                    for average in ('probabilities', 'logits', 'losses')
                },
            },
        ),
    }  # fmt: skip


def covering(number: int) -> dict[str, str]:
    """Value paths for the images whose true class is covered by `number` specialists."""
    row = f'analyses.specialists.test.covering.{number}'
    return {
        'images': f'{row}.examples', 'generalist accuracy': f'{row}.generalist_accuracy',
        'combined accuracy': f'{row}.combined_accuracy', 'change in errors': f'{row}.delta_errors',
    }  # fmt: skip


def specialist_tables(specialists: int) -> dict[str, Any]:
    """Section 5."""
    scored = 'analyses.specialists.test'
    return {
        'specialists': dict(
            title='Section 5: specialists', columns={'accuracy': f'{scored}.combined.accuracy'}, baseline='generalist',
            text='The paper, on JFT: 25.0% for the generalist, and 26.1% with 61 specialists.',
            rows={
                'generalist': dict(
                    run='combined', label='generalist', columns={'accuracy': f'{scored}.generalist.accuracy'}
                ),
                'combined': dict(label=f'generalist and {specialists} specialists'),
                'generalist_longer': dict(
                    label='generalist alone, trained longer by the epochs of a specialist',
                    columns={'accuracy': 'last.test.generalist.accuracy'},
                ),
            },
        ),
        'covering': dict(
            title='Section 5: by the number of specialists that cover the true class', columns=covering(0),
            text="In the paper's table 4, the gain grows with the number of specialists that cover a class.",
            rows={
                f'by{k}': dict(run='combined', label=with_plural(k, 'specialist'), columns=covering(k))
                for k in range(1, 6)
            },
        ),
    }  # fmt: skip


def regulariser_table(temperatures: Sequence[float]) -> dict[str, Any]:
    """Section 6."""
    few = {'train accuracy': 'last.train.student.accuracy', 'test accuracy': ACCURACY}
    return {
        'regularisers': dict(
            title='Section 6: soft targets as regularisers', columns=few, baseline='few_hard',
            text='The paper, on speech: test accuracy 58.9% with hard targets and 100% of the data, 44.5% with hard '
            'targets and 3%, and 57.0% with soft targets and 3%.',
            rows={
                'baseline': dict(label='100%, hard targets'),
                'few_hard': dict(label='3%, hard targets'),
                **{f'few_soft_t{t:g}': dict(label=f'3%, soft targets, T = {t:g}') for t in temperatures},
            },
        ),
    }  # fmt: skip


def paper_claims() -> dict[str, Any]:
    """The paper's numbers on what distillation gains."""
    return {
        'teacher': dict(
            title='Errors of the large net', kind='number', value='teacher:last.test.teacher.errors', paper=67,
            rule=dict(at_most=70),
        ),
        'distilled': dict(
            title='Errors of the small net with soft targets', kind='number', value=f'distilled:{ERRORS}', paper=74,
            rule=dict(at_most=80),
        ),
        'better': dict(
            title='Change in errors of the small net with soft targets', kind='difference', paper=-72,
            value=f'distilled:{ERRORS}', low=f'baseline:{ERRORS}',
        ),
        'no_threes': dict(
            title='Errors without 3s in the transfer set, bias corrected on validation images', kind='number',
            value='no_threes:analyses.bias.tuned_on_valid.errors', paper=109, rule=dict(at_most=120),
        ),
        'sevens_and_eights': dict(
            title='Errors with 7s and 8s only, bias corrected on validation images', kind='number', paper=1320,
            value='sevens_and_eights:analyses.bias.tuned_on_valid.errors', rule=dict(at_most=1452),
        ),
        'kept': dict(
            title="Share of the ensemble's gain that one student keeps", kind='share', paper=0.8,
            rule=dict(at_least=0.8), regime='MNIST with noisy labels instead of speech',
            value=f'taught_by_probabilities:{ACCURACY}', low='members:last.test.member.accuracy',
            high='members:analyses.ensemble.test.probabilities.accuracy',
        ),
        'recovered': dict(
            title='Share of the accuracy gap between 3% and 100% of the images that soft targets at T = 20 recover',
            kind='share', value=f'few_soft_t20:{ACCURACY}', low=f'few_hard:{ACCURACY}', high=f'baseline:{ACCURACY}',
            paper=0.87, rule=dict(at_least=0.87), regime='MNIST instead of speech',
        ),
    }  # fmt: skip


def paper_figures(widths: Sequence[int]) -> dict[str, Any]:
    """Figures of section 3."""
    return {
        'temperature': dict(
            title='Temperature and width', kind='lines', runs=[f'w{width}_t*' for width in widths],
            x='config.terms.soft.t', y=ERRORS, by='config.networks.student.hidden.0', by_label='{} units',
            log_x=True, log_y=True, xlabel='temperature', ylabel='test errors',
            reference={f'{width} units, labels': f'w{width}_hard:{ERRORS}' for width in widths},
            caption='In the paper, all temperatures above 8 give similar results with 300 or more units per layer, '
            'and 2.5 to 4 are best with 30 units.',
        ),
        'curves': dict(
            title='Learning curves', kind='curves', y='test.student.errors', ylabel='test errors',
            runs=['baseline', 'distilled'],
        ),
        'dark': dict(
            title='Dark knowledge', kind='soft_targets', run='distilled', analysis='dark',
            caption=DARK_CAPTION,
        ),
        'similarity': dict(
            title='Which classes look alike', kind='matrices',
            values={who: f'distilled:analyses.similarity.{who}' for who in ('teacher', 'student')},
            caption='Mean soft target (T = 4) of the images of each class, without the class itself.',
        ),
    }  # fmt: skip
