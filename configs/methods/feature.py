"""Methods whose knowledge is a frozen teacher's features."""

from configs.methods.method import Method

METHODS = (
    Method(
        name='FitNet',
        kind='feature',
        objective='mean (r(x) − y)²',
        source='Romero et al. 2015',
        definition='mean, not half the sum; trained together with the other terms, or first in a run of its own',
        networks=dict(hint=dict(model='connector', input='student.block2', channels=32)),
        terms=dict(hint=dict(loss='mse', student='hint.features', target='teacher.block2', weight=100.0)),
    ),
    Method(
        name='cosine of hidden states',
        kind='feature',
        objective='1 − cos',
        source='Sanh et al. 2019',
        definition='along the last axis',
        networks=dict(hidden=dict(model='connector', input='student.features', channels=64)),
        terms=dict(hidden=dict(loss='cosine', student='hidden.features', target='teacher.features')),
    ),
    Method(
        name='attention transfer',
        kind='feature',
        objective='mean (Q − Q′)², Q = Σ_c x² normalised',
        source='Zagoruyko & Komodakis 2017',
        definition="code; form='paper' is the norm",
        terms=dict(
            attention=dict(loss='attention_transfer', student='student.block2', target='teacher.block2', weight=1000.0)
        ),
    ),
    Method(
        name='NST',
        kind='feature',
        objective='MMD² of channels, kernel (x·y)²',
        source='Huang & Wang 2017',
        definition="also kernel='linear'; the constant term is kept",
        terms=dict(nst=dict(loss='nst', student='student.block3', target='teacher.block3', weight=50.0)),
    ),
    Method(
        name='factor transfer',
        kind='feature',
        objective='mean over positions of ‖F − F′‖₁, normalised',
        source='Kim et al. 2018',
        definition=(
            "RepDistiller's form, or form='authors', 'paper'; here both networks learn at once. The paper trains the "
            'paraphraser first: use a '
            "run of its own, then update='frozen', init='run:paraphraser/paraphraser'"
        ),
        networks=dict(
            paraphraser=dict(model='paraphraser', input='teacher.block2', factor=16),
            translator=dict(model='translator', input='student.block2', factor=16),
        ),
        terms=dict(
            paraphrase=dict(loss='mse', student='paraphraser.reconstruction', target='teacher.block2'),
            factor=dict(
                loss='factor_transfer', student='translator.factor', target='~paraphraser.factor', weight=200.0
            ),
        ),
    ),
    Method(
        name='activation boundaries',
        kind='feature',
        objective='Σ (margin ∓ x)₊² by the sign of y',
        source='Heo et al. 2019 (AAAI)',
        definition=(
            'sum (paper); the code multiplies it by 0.003; here together with labels, in the paper first, in a run '
            'of its own'
        ),
        networks=dict(boundary=dict(model='connector', input='student.block2', channels=32, batch_norm=True)),
        terms=dict(
            boundary=dict(
                loss='activation_boundaries', student='boundary.features', target='teacher.block2', weight=0.003
            )
        ),
    ),
    Method(
        name='overhaul (OFD)',
        kind='feature',
        objective='Σ (x − max(y, m))², free where x ≤ y ≤ 0',
        source='Heo et al. 2019 (ICCV)',
        definition=(
            'margins from the batch, not from batch norm; sum (paper), which the code divides by 1000; `block2` of '
            '`cnn` is after its ReLU'
        ),
        networks=dict(overhaul=dict(model='connector', input='student.block2', channels=32, batch_norm=True)),
        terms=dict(overhaul=dict(loss='ofd', student='overhaul.features', target='teacher.block2', weight=0.001)),
    ),
    Method(
        name='VID',
        kind='feature',
        objective='½ (ln σ² + (y − μ)² / σ²)',
        source='Ahn et al. 2019',
        definition='the variance is trained, one per channel',
        networks=dict(variational=dict(model='variational', input='student.block2', channels=32)),
        terms=dict(
            vid=dict(loss='vid', mean='variational.mean', variance='variational.variance', target='teacher.block2')
        ),
    ),
    Method(
        name='SimKD',
        kind='feature',
        objective="mean (P(x) − y)², with the teacher's classifier on P(x)",
        source='Chen et al. 2022',
        definition="without `hard`; evaluated is the teacher's classifier on the projected features",
        without_labels=True,
        networks=dict(
            projected=dict(model='projector', input='student.block3', channels=64),
            classifier=dict(
                model='classifier', input='projected.features', update='frozen', init='run:teacher', part='head'
            ),
        ),
        terms=dict(simkd=dict(loss='mse', student='projected.map', target='teacher.block3')),
        evaluate=dict(simkd=dict(logits='classifier.logits')),
    ),
    Method(
        name='SRRL',
        kind='feature, response',
        objective="mean (r(x) − y)² + mean (W r(x) − v)², W the teacher's classifier",
        source='Yang et al. 2021',
        definition='code: squared distance of logits; r is a dense layer, batch norm and ReLU on pooled features',
        networks=dict(
            regressed=dict(model='connector', input='student.features', channels=64, batch_norm=True, relu=True),
            regression=dict(
                model='classifier', input='regressed.features', update='frozen', init='run:teacher', part='head'
            ),
        ),
        terms=dict(
            feature_matching=dict(loss='mse', student='regressed.features', target='teacher.features'),
            softmax_regression=dict(loss='mse', student='regression.logits', target='teacher.logits'),
        ),
    ),
    Method(
        name='ReviewKD',
        kind='feature',
        objective='mean squares at several scales; stages are fused from the deepest on',
        source='Chen et al. 2021',
        definition='levels 4, 2, 1 and weights of the code',
        networks=dict(
            review=dict(
                model='fusion',
                input=['student.block1', 'student.block2', 'student.block3'],
                channels=(16, 32, 64),
                width=32,
            )
        ),
        terms=dict(
            review1=dict(loss='hierarchical_context', student='review.stage1', target='teacher.block1'),
            review2=dict(loss='hierarchical_context', student='review.stage2', target='teacher.block2'),
            review3=dict(loss='hierarchical_context', student='review.stage3', target='teacher.block3'),
        ),
    ),
    Method(
        name='MGD',
        kind='feature',
        objective='mean (G(masked x) − y)²',
        source='Yang et al. 2022',
        definition='mean; the code uses a sum with weight 7e-5',
        networks=dict(
            generator=dict(model='masked_generator', input='student.block3', channels=64, share=0.15, over='channels')
        ),
        terms=dict(mgd=dict(loss='mse', student='generator.features', target='teacher.block3')),
    ),
    Method(
        name='CRD, in-batch',
        kind='feature, contrast',
        objective='−ln softmax of cosines over the batch',
        source='Tian et al. 2020; van den Oord et al. 2018',
        definition='negatives: the global batch; both directions are averaged',
        networks=dict(
            embed_s=dict(model='embedding', input='student.features', dim=64),
            embed_t=dict(model='embedding', input='teacher.features', dim=64),
        ),
        terms=dict(
            nce=dict(loss='info_nce', student='embed_s.embedding', target='embed_t.embedding', t=0.07, weight=0.8)
        ),
    ),
    Method(
        name='CRD, memory bank',
        kind='feature, contrast',
        objective='−ln h(partner) − Σ ln(1 − h)',
        source='Tian et al. 2020',
        definition=(
            'partners and negatives come from the bank (code); the paper uses 16384 negatives; divided by Z (code), '
            "here from each example's negatives; form='constant' takes Z from the first batch as the code does (model "
            "`first_batch_z`); form='paper' does not divide"
        ),
        networks=dict(
            bank_s=dict(
                model='memory_bank', input=['student.features', 'batch.id'], dim=64, examples=60000, negatives=1024
            ),
            bank_t=dict(
                model='memory_bank', input=['teacher.features', 'batch.id'], dim=64, examples=60000, negatives=1024
            ),
        ),
        terms=dict(
            crd=dict(
                loss='crd',
                student='bank_s.embedding',
                target='bank_t.entry',
                negatives='bank_t.negatives',
                examples=60000,
                weight=0.8,
            ),
            crd_back=dict(
                loss='crd',
                student='bank_t.embedding',
                target='bank_s.entry',
                negatives='bank_s.negatives',
                examples=60000,
                weight=0.8,
            ),
        ),
    ),
)
