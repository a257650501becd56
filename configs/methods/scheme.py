"""Schemes: teachers that are trained as well, self-distillation, adversaries, other modalities, no data."""

from configs.methods.method import Method

METHODS = (
    Method(
        name='deep mutual learning',
        kind='online',
        objective='each network from the other',
        source='Zhang et al. 2018',
        definition=(
            'both networks are updated in one step, in the paper one after the other; for more peers, give a list of'
            " paths and average='losses'"
        ),
        networks=dict(peer=dict(model='cnn', channels=(16, 32, 64))),
        terms=dict(
            peer_hard=dict(loss='cross_entropy', logits='peer.logits', labels='batch.label'),
            from_peer=dict(loss='kd', student='student.logits', target='~peer.logits'),
            to_peer=dict(loss='kd', student='peer.logits', target='~student.logits'),
        ),
    ),
    Method(
        name='codistillation',
        kind='online',
        objective='each copy from the mean of the others',
        source='Anil et al. 2018',
        definition='predictions are never stale, because all copies are one program',
        networks=dict(cohort=dict(model='cnn', channels=(8, 16, 32), copies=3)),
        terms=dict(
            cohort_hard=dict(loss='cross_entropy', logits='cohort.logits', labels='batch.label'),
            cohort_soft=dict(loss='codistillation', student='cohort.logits', target='~cohort.logits', t=2.0),
        ),
    ),
    Method(
        name='KDCL',
        kind='online',
        objective='all from the best target of all',
        source='Guo et al. 2020',
        definition="min_logit, or form='naive'",
        networks=dict(group=dict(model='cnn', channels=(8, 16, 32), copies=3)),
        terms=dict(
            group_hard=dict(loss='cross_entropy', logits='group.logits', labels='batch.label'),
            group_soft=dict(loss='kdcl', student='group.logits', target='~group.logits', labels='batch.label', t=2.0),
        ),
    ),
    Method(
        name='ONE',
        kind='online',
        objective='branches from their gated average',
        source='Lan et al. 2018',
        definition="the branches share all blocks but the last; the gate reads the student's pooled features",
        networks=dict(
            branch1=dict(model='cnn', channels=(32,), input='student.block2'),
            branch2=dict(model='cnn', channels=(32,), input='student.block2'),
            branch_gate=dict(model='gate', input='student.features', teachers=3),
            united=dict(
                model='gated_average',
                input=['branch_gate.weights', 'student.logits', 'branch1.logits', 'branch2.logits'],
            ),
        ),
        terms=dict(
            branch1_hard=dict(loss='cross_entropy', logits='branch1.logits', labels='batch.label'),
            branch2_hard=dict(loss='cross_entropy', logits='branch2.logits', labels='batch.label'),
            united_hard=dict(loss='cross_entropy', logits='united.logits', labels='batch.label'),
            one=dict(loss='kd', student='student.logits', target='~united.logits', t=3.0),
            one1=dict(loss='kd', student='branch1.logits', target='~united.logits', t=3.0),
            one2=dict(loss='kd', student='branch2.logits', target='~united.logits', t=3.0),
        ),
    ),
    Method(
        name='deep supervision',
        kind='self',
        objective='exits from labels',
        source='Lee et al. 2015',
        definition='linear exits',
        networks=dict(exit1=dict(model='classifier', input='student.block1')),
        terms=dict(exit1=dict(loss='cross_entropy', logits='exit1.logits', labels='batch.label', weight=0.3)),
    ),
    Method(
        name='be your own teacher',
        kind='self',
        objective='exits from the last layer',
        source='Zhang et al. 2019',
        definition=(
            'each bottleneck is one dense layer on pooled maps; the hint term of the paper can be added as `mse`'
        ),
        networks=dict(
            own_exit1=dict(model='classifier', input='own_deeper1.features'),
            own_deeper1=dict(model='connector', input='student.block1', channels=32, size=1, relu=True),
            own_exit2=dict(model='classifier', input='own_deeper2.features'),
            own_deeper2=dict(model='connector', input='student.block2', channels=32, size=1, relu=True),
        ),
        terms=dict(
            own_hard1=dict(loss='cross_entropy', logits='own_exit1.logits', labels='batch.label', weight=0.7),
            own_hard2=dict(loss='cross_entropy', logits='own_exit2.logits', labels='batch.label', weight=0.7),
            own_soft1=dict(loss='kd', student='own_exit1.logits', target='~student.logits', t=3.0, weight=0.3),
            own_soft2=dict(loss='kd', student='own_exit2.logits', target='~student.logits', t=3.0, weight=0.3),
        ),
    ),
    Method(
        name='class-wise (CS-KD)',
        kind='self',
        objective='from other examples of the same class',
        source='Yun et al. 2020',
        definition='from all other examples of the class in the batch; in the paper from one that is drawn',
        terms=dict(
            class_wise=dict(
                loss='class_wise', student='student.logits', target='~student.logits', labels='batch.label', t=4.0
            )
        ),
    ),
    Method(
        name='progressive (PS-KD)',
        kind='self',
        objective='from its own predictions of the epoch before',
        source='Kim et al. 2021',
        definition=(
            'replaces `hard`; uses the predictions made in training, with that view and dropout, as in the code'
        ),
        without_labels=True,
        networks=dict(past=dict(model='recall', input=['~student.logits', 'batch.id'], examples=60000)),
        terms=dict(
            progressive=dict(
                loss='progressive',
                logits='student.logits',
                target='past.logits',
                known='past.known',
                labels='batch.label',
                alpha=dict(schedule='linear', start=0.0, end=0.8),
            )
        ),
    ),
    Method(
        name='mean teacher',
        kind='self',
        objective='from the average of its own parameters',
        source='Tarvainen & Valpola 2017',
        definition=(
            "KL; the paper uses `mse` of probabilities; for unlabelled examples set `mask='batch.labelled'` on `hard`; "
            'measured with a constant decay, `warmup=False`'
        ),
        networks=dict(
            average=dict(model='cnn', channels=(8, 16, 32), update='follow', rule='ema', of='student', decay=0.99)
        ),
        terms=dict(consistency=dict(loss='kd', student='student.logits', target='average.logits')),
    ),
    Method(
        name='adversarial, features',
        kind='offline, adversarial',
        objective="features that a judge cannot tell from the teacher's",
        source='Wang et al. 2018 (AAAI); Goodfellow et al. 2014',
        definition='both sides are updated in one step; non-saturating form',
        networks=dict(
            bridge=dict(model='connector', input='student.features', channels=64),
            judge=dict(model='discriminator', input=['~bridge.features', 'teacher.features']),
            judged=dict(update='shared', of='~judge', input=['bridge.features', 'teacher.features']),
        ),
        terms=dict(
            judge=dict(loss='judge', student='judge.student', target='judge.target'),
            deceive=dict(loss='deceive', student='judged.student', weight=0.01),
            bridge=dict(loss='mse', student='bridge.features', target='teacher.features'),
        ),
    ),
    Method(
        name='adversarial, logits',
        kind='offline, adversarial',
        objective="logits that a judge cannot tell from the teacher's",
        source='Xu et al. 2018',
        definition='as above; the judge predicts where logits come from, not their class',
        networks=dict(
            logit_judge=dict(model='discriminator', input=['~student.logits', 'teacher.logits']),
            logit_judged=dict(update='shared', of='~logit_judge', input=['student.logits', 'teacher.logits']),
        ),
        terms=dict(
            logit_judge=dict(loss='judge', student='logit_judge.student', target='logit_judge.target'),
            logit_deceive=dict(loss='deceive', student='logit_judged.student', weight=0.01),
            logits=dict(loss='mse', student='student.logits', target='teacher.logits'),
        ),
    ),
    Method(
        name='robust (ARD)',
        kind='offline, adversarial examples',
        objective="the teacher's answer to the clean image, for the attacked image",
        source='Goldblum et al. 2020',
        definition='the attack sees the labels, and the student in evaluation mode',
        networks=dict(
            attack=dict(
                model='pgd',
                update='shared',
                of='~student',
                input=['batch.image', 'batch.label'],
                epsilon=0.1,
                size=0.025,
                steps=4,
            ),
            attacked=dict(update='shared', of='student', input='attack.image'),
        ),
        terms=dict(ard=dict(loss='kd', student='attacked.logits', target='teacher.logits', t=4.0)),
    ),
    Method(
        name='robust (RSLAD)',
        kind='offline, adversarial examples',
        objective='soft labels in the attack and in the loss',
        source='Zi et al. 2021',
        definition='weights 5/6 and 1/6, without `hard`',
        without_labels=True,
        networks=dict(
            soft_attack=dict(
                model='pgd',
                update='shared',
                of='~student',
                input=['batch.image', 'teacher.logits'],
                epsilon=0.1,
                size=0.025,
                steps=4,
            ),
            soft_attacked=dict(update='shared', of='student', input='soft_attack.image'),
        ),
        terms=dict(
            rslad=dict(loss='kd', student='soft_attacked.logits', target='teacher.logits', weight=0.83),
            rslad_clean=dict(loss='kd', student='student.logits', target='teacher.logits', weight=0.17),
        ),
    ),
    Method(
        name='cross-modal',
        kind='offline, two modalities',
        objective='a network on points, from a teacher on images, without labels',
        source='Gupta et al. 2016',
        definition='pairs without labels; with labels, add a `cross_entropy` of `points.logits`',
        networks=dict(
            strokes=dict(model='stroke_points', input='batch.image', count=16, update='frozen'),
            points=dict(model='pointnet', input='strokes.points'),
        ),
        terms=dict(cross_modal=dict(loss='kd', student='points.logits', target='teacher.logits', t=4.0)),
    ),
    Method(
        name='data-free (DAFL)',
        kind='offline, no data',
        objective='from generated images that activate the teacher',
        source='Chen et al. 2019',
        definition=(
            'replaces `hard`; from the batch only the number and shape of images are used; the weight 5 belongs to the '
            "code's logarithm to base 10, form='code' of `class_imbalance`: it was measured with the natural one, 2.3 "
            'times as strong'
        ),
        without_labels=True,
        networks=dict(
            inventor=dict(model='generator', input='batch.image', dim=16, channels=8),
            critic=dict(update='shared', of='teacher', input='inventor.image'),
            pupil=dict(update='shared', of='student', input='~inventor.image'),
        ),
        terms=dict(
            one_hot=dict(loss='hard_kd', student='critic.logits', target='~critic.logits'),
            activation=dict(loss='inactivity', features='critic.features', weight=0.1),
            balance=dict(loss='class_imbalance', logits='critic.logits', weight=5.0),
            data_free=dict(loss='kd', student='pupil.logits', target='~critic.logits'),
        ),
    ),
)
