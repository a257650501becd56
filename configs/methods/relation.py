"""Methods whose knowledge is relations that a frozen teacher sees between examples, layers or channels."""

from configs.methods.method import Method

METHODS = (
    Method(
        name='RKD',
        kind='relation',
        objective='Huber of distances and of angles',
        source='Park et al. 2019',
        definition="mean over pairs and triples of different examples; form='code' counts repeated examples too",
        terms=dict(
            distance=dict(loss='rkd_distance', student='student.features', target='teacher.features', weight=25.0),
            angle=dict(loss='rkd_angle', student='student.features', target='teacher.features', weight=50.0),
        ),
    ),
    Method(
        name='similarity preserving',
        kind='relation',
        objective='‖G − G′‖² / B², rows of L2 norm 1',
        source='Tung & Mori 2019',
        definition='rows divided by their L2 norm',
        terms=dict(
            similarity=dict(
                loss='similarity_preserving', student='student.block3', target='teacher.block3', weight=3000.0
            )
        ),
    ),
    Method(
        name='correlation congruence',
        kind='relation',
        objective='‖K − K′‖² / B², Gaussian kernel',
        source='Peng et al. 2019',
        definition=(
            'the form with a kernel; the form with consecutive rows, to which the usual weight 0.02 belongs, is not '
            'offered'
        ),
        terms=dict(
            congruence=dict(
                loss='correlation_congruence',
                student='student.features',
                target='teacher.features',
                gamma=0.4,
                weight=30.0,
            )
        ),
    ),
    Method(
        name='PKT',
        kind='relation',
        objective='KL of neighbour probabilities',
        source='Passalis & Tefas 2018',
        definition="mean over B² with the diagonal (code), or form='paper'",
        terms=dict(pkt=dict(loss='pkt', student='student.features', target='teacher.features', weight=30000.0)),
    ),
    Method(
        name='FSP',
        kind='relation of layers',
        objective='‖Gram of two layers − the same‖²',
        source='Yim et al. 2017',
        definition=(
            "mean (RepDistiller); form='paper' sums; here with labels, in the paper first, in a run of its own; the "
            'connectors are needed only because the widths differ here'
        ),
        networks=dict(
            wide1=dict(model='connector', input='student.block1', channels=16),
            wide2=dict(model='connector', input='student.block2', channels=32),
        ),
        terms=dict(
            fsp=dict(
                loss='fsp',
                student_in='wide1.features',
                student_out='wide2.features',
                target_in='teacher.block1',
                target_out='teacher.block2',
                weight=50.0,
            )
        ),
    ),
    Method(
        name='KDSVD',
        kind='relation of layers',
        objective='RBF relations of leading singular vectors',
        source='Lee et al. 2018',
        definition='the derivative is 0 between equal singular values',
        networks=dict(
            wide1=dict(model='connector', input='student.block1', channels=16),
            wide2=dict(model='connector', input='student.block2', channels=32),
        ),
        terms=dict(
            kdsvd=dict(
                loss='kdsvd',
                student_in='wide1.features',
                student_out='wide2.features',
                target_in='teacher.block1',
                target_out='teacher.block2',
            )
        ),
    ),
    Method(
        name='ICKD',
        kind='relation of channels',
        objective='‖C − C′‖² / channels',
        source='Liu et al. 2021',
        definition='normalised rows (code)',
        networks=dict(channels=dict(model='connector', input='student.block3', channels=64, batch_norm=True)),
        terms=dict(ickd=dict(loss='ickd', student='channels.features', target='teacher.block3', weight=2.5)),
    ),
    Method(
        name='CKA',
        kind='relation',
        objective='1 − ⟨K, L⟩ / (‖K‖ ‖L‖)',
        source='Kornblith et al. 2019',
        definition='biased on small batches; the analysis `cka` computes it for a whole split',
        terms=dict(cka=dict(loss='cka', student='student.features', target='teacher.features')),
    ),
)
