"""Methods for language models: a student and a frozen teacher that read `batch.tokens`.

Their networks give named activations of [batch, length, ...]: `logits`, `hidden0`, `hidden1`, ..., and for each layer
`queries1`, `keys1` and `values1`. The labels and the mask of a batch belong to the positions that predict them, for
next tokens as for masked words.
"""

from typing import Any

from configs.methods.method import Method

MASK = 'batch.mask'
BOTH: dict[str, Any] = dict(student='student.logits', target='teacher.logits', mask=MASK)

METHODS = (
    Method(
        name='next token or masked word',
        kind='labels',
        objective='−log q of the label',
        source='maximum likelihood',
        definition='sum over the tokens that count / their number, in the whole global batch and all accumulated parts',
        terms=dict(words=dict(loss='cross_entropy', logits='student.logits', labels='batch.label', mask=MASK)),
    ),
    Method(
        name='forward KL',
        kind='response',
        objective='t² KL(p ‖ q)',
        source='Hinton et al. 2015; word-level KD of Kim & Rush 2016',
        definition='sum over the vocabulary, mean over tokens, times t²',
        terms=dict(forward=dict(loss='kd', **BOTH, t=2.0)),
    ),
    Method(
        name='forward KL, top k and tail',
        kind='response',
        objective='KL over k tokens and the tail',
        source='-',
        definition='the tail is one bucket; neither side is renormalised; a cache records k + 1 numbers for each token',
        networks=dict(top=dict(model='top_k', input='teacher.logits', update='frozen', k=16)),
        terms=dict(
            cached=dict(
                loss='kd_top_k', student='student.logits', log_probs='top.log_probs', classes='top.classes', t='top.t',
                mask=MASK,
            )
        ),
    ),
    Method(
        name='reverse KL',
        kind='response',
        objective='t² KL(q ‖ p)',
        source='Gu et al. 2024 (MiniLLM)',
        definition='at each position, exactly over the vocabulary; MiniLLM samples whole sequences',
        terms=dict(reverse=dict(loss='reverse_kl', **BOTH)),
    ),
    Method(
        name='generalised JSD',
        kind='response',
        objective='t² (β KL(p ‖ m) + (1 − β) KL(q ‖ m)), m = β p + (1 − β) q',
        source='Agarwal et al. 2024 (GKD)',
        definition='β is the share of the teacher; not divided by β or 1 − β',
        terms=dict(jsd=dict(loss='jsd', **BOTH, beta=0.5)),
    ),
    Method(
        name='skew KL',
        kind='response',
        objective='t² KL(p ‖ α p + (1 − α) q)',
        source='Ko et al. 2024 (DistiLLM)',
        definition='the gradient passes through the mixture',
        terms=dict(skew=dict(loss='skew_kl', **BOTH, alpha=0.1)),
    ),
    Method(
        name='skew reverse KL',
        kind='response',
        objective='t² KL(q ‖ (1 − α) p + α q)',
        source='Ko et al. 2024 (DistiLLM)',
        definition='the gradient passes through both places of the student',
        terms=dict(reverse_skew=dict(loss='reverse_skew_kl', **BOTH, alpha=0.1)),
    ),
    Method(
        name='total variation',
        kind='response',
        objective='½ Σ |p − q|',
        source='Wen et al. 2023 (f-distill)',
        definition='probabilities are not softened',
        terms=dict(variation=dict(loss='total_variation', **BOTH)),
    ),
    Method(
        name='ranking of the top k',
        kind='response',
        objective='−log of the probability of drawing the k in the order of the teacher',
        source='Xia et al. 2008 (ListMLE)',
        definition='Plackett-Luce among the k; sum, not divided by k',
        networks=dict(ranked=dict(model='top_k', input='teacher.logits', update='frozen', k=8)),
        terms=dict(order=dict(loss='rank_top_k', student='student.logits', classes='ranked.classes', mask=MASK)),
    ),
    Method(
        name='unlike vocabularies (ULD)',
        kind='response',
        objective='Σ |sorted p − sorted q|',
        source='Boizard et al. 2024',
        definition='the smaller vocabulary is filled up with zeros; it does not see which tokens are probable',
        terms=dict(sorted=dict(loss='sorted_distance', **BOTH)),
    ),
    Method(
        name='unlike vocabularies, first bytes',
        kind='response',
        objective='KL of the first byte of the next token',
        source='marginals of each distribution over tokens',
        definition=(
            'exact, given the tokens before; `first` has the first byte of every token, here of a, aa, ab, b and a '
            'special token, four times over; a second input may name the places at which both tokenizers begin a token'
        ),
        networks=dict(
            bytes_s=dict(model='first_bytes', input='student.logits', first=(97, 97, 97, 98, 256) * 4),
            bytes_t=dict(model='first_bytes', input='teacher.logits', update='frozen', first=(97, 97, 97, 98, 256) * 4),
        ),
        terms=dict(first=dict(loss='kd', student='bytes_s.logits', target='bytes_t.logits', mask=MASK)),
    ),
    Method(
        name='hidden states, cosine',
        kind='feature',
        objective='1 − cos of layers',
        source='Sanh et al. 2019 (DistilBERT)',
        definition='on every token that is no padding; the paths are the map of layers, one term for each pair',
        terms=dict(
            hidden=dict(loss='cosine', student='student.hidden1', target='teacher.hidden2', mask='batch.segment')
        ),
    ),
    Method(
        name='hidden states, mse',
        kind='feature',
        objective='mean over channels of squared differences of layers',
        source='Jiao et al. 2020 (TinyBERT)',
        definition='a connector between unlike widths; the paths are the map of layers, one term for each pair',
        networks=dict(lifted=dict(model='connector', input='student.hidden1', channels=8)),
        terms=dict(
            matched=dict(loss='mse', student='lifted.features', target='teacher.hidden2', mask='batch.segment')
        ),
    ),
    Method(
        name='attention and value relations (MiniLM)',
        kind='relation',
        objective='KL of softmax(Q Kᵀ / √d) and of softmax(V Vᵀ / √d)',
        source='Wang et al. 2020; unlike heads as in Wang et al. 2021',
        definition='mean over heads and over all tokens, not over those of each sequence; causal=True for decoders',
        terms={
            name: dict(
                loss='token_relations', student_a=f'student.{a}1', student_b=f'student.{b}1',
                target_a=f'teacher.{a}2', target_b=f'teacher.{b}2', segment='batch.segment', heads=2,
                mask='batch.segment',
            )
            for name, a, b in (('attention', 'queries', 'keys'), ('relations', 'values', 'values'))
        },
    ),
)  # fmt: skip
