"""Runs published implementations of the definitions, and writes the table of conformance/README.md.

  python -m conformance.published

It needs an environment of its own with PyTorch, JAX and the packages that PUBLISHED names. Every answer is written to
conformance/published.json.
"""

import importlib.metadata
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from conformance import adapters
from conformance.check import check, passed_variants

HERE = pathlib.Path(__file__).parent
START, END = '<!-- the table, written by conformance/published.py -->', '<!-- end of the table -->'


class Published(NamedTuple):
    """One published function that claims a definition.

    `load` imports it and returns its adapter. Variants that it has no way to compute are `not_offered`.
    """

    package: str
    what: str
    definition: str
    load: Callable[[], Callable[..., Any]]
    remark: str = ''
    not_offered: tuple[str, ...] = ()


GKD, GOLD = ('trl.experimental.gkd', 'GKDTrainer'), ('trl.experimental.gold.gold_trainer', 'GOLDTrainer')
SUBTRACTED = 'the cross-entropy that it adds is subtracted'
PUBLISHED = (
    Published('torchdistill', 'KDLoss', 'kd', lambda: adapters.torchdistill_kd('KDLoss'), SUBTRACTED),
    Published(
        'torchdistill',
        'KDLoss(alpha=0)',
        'kd',
        lambda: adapters.torchdistill_pair('KDLoss', 'temperature', alpha=0.0),
        'without t^2',
    ),
    Published('distil-trainer', 'kl_divergence_loss', 'kd', adapters.distil_trainer),
    Published('google-tunix', 'LogitStrategy', 'kd', lambda: adapters.tunix(False)),
    Published('kd-lib', 'VanillaKD, default loss_fn', 'kd', adapters.kd_lib_kd, 'squared error of probabilities'),
    Published('mmrazor', 'KLDivergence', 'kd', lambda: adapters.mmrazor_pair('kl_divergence', 'KLDivergence', True)),
    Published('nvidia-modelopt', 'LogitsDistillationLoss', 'kd', adapters.modelopt, 'divides by classes, too'),
    Published(
        'nvidia-modelopt',
        "LogitsDistillationLoss(reduction='batchmean')",
        'kd',
        lambda: adapters.modelopt(reduction='batchmean'),
    ),
    Published(
        'textbrewer', 'kd_ce_loss', 'kd', adapters.textbrewer, "without t^2; the teacher's entropy is subtracted"
    ),
    Published(
        'trl', 'GKDTrainer.generalized_jsd_loss(beta=0)', 'kd', lambda: adapters.trl_jsd(*GKD, beta=0), 'without t^2'
    ),
    Published('trl', 'DistillationTrainer(beta=0)', 'kd', lambda: adapters.trl_chunked(beta=0.0), 'without t^2'),
    Published('liger-kernel', 'LigerFusedLinearJSDLoss(beta=0)', 'kd', lambda: adapters.liger(beta=0.0), 'without t^2'),
    Published('mmrazor', 'DKDLoss', 'dkd', adapters.mmrazor_dkd, 'infinite where the student is sure (a gap of 150)'),
    Published('torchdistill', 'DISTLoss', 'dist', lambda: adapters.torchdistill_pair('DISTLoss', 'tau')),
    Published('mmrazor', 'DISTLoss', 'dist', lambda: adapters.mmrazor_pair('dist_loss', 'DISTLoss', True)),
    Published(
        'torchdistill',
        'LogitStdKDLoss',
        'logit_standardisation',
        lambda: adapters.torchdistill_kd('LogitStdKDLoss'),
        SUBTRACTED,
    ),
    Published(
        'torchdistill',
        'SPKDLoss',
        'similarity_preserving',
        lambda: adapters.torchdistill_pair('SPKDLoss', reduction='batchmean'),
        'divides rows by their L1 norm',
    ),
    Published(
        'torchdistill',
        'RKDLoss',
        'rkd_distance',
        lambda: adapters.torchdistill_pair('RKDLoss', dist_factor=1.0, angle_factor=0.0, reduction='mean'),
        'equal examples enter the mean distance',
    ),
    Published(
        'mmrazor',
        'DistanceWiseRKD(with_l2_norm=False)',
        'rkd_distance',
        lambda: adapters.mmrazor_pair('relational_kd', 'DistanceWiseRKD', False, loss_weight=1.0, with_l2_norm=False),
        'equal examples enter the mean distance',
    ),
    Published(
        'kd-lib', 'RKDDistanceLoss', 'rkd_distance', adapters.kd_lib_rkd, 'equal examples enter the mean distance'
    ),
    Published('trl', 'ServerDistillationTrainer', 'top_k_with_tail', adapters.trl_top_k, 'without t^2'),
    Published(
        'google-tunix',
        'LogitStrategy(distill_top_k=k)',
        'top_k_with_tail',
        lambda: adapters.tunix(True),
        'renormalises',
    ),
    Published('trl', 'GKDTrainer.generalized_jsd_loss', 'jsd', lambda: adapters.trl_jsd(*GKD)),
    Published('trl', 'GOLDTrainer.generalized_jsd_loss', 'jsd', lambda: adapters.trl_jsd(*GOLD)),
    Published('trl', 'DistillationTrainer', 'jsd', adapters.trl_chunked),
    Published('liger-kernel', 'LigerFusedLinearJSDLoss', 'jsd', adapters.liger),
    Published(
        'trl',
        'GKDTrainer.generalized_jsd_loss(beta=1)',
        'reverse_kl',
        lambda: adapters.trl_jsd(*GKD, beta=1),
        'without t^2',
    ),
    Published(
        'liger-kernel',
        'LigerFusedLinearJSDLoss(beta=1)',
        'reverse_kl',
        lambda: adapters.liger(beta=1.0),
        'without t^2',
    ),
    Published('torchtune', 'ReverseKLLoss', 'reverse_kl', adapters.torchtune_reverse, not_offered=('softened',)),
    Published('transformers', 'ForCausalLMLoss', 'shift_and_mask', adapters.hugging_face_labels, not_offered=('kd',)),
    Published('trl', 'GKDTrainer.compute_loss', 'shift_and_mask', adapters.trl_trainer, not_offered=('labels',)),
    Published(
        'transformers',
        'ForCausalLMLoss(num_items_in_batch=...)',
        'global_normalisation',
        lambda: adapters.hugging_face_parts(True),
    ),
    Published(
        'transformers',
        'ForCausalLMLoss, mean of the parts',
        'global_normalisation',
        lambda: adapters.hugging_face_parts(False),
    ),
    Published(
        'transformers',
        'position ids of generate',
        'position_ids',
        adapters.hugging_face_positions,
        not_offered=('packed',),
    ),
    Published('trl', 'position ids of packed rows', 'position_ids', adapters.trl_positions, not_offered=('padded',)),
)


def tried(one: Published) -> dict[str, Any]:
    """What a published function says of every case of its definition."""
    outcomes = check(one.definition, one.load(), one.not_offered)
    return {
        'package': one.package,
        'version': importlib.metadata.version(one.package),
        'what': one.what,
        'definition': one.definition,
        'remark': one.remark,
        'variants passed': passed_variants(outcomes),
        'variants not offered': list(one.not_offered),
        'cases': [
            {
                'variant': outcome.variant,
                'options': outcome.options,
                'passed': outcome.passed,
                'answer': outcome.answer,
                'said': str(outcome.said),
            }
            for outcome in outcomes
        ],
    }


def table(results: list[dict[str, Any]]) -> str:
    """The table of conformance/README.md: what each function passes."""
    heads = ('definition', 'package', 'function', 'passes', 'not offered', 'cases', 'remark')
    lines = [f'| {" | ".join(heads)} |', '|' + '---|' * len(heads)]
    for one in results:
        passed = [name or 'yes' for name in one['variants passed']]
        cases = f'{sum(case["passed"] for case in one["cases"])} of {len(one["cases"])}'
        package = f'{one["package"]} {one["version"]}'
        names = one['definition'], package, f'`{one["what"]}`'
        cells = (*names, ', '.join(passed) or '**no**', ', '.join(one['variants not offered']), cases, one['remark'])
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    results = [tried(one) for one in PUBLISHED]
    (HERE / 'published.json').write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
    page = (HERE / 'README.md').read_text('utf-8')
    before, after = page.split(START)[0], page.split(END)[1]
    (HERE / 'README.md').write_text(f'{before}{START}\n\n{table(results)}\n\n{END}{after}', encoding='utf-8')


if __name__ == '__main__':
    main()
