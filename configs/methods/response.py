"""Methods whose knowledge is the response of frozen teachers: their logits and predictions."""

from configs.methods.method import Method

TEACHERS = dict(model='cnn', channels=(16, 32, 64), update='frozen', copies=3, init='run:teachers')

METHODS = (
    Method(
        name='KD',
        kind='response',
        objective='t² KL(p ‖ q)',
        source='Hinton et al. 2015',
        definition=(
            'sum over classes, mean over examples, times t²; weights 9 to 1 over labels, as 0.9 and 0.1 in RepDistiller'
        ),
        terms=dict(kd=dict(loss='kd', student='student.logits', target='teacher.logits', t=4.0, weight=9.0)),
    ),
    Method(
        name='KD, temperature annealed',
        kind='response',
        objective='t falls from 8 to 1',
        source='a schedule on t',
        definition=(
            "weights can have schedules too; annealing-KD (Jafari et al. 2021) instead regresses the teacher's "
            'annealed logits, then trains on labels alone'
        ),
        terms=dict(
            annealed=dict(
                loss='kd',
                student='student.logits',
                target='teacher.logits',
                t=dict(schedule='linear', start=8.0, end=1.0),
            )
        ),
    ),
    Method(
        name='curriculum temperature (CTKD)',
        kind='response',
        objective='min over the student, max over t, of t² KL',
        source='Li et al. 2023 (CTKD)',
        definition=(
            'one t for all examples ("global"), trained by SGD, because Adam ignores the scale of the gradient, '
            "which the weight sets; the weight 0.9 and the ramp over 10 of 240 epochs are the code's, whose ramp is "
            'half a cosine'
        ),
        networks=dict(
            temperature=dict(
                model='temperature',
                input='teacher.logits',
                optimizer=dict(name='sgd', learning_rate=0.05, momentum=0.9),
            )
        ),
        terms=dict(
            curriculum=dict(
                loss='kd', student='student.logits', target='teacher.logits', t='~temperature.t', weight=9.0
            ),
            harder=dict(
                loss='kd',
                student='~student.logits',
                target='teacher.logits',
                t='temperature.t',
                weight=dict(schedule='linear', start=0.0, end=-0.9, until=0.04),
            ),
        ),
    ),
    Method(
        name='logit regression',
        kind='response',
        objective='mean (z − v)²',
        source='Ba & Caruana 2014',
        definition='mean over classes',
        terms=dict(logits=dict(loss='mse', student='student.logits', target='teacher.logits')),
    ),
    Method(
        name='label smoothing',
        kind='response',
        objective='H((1 − ε) y + ε/C, q)',
        source='Szegedy et al. 2016',
        definition='the uniform share includes the label',
        terms=dict(
            smooth=dict(loss='cross_entropy', logits='student.logits', labels='batch.label', label_smoothing=0.1)
        ),
    ),
    Method(
        name='teacher-free',
        kind='response',
        objective='t² KL(virtual ‖ q)',
        source='Yuan et al. 2020',
        definition='paper: both sides are softened; the code softens probabilities as if they were logits',
        terms=dict(
            free=dict(
                loss='teacher_free', logits='student.logits', labels='batch.label', correct=0.99, t=20.0, weight=0.1
            )
        ),
    ),
    Method(
        name='DKD',
        kind='response',
        objective='t² (α TCKD + β NCKD)',
        source='Zhao et al. 2022',
        definition=(
            'computed from sums over the other classes, not with a mask of −1000; warm-up over 20 of 240 epochs'
        ),
        terms=dict(
            dkd=dict(
                loss='dkd',
                student='student.logits',
                target='teacher.logits',
                labels='batch.label',
                t=4.0,
                alpha=1.0,
                beta=8.0,
                weight=dict(schedule='linear', start=0.0, end=1.0, until=0.08),
            )
        ),
    ),
    Method(
        name='logit standardisation',
        kind='response',
        objective='t² KL of z-scored logits',
        source='Sun et al. 2024',
        definition="standard deviation divided by C; standardise='code' divides by C − 1",
        terms=dict(
            standardised=dict(
                loss='kd', student='student.logits', target='teacher.logits', t=2.0, standardise=True, weight=9.0
            )
        ),
    ),
    Method(
        name='JSD',
        kind='response',
        objective='t² (β KL(p ‖ m) + (1 − β) KL(q ‖ m)), m = β p + (1 − β) q',
        source='Agarwal et al. 2024 (GKD)',
        definition='paper; not divided by β or 1 − β; there on texts that the student writes',
        terms=dict(
            jsd=dict(loss='jsd', student='student.logits', target='teacher.logits', t=4.0, beta=0.5, weight=9.0)
        ),
    ),
    Method(
        name='DIST',
        kind='response, relation',
        objective='1 − Pearson over classes and over examples',
        source='Huang et al. 2022',
        definition="times t² (code); form='paper' leaves it out",
        terms=dict(
            dist=dict(loss='dist', student='student.logits', target='teacher.logits', t=4.0, inter=1.0, intra=1.0)
        ),
    ),
    Method(
        name='MLLD',
        kind='response, relation',
        objective='Σ_t t² KL + Gram matrices of examples and of classes',
        source='Jin et al. 2023',
        definition='sum over 5 temperatures; the augmentation of the paper is not part of the loss',
        terms=dict(mlld=dict(loss='mlld', student='student.logits', target='teacher.logits', weight=0.2)),
    ),
    Method(
        name="Kendall's tau",
        kind='response',
        objective='1 − mean tanh(kΔz) tanh(kΔv)',
        source='Guan et al. 2024',
        definition='tanh on both sides; here without KD, to which the authors add it',
        terms=dict(rank=dict(loss='kendall', student='student.logits', target='teacher.logits', steepness=1.0)),
    ),
    Method(
        name='multi-label KD',
        kind='response',
        objective='t² mean over labels of KL(p ‖ q) + KL(1 − p ‖ 1 − q), p and q sigmoids',
        source='binary KL for each label',
        definition=(
            "for labels that do not exclude each other, without `hard`; mean over labels, over_labels='sum' adds "
            'them; `batch.answers` holds 0 or 1 for each label'
        ),
        without_labels=True,
        terms=dict(
            answers=dict(loss='bce', logits='student.logits', target='batch.answers'),
            answers_kd=dict(loss='bce_kd', student='student.logits', target='teacher.logits', t=4.0),
        ),
    ),
    Method(
        name='hard labels (black box)',
        kind='response',
        objective='H(argmax v, q)',
        source='Touvron et al. 2021',
        definition='with several teachers, the mean of their distributions decides',
        terms=dict(black_box=dict(loss='hard_kd', student='student.logits', target='teacher.logits')),
    ),
    Method(
        name='top-k targets with a tail',
        kind='response',
        objective='t² KL over k classes and the total mass of the rest',
        source='bucketed KL',
        definition='the tail counts as one more class; nothing is renormalised',
        networks=dict(top=dict(model='top_k', input='teacher.logits', update='frozen', k=4, t=4.0)),
        terms=dict(
            top=dict(
                loss='kd_top_k', student='student.logits', log_probs='top.log_probs', classes='top.classes', t='top.t'
            )
        ),
    ),
    Method(
        name='ensemble',
        kind='response',
        objective='t² KL(mean of p ‖ q)',
        source='Hinton et al. 2015',
        definition="also average='logits' or 'losses'; the loss does not grow with the number of teachers",
        networks=dict(teachers=TEACHERS),
        terms=dict(
            ensemble=dict(loss='kd', student='student.logits', target='teachers.logits', t=4.0, average='probabilities')
        ),
    ),
    Method(
        name='ensemble by validation accuracy',
        kind='response',
        objective='Σ w p, w ∝ accuracy',
        source='weighted vote',
        definition="a share can be 'result:RUN.PATH'",
        networks=dict(teachers=TEACHERS),
        terms=dict(
            by_accuracy=dict(
                loss='kd', student='student.logits', target='teachers.logits', t=4.0, shares=(0.92, 0.95, 0.9)
            )
        ),
    ),
    Method(
        name='ensemble by confidence',
        kind='response',
        objective='w = (1 − softmax(CE)) / (K − 1) for each example',
        source='Zhang et al. 2022 (CA-MKD)',
        definition="by='entropy' needs no labels (after Kwon et al. 2020)",
        networks=dict(teachers=TEACHERS),
        terms=dict(
            confident=dict(
                loss='confident_kd', student='student.logits', target='teachers.logits', labels='batch.label', t=4.0
            )
        ),
    ),
    Method(
        name='ensemble by a gate',
        kind='response',
        objective='weights from a network, for each example',
        source='Liu et al. 2020 (AMTML-KD)',
        definition='the weights only, without the latent factors of the paper',
        networks=dict(
            teachers=TEACHERS,
            gate=dict(model='gate', input='student.features', teachers=3),
        ),
        terms=dict(
            gated=dict(
                loss='gated_kd', student='student.logits', target='teachers.logits', weights='gate.weights', t=4.0
            )
        ),
    ),
    Method(
        name='noisy teacher',
        kind='response',
        objective='v (1 + ξ) for some examples',
        source='Sau & Balasubramanian 2016',
        definition='multiplicative noise, as in the paper',
        networks=dict(noisy=dict(model='noise', input='teacher.logits', sd=0.5, share=0.5)),
        terms=dict(noisy=dict(loss='kd', student='student.logits', target='~noisy.logits', t=4.0)),
    ),
)
