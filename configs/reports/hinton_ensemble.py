"""How the study of hinton/ensemble.py is shown: a table and claims for each regime, and figures."""

from typing import Any

TITLES = {
    'again': 'The same images again',
    'stopped': 'Ensemble stopped early',
    'mixed': 'Mixtures of the same images',
    'unlabelled': 'Unlabelled images',
    'fresh': 'Nothing is memorised',
}
REGIME_TEXTS = {
    'again': 'MNIST with noisy labels, which the ensemble has memorised',
    'stopped': 'MNIST with noisy labels, which the ensemble has hardly memorised',
    'mixed': 'MNIST with noisy labels; mixtures of two of the images',
    'unlabelled': 'MNIST; eleven times as many images, without labels',
    'fresh': 'MNIST with noisy labels, jittered, in ten passes',
}
WORDS = {'soft': 'soft targets', 'decisions': 'decisions'}
STUDENT, MEMBER = 'last.test.student.accuracy', 'last.test.member.accuracy'
VOTES = 'analyses.ensemble.test.probabilities.accuracy'
ERRORS = 'last.test.student.errors'
BEST_SINGLE = 'members_few:best.test.member.accuracy'


def ensemble_report() -> dict[str, Any]:
    by_validation = {f'{regime}_soft': dict(runs=f'{regime}_t*', by='last.valid.student.accuracy') for regime in TITLES}
    return {
        'chosen': by_validation, 'tables': tables(), 'claims': claims(), 'figures': shares() | curves(),
        'lead': 'shares',
    }  # fmt: skip


def members_of(regime: str) -> str:
    """The run that trains the ensemble of a regime."""
    return f'members_{regime}' if regime in ('fresh', 'stopped') else 'members_few'


def tables() -> dict[str, Any]:
    """A table for each regime."""
    made: dict[str, Any] = {}
    for regime, title in TITLES.items():
        single, averaged = (dict(run=members_of(regime), columns={'accuracy': path}) for path in (MEMBER, VOTES))
        rows: dict[str, Any] = {
            'single': dict(single, label='a single net, labels'),
            'ensemble': dict(averaged, label='ensemble of 10'),
            f'{regime}_soft': dict(label='one student, soft targets, T chosen on validation'),
            f'{regime}_decisions': dict(label='one student, the ensemble’s decisions'),
        }
        if members_of(regime) == 'members_few':
            best = dict(run='members_few', columns={'accuracy': BEST_SINGLE.partition(':')[2]})
            rows['single_best'] = dict(best, label='a single net, labels, at its best epoch on validation')
        columns = {'accuracy': STUDENT, 'temperature': 'config.terms.soft.t'}
        made[regime] = dict(title=title, columns=columns, baseline='single', rows=rows)
    made['again']['rows']['again_longer'] = dict(label='one student, T = 10, five times as long')
    made['fresh']['rows'] |= {
        'fresh_longer': dict(label='one student, T = 1, five times as long'),
        'fresh_wider': dict(label='one student, T = 1, 300-300'),
        'fresh_single_longer': dict(
            label='a single net, labels, five times as long', columns={'accuracy': MEMBER}
        ),
    }  # fmt: skip
    return made


def claims() -> dict[str, Any]:
    """For each regime, the share of the ensemble's gain that a student keeps."""
    made: dict[str, Any] = {}
    for regime, title in TITLES.items():
        paper = dict(paper=0.8, rule=dict(at_least=0.8), regime=REGIME_TEXTS[regime])
        members = members_of(regime)
        for kind, words in WORDS.items():
            made[f'{regime}_{kind}'] = dict(
                title=f'Share of the ensemble’s gain that a student of its {words} keeps: {title.lower()}',
                **(paper if kind == 'soft' else {}), kind='share', value=f'{regime}_{kind}:{STUDENT}',
                low=f'{members}:{MEMBER}', high=f'{members}:{VOTES}',
            )  # fmt: skip
    made['again_soft'] |= dict(
        why='The ensemble has memorised noisy labels of these images, and its soft targets show them. Five times as '
        'many steps make the student worse. The ensemble’s decisions lose nothing. A single net at the epoch that '
        'validation images choose is better than the ensemble and its students.',
        evidence={
            'five times as long': f'again_longer:{STUDENT}', 'decisions': f'again_decisions:{STUDENT}',
            'a single net at its best epoch': BEST_SINGLE,
        },
    )  # fmt: skip
    made['stopped_soft'] |= dict(
        why='Nets that stop in time leave the ensemble little to gain. Five seeds do not tell how much of so small a '
        'gain is kept.',
        evidence={'a single net': f'members_stopped:{MEMBER}', 'the ensemble': f'members_stopped:{VOTES}'},
    )
    made['mixed_soft'] |= dict(
        why='As with the same images, soft targets show noisy labels that the ensemble has memorised, though less. The '
        'student of its decisions on mixtures becomes better than the ensemble.',
        evidence={'decisions': f'mixed_decisions:{STUDENT}'},
    )
    made['fresh_soft'] |= dict(
        why='Neither five times as many steps nor a student with 300-300 units closes the gap. But a net that learns '
        'the labels for five times as long gains nearly as much as the ensemble, without a teacher: most of what this '
        'ensemble gains is what ten passes leave untrained.',
        evidence={
            'five times as long': f'fresh_longer:{STUDENT}', '300-300 units': f'fresh_wider:{STUDENT}',
            'labels, five times as long': f'fresh_single_longer:{MEMBER}',
        },
    )  # fmt: skip
    return made


def shares() -> dict[str, Any]:
    drawn = {
        f'{title},\n{words}': f'{regime}_{kind}' for regime, title in TITLES.items() for kind, words in WORDS.items()
    }
    return {
        'shares': dict(
            title='When an ensemble can be kept in one net', kind='shares', claims=drawn,
            xlabel='share of the ensemble’s gain',
            caption='0% is a single net, 100% (dashed) the ensemble. Mean and standard deviation over seeds. Diamonds: '
            'the paper, more than 80%.',
        ),
    }  # fmt: skip


def curves() -> dict[str, Any]:
    """Errors over the temperature, and learning curves."""
    few = {title.lower(): f'{regime}_t*' for regime, title in TITLES.items() if regime != 'fresh'}
    swept = dict(
        kind='lines', x='config.terms.soft.t', y=ERRORS, log_x=True, xlabel='temperature', ylabel='test errors'
    )
    learned = dict(kind='curves', y='valid.student.errors', ylabel='errors of 5,000 validation images')
    return {
        'temperature': dict(swept, title='Temperature, with 5,000 labels', runs=few),
        'temperature_fresh': dict(
            swept, title='Temperature, where nothing is memorised', runs={'student': 'fresh_t*'}
        ),
        'curves_again': dict(
            learned, title='The same images again: learning curves',
            runs={'soft targets, T = 10': 'again_t10', 'decisions': 'again_decisions'},
        ),
        'curves_fresh': dict(
            learned, title='Nothing is memorised: learning curves',
            runs={
                'T = 1': 'fresh_t1', 'T = 1, 300-300': 'fresh_wider', 'T = 1, five times as long': 'fresh_longer',
                'decisions': 'fresh_decisions',
            },
        ),
    }  # fmt: skip
