"""How the study of hinton/specialists.py is shown: tables, claims and a figure."""

from typing import Any

from configs.hinton.specialist_settings import KINDS, MEMBERS, SPECIALISTS, TRANSFER, TRANSFER_EPOCHS, Setting

HEADINGS = {'test': 'test accuracy', 'valid': 'validation accuracy'}


def report(setting: Setting) -> dict[str, Any]:
    return {
        'tables': {
            'cost': cost_table(setting), 'kinds': kinds_table(), 'covering': covering_table(),
            'back': back_table(setting),
        },
        'claims': claims(setting),
        'figures': {
            'curves': dict(
                title='The generalist, trained longer and wider', kind='curves', y='valid.generalist.errors',
                runs={'generalist': 'generalist', 'trained longer': 'longer', 'wider': 'wider'},
                ylabel='errors of 10,000 validation images',
            )
        },
    }  # fmt: skip


def claims(setting: Setting) -> dict[str, Any]:
    """What the paper says of specialists, and what it leaves open, as differences of test accuracy."""

    def difference(title: str, value: str, low: str, **held: Any) -> dict[str, Any]:
        return dict(title=title, kind='difference', value=value, low=low, rule=dict(above=0), **(held or elsewhere))

    elsewhere = dict(regime='three-digit numbers instead of JFT')
    scored = 'analyses.corrected.test'
    combined = f'combined_specialist:{scored}.combined.accuracy'
    covering = f'combined_specialist:{scored}.covering'
    alone = 'last.test.generalist.accuracy'
    ensemble = 'members:analyses.ensemble.test.probabilities.accuracy'
    found = {
        'gain': dict(
            title=setting.gain, kind='number', paper=0.044, rule=dict(above=0),
            value=f'combined_specialist:{scored}.relative_accuracy_gain', **elsewhere,
        ),
        'gain_uncorrected': dict(
            title=f'{setting.gain}, dustbin not corrected', kind='number', paper=0.044, rule=dict(above=0),
            value='combined_specialist:analyses.uncorrected.test.relative_accuracy_gain',
            regime='three-digit numbers instead of JFT; the dustbin is not corrected',
        ),
        'covering': difference(
            'Relative gain with three specialists that cover the class, over one',
            f'{covering}.3.relative_accuracy_change', f'{covering}.1.relative_accuracy_change',
        ),
        'started': difference(
            'Specialists that start from the generalist, over new ones',
            combined, f'combined_fresh:{scored}.combined.accuracy',
        ),
        'dustbin': difference(
            'Dustbin corrected, over not corrected',
            combined, 'combined_specialist:analyses.uncorrected.test.combined.accuracy',
        ),
        'soft': difference(
            'Specialists with soft targets, over labels alone', f'combined_soft:{scored}.combined.accuracy', combined
        ),
        'longer': difference('At equal cost: specialists, over training longer', combined, f'longer:{alone}', own=True),
        'wider': difference('At equal cost: specialists, over a wider net', combined, f'wider:{alone}', own=True),
        'ensemble': difference('At equal cost: specialists, over an ensemble', combined, ensemble, own=True),
        'back': difference(
            'One net: student of generalist and specialists, over student of the generalist',
            'distilled_combined:last.test.student.accuracy', 'distilled_generalist:last.test.student.accuracy',
            own=True,
        ),
    }  # fmt: skip
    why = reasons(setting)
    return {name: {**claim, **why.get(name, {})} for name, claim in found.items()}


def reasons(setting: Setting) -> dict[str, Any]:
    """Why claims are not reproduced, and the numbers that say so."""
    test = 'combined_specialist:analyses.{}.test.'
    right = test.format('corrected') + 'conditional_accuracy'
    known = {'specialist': f'{right}.specialist', 'generalist': f'{right}.generalist'}
    changes = {
        f'{words}, {number} specialists': f'{test.format(name)}covering.{number}.relative_accuracy_change'
        for name, words in (('corrected', 'dustbin corrected'), ('uncorrected', 'not corrected'))
        for number in (0, 1, 3)
    }
    return {
        'gain': dict(
            why=setting.why,
            evidence=known,
        ),
        'covering': dict(
            why='If its dustbin is corrected, a specialist moves probability away from its classes, and every further '
            'specialist moves more.',
            evidence=changes,
        ),
        'dustbin': dict(
            why='The correction helps where no specialist covers the class and harms where one does; here most images '
            'have one.',
            evidence=changes,
        ),
        'soft': dict(
            why='The generalist, whose predictions they learn, knows these classes already as well as specialists do.',
            evidence=known,
        ),
    }  # fmt: skip


def cost_table(setting: Setting) -> dict[str, Any]:
    ensemble = {split: f'analyses.ensemble.{split}.probabilities.accuracy' for split in ('test', 'valid')}
    rows: dict[str, dict[str, Any]] = {
        'generalist': dict(label=f'generalist, {setting.width} units, {setting.epochs} epochs, at a smaller cost'),
        'combined_specialist': dict(label=f'generalist and {SPECIALISTS} specialists', columns=path_of('combined')),
        'uncorrected': dict(
            run='combined_specialist',
            label='the same, dustbin not corrected',
            columns=path_of('combined', 'uncorrected'),
        ),
        'longer': dict(label=f'trained longer, {setting.longer} epochs'),
        'wider': dict(label=f'wider, {setting.wider} units'),
        'members': dict(
            label=f'ensemble of {MEMBERS}, {setting.member_epochs} epochs each', columns=under_headings(ensemble)
        ),
    }
    text = (
        f'Cost, as parameters x examples: generalist {setting.generalist_cost / 1e12:.2f}e12, {SPECIALISTS} '
        f'specialists {setting.extra_cost / 1e12:.2f}e12, together {setting.total_cost / 1e12:.2f}e12. The three other '
        f'rows cost as much: {setting.longer} epochs instead of {setting.epochs}, {setting.wider} units instead of '
        f'{setting.width}, or {MEMBERS} nets of {setting.member_epochs} epochs.'
    )
    own = {heading: f'last.{split}.generalist.accuracy' for split, heading in HEADINGS.items()}
    return dict(title='What is worth its cost', text=text, baseline='generalist', columns=own, rows=rows)


def under_headings(paths: dict[str, str]) -> dict[str, str]:
    return {HEADINGS[split]: path for split, path in paths.items()}


def kinds_table() -> dict[str, Any]:
    rows = {'generalist': dict(run='combined_specialist', label='generalist alone', columns=path_of('generalist'))}
    for kind, words in KINDS.items():
        for corrected, said in (('corrected', 'dustbin corrected'), ('uncorrected', 'dustbin not corrected')):
            rows[f'{kind}_{corrected}'] = dict(
                run=f'combined_{kind}', label=f'{words}, {said}', columns=path_of('combined', corrected)
            )
    return dict(
        title='Kinds of specialists', columns=path_of('combined'), rows=rows, baseline='generalist',
        text='The paper starts specialists from the generalist and corrects the dustbin by the oversampling. The '
        'specialists with soft targets learn labels and the generalist’s predictions at equal weight, on all of their '
        'images; the paper proposes soft targets for the images of the dustbin.',
    )  # fmt: skip


def path_of(which: str, corrected: str = 'corrected') -> dict[str, str]:
    return under_headings({split: f'analyses.{corrected}.{split}.{which}.accuracy' for split in HEADINGS})


def covering_table() -> dict[str, Any]:
    def row(number: int) -> dict[str, str]:
        at = f'analyses.corrected.test.covering.{number}'
        return {
            'images': f'{at}.examples', 'generalist accuracy': f'{at}.generalist_accuracy',
            'combined accuracy': f'{at}.combined_accuracy', 'relative change': f'{at}.relative_accuracy_change',
        }  # fmt: skip

    rows = {f'by{k}': dict(run='combined_specialist', label=f'{k} specialists', columns=row(k)) for k in range(6)}
    return dict(
        title='By the number of specialists that cover the true class', columns=row(0), rows=rows,
        text="In the paper's table 4, the gain grows with this number.",
    )  # fmt: skip


def back_table(setting: Setting) -> dict[str, Any]:
    generalist, combined = path_of('generalist'), path_of('combined')
    return dict(
        title='Distilled back into one net of the generalist’s size', baseline='generalist',
        text='The paper leaves this open. A student of the generalist alone shows what distillation itself brings. '
        f'Students see {TRANSFER:,} of the {setting.train:,} training images, {TRANSFER_EPOCHS} times.',
        columns=under_headings({split: f'last.{split}.student.accuracy' for split in HEADINGS}),
        rows={
            'generalist': dict(run='combined_specialist', label='generalist', columns=generalist),
            'combined': dict(run='combined_specialist', label='generalist and specialists', columns=combined),
            'distilled_combined': dict(label='student of generalist and specialists'),
            'distilled_generalist': dict(label='student of the generalist alone'),
        },
    )  # fmt: skip
