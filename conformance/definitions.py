"""Fifteen definitions of knowledge distillation in plain numpy and float64, each as its docstring states it.

They are written to be read, with loops where a loop says it best, and share no code with any library. The arrays of
logits are [..., classes]; p and q are the teacher's and the student's probabilities, the softmax of logits / t.
"""

import numpy as np

Array = np.ndarray


def log_softmax(logits: Array, t: float = 1.0) -> Array:
    z = np.asarray(logits, np.float64) / t
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def kl(log_p: Array, log_q: Array) -> Array:
    return np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)


def kd(student: Array, teacher: Array, t: float) -> float:
    """t^2 KL(p || q): summed over classes, averaged over examples (Hinton et al. 2015, section 2).

    Not averaged over classes, and not without t^2.
    """
    return t**2 * np.mean(kl(log_softmax(teacher, t), log_softmax(student, t)))


def ensemble_targets(student: Array, teachers: Array, t: float, average: str) -> float:
    """KD from several teachers [teachers, examples, classes], as the mean of probabilities, logits or losses.

    The three differ, and none grows with the number of teachers. The mean of logits is the geometric mean of the
    probabilities, renormalised.
    """
    log_q = log_softmax(student, t)
    if average == 'losses':
        return float(np.mean([t**2 * np.mean(kl(log_softmax(teacher, t), log_q)) for teacher in teachers]))
    if average == 'logits':
        return t**2 * np.mean(kl(log_softmax(np.mean(teachers, axis=0), t), log_q))
    return t**2 * np.mean(kl(np.log(np.mean(np.exp(log_softmax(teachers, t)), axis=0)), log_q))


def dkd(student: Array, teacher: Array, labels: Array, t: float, alpha: float, beta: float) -> float:
    """t^2 (alpha TCKD + beta NCKD), averaged over examples (Zhao et al. 2022, equation 7).

    TCKD is the KL of (p_label, 1 - p_label), NCKD that of the other classes, renormalised among themselves. So
    TCKD + (1 - p_label) NCKD is the KL. A large gap between logits, such as 150, must stay finite and exact.
    """
    total = 0.0
    for z, v, label in zip(student, teacher, labels, strict=True):
        log_q, log_p = log_softmax(z, t), log_softmax(v, t)
        others = np.arange(len(z)) != label
        rest_q, rest_p = (np.logaddexp.reduce(log[others]) for log in (log_q, log_p))
        target = kl(np.array([log_p[label], rest_p]), np.array([log_q[label], rest_q]))
        rest = kl(log_p[others] - rest_p, log_q[others] - rest_q)
        total += t**2 * (alpha * target + beta * rest)
    return total / len(labels)


def dist(student: Array, teacher: Array, t: float, form: str) -> float:
    """(1 - mean correlation over the classes of an example) + (1 - mean correlation over the examples of a class).

    Pearson's correlations of the softened probabilities (Huang et al. 2022, equations 6 to 9, both weights 1). The form
    'code' multiplies by t^2 as the published code does, 'paper' does not. Equal predictions give 0.
    """
    q, p = np.exp(log_softmax(student, t)), np.exp(log_softmax(teacher, t))
    rows = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(q, p, strict=True)])
    columns = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(q.T, p.T, strict=True)])
    return ((1 - rows) + (1 - columns)) * (t**2 if form == 'code' else 1.0)


def logit_standardisation(student: Array, teacher: Array, t: float, deviation: str) -> float:
    """KD of logits that each example scales to mean 0 and standard deviation 1 first (Sun et al. 2024, equation 9).

    The base temperature t and the factor t^2 follow. The deviation divides by classes ('population', the paper) or by
    classes - 1 ('sample', the published code).
    """
    less = 1 if deviation == 'sample' else 0

    def scaled(z: Array) -> Array:
        return (z - z.mean(axis=-1, keepdims=True)) / z.std(axis=-1, keepdims=True, ddof=less)

    return kd(scaled(np.asarray(student)), scaled(np.asarray(teacher)), t)


def similarity_preserving(student: Array, teacher: Array) -> float:
    """Squared Frobenius norm of the difference of the Gram matrices over examples, divided by examples^2.

    Each row of a Gram matrix is divided by its L2 norm (Tung & Mori 2019, equations 1 to 4). Features are flattened.
    """

    def normed(features: Array) -> Array:
        flat = np.reshape(features, (len(features), -1))
        gram = flat @ flat.T
        return gram / np.linalg.norm(gram, axis=1, keepdims=True)

    return np.sum((normed(student) - normed(teacher)) ** 2) / len(student) ** 2


def rkd_distance(student: Array, teacher: Array, form: str) -> float:
    """Huber loss (delta 1) between pairwise distances, each divided by its mean over pairs of positive distance.

    Averaged over ordered pairs of different examples ('paper': Park et al. 2019, section 3.2.1), or over all pairs with
    the diagonal ('code'). Two equal examples have the distance 0 and do not enter the mean distance.
    """

    def relative(features: Array) -> Array:
        distance = np.array([[np.sqrt(np.sum((a - b) ** 2)) for b in features] for a in features])
        return distance / distance[distance > 0].mean()

    gap = np.abs(relative(np.asarray(student)) - relative(np.asarray(teacher)))
    total = np.sum(np.where(gap <= 1, gap**2 / 2, gap - 0.5))
    n = len(student)
    return total / (n * (n - 1) if form == 'paper' else n * n)


def top_k_with_tail(student: Array, teacher: Array, k: int, t: float) -> float:
    """t^2 KL over k + 1 classes: the teacher's k most probable, and all others together as one. Mean over positions.

    Nothing is renormalised: the tail bucket holds the rest of the mass on both sides.
    """
    log_p, log_q = log_softmax(teacher, t), log_softmax(student, t)
    total = []
    for one_p, one_q in zip(log_p.reshape(-1, log_p.shape[-1]), log_q.reshape(-1, log_q.shape[-1]), strict=True):
        order = np.argsort(-one_p)
        kept = [log[order[:k]] for log in (one_p, one_q)]
        if k < len(order):
            tails = [np.logaddexp.reduce(log[order[k:]]) for log in (one_p, one_q)]
            kept = [np.append(log, tail) for log, tail in zip(kept, tails, strict=True)]
        total.append(t**2 * kl(*kept))
    return float(np.mean(total))


def jsd(student: Array, teacher: Array, beta: float) -> float:
    """beta KL(p || m) + (1 - beta) KL(q || m) with m = beta p + (1 - beta) q; p is the teacher. Mean over positions.

    Agarwal et al. (2024), equation 1. It tends to 0 as beta tends to 0 or 1; divided by beta or by 1 - beta it tends to
    the forward or the reverse KL.
    """
    log_p, log_q = log_softmax(teacher), log_softmax(student)
    log_m = np.log(beta * np.exp(log_p) + (1 - beta) * np.exp(log_q))
    return np.mean(beta * kl(log_p, log_m) + (1 - beta) * kl(log_q, log_m))


def skew_kl(student: Array, teacher: Array, alpha: float, direction: str) -> float:
    """KL(p || alpha p + (1 - alpha) q) ('forward') or KL(q || (1 - alpha) p + alpha q) ('reverse').

    Mean over positions (Ko et al. 2024, DistiLLM, section 3.1). At alpha = 0 they are the forward and the reverse KL.
    """
    log_p, log_q = log_softmax(teacher), log_softmax(student)
    own, other = (log_p, log_q) if direction == 'forward' else (log_q, log_p)
    return np.mean(kl(own, np.log(alpha * np.exp(own) + (1 - alpha) * np.exp(other))))


def reverse_kl(student: Array, teacher: Array, t: float) -> float:
    """t^2 KL(q || p): the expectation is over the student. Summed over classes, averaged over positions."""
    return t**2 * np.mean(kl(log_softmax(student, t), log_softmax(teacher, t)))


def shift_and_mask(student: Array, teacher: Array, tokens: Array, mask: Array, t: float, loss: str) -> float:
    """Loss of a language model over the targets that count: logits at position i are about token i + 1.

    mask[b, i] says whether *token* i of sequence b counts as a target. It comes from lengths: the first end-of-text
    token is a target, and padding has the same id. The first token of an answer is a target, predicted by the last
    token of its prompt. `loss` is 'labels' (cross-entropy) or 'kd' (t^2 KL(p || q)). Sum over targets / their number.
    """
    total, count = 0.0, 0
    for b, row in enumerate(tokens):
        for i in range(1, len(row)):
            if mask[b][i]:
                if loss == 'labels':
                    total -= log_softmax(student[b][i - 1])[row[i]]
                else:
                    total += t**2 * kl(log_softmax(teacher[b][i - 1], t), log_softmax(student[b][i - 1], t))
                count += 1
    return total / count


def global_normalisation(student: Array, tokens: Array, mask: Array) -> float:
    """The cross-entropy of one update whose batch comes in parts [parts, sequences, length(, classes)].

    The parts are accumulated micro-batches, or the shares of devices. Sum over the targets of all parts / the number of
    the targets of all parts; neither the mean of the parts' means nor the mean over sequences. Shift as above.
    """
    whole = [np.concatenate(list(array)) for array in (student, tokens, mask)]
    return shift_and_mask(whole[0], whole[0], whole[1], whole[2], 1.0, 'labels')


def position_ids(mask: Array, segments: Array, layout: str) -> Array:
    """Positions of tokens [sequences, length]; what stands at padding is not compared (here 0).

    'padded': the tokens of `mask` are counted from 0, whatever padding stands to their left. 'packed': positions start
    anew at 0 with each segment; segment 0 is padding.
    """
    out = np.zeros(np.shape(mask), np.int64)
    for b in range(len(out)):
        seen: dict[int, int] = {}
        for i in range(out.shape[1]):
            segment = int(segments[b][i]) if layout == 'packed' else int(mask[b][i])
            if segment:
                out[b, i] = seen.get(segment, 0)
                seen[segment] = out[b, i] + 1
    return out


def distilbert(
    student: Array,
    teacher: Array,
    labels: Array,
    masked: Array,
    real: Array,
    student_hidden: Array,
    teacher_hidden: Array,
) -> float:
    """5 * 4 KL(p || q) at t = 2, plus 2 * cross-entropy of the masked words, plus 1 - cosine of the last hidden states.

    Sanh et al. (2019) with the weights of the published recipe. KL and cosine are means over all tokens that are no
    padding (`real`), the cross-entropy over the masked ones alone, at t = 1. t^2 = 4 multiplies the KL only.
    """
    soft, cosine, words = [], [], []
    for at in np.argwhere(np.asarray(real) > 0):
        z, v, a, b = (np.asarray(array)[tuple(at)] for array in (student, teacher, student_hidden, teacher_hidden))
        soft.append(4 * kl(log_softmax(v, 2.0), log_softmax(z, 2.0)))
        cosine.append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        if np.asarray(masked)[tuple(at)]:
            words.append(-log_softmax(z)[np.asarray(labels)[tuple(at)]])
    return float(5 * np.mean(soft) + 2 * np.mean(words) + np.mean(cosine))
