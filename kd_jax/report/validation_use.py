"""Says whether a study that holds out validation examples chose anything on them."""

import re
from collections.abc import Mapping
from typing import Any

from kd_jax.config.references import BEST, RunReference, leaves, parse_init, parse_reference
from kd_jax.report.asked_runs import Results
from kd_jax.report.finding import find
from kd_jax.report.result_files import judged_split
from kd_jax.report.tables import study_tables

SHOWN = re.compile(r'(?:^|[:._])(?:valid|best\.)')  # a value path of a validation number or of the best evaluation


def unused_validation(study: Mapping[str, Any], results: Results) -> str:
    """A sentence if validation examples were held out and nothing was chosen on them, else ''.

    What chooses on them: a search, `patience`, a start from a best checkpoint, the sentence that leads the report, or a
    reader who sees a validation number in a table, a claim or a figure.
    """
    every = [result for seeds in results.values() for result in seeds.values()]
    sizes = {size for result in every if (size := (result.get('examples') or {}).get('valid'))}
    shown = any(SHOWN.search(leaf) for leaf in leaves(study.get('report') or {}) if isinstance(leaf, str))
    judged = any(judged_split(result)[0] == 'valid' and judged_split(result)[1] for result in every)
    chosen = any(_chooses(result.get('config') or {}) for result in every)
    if not sizes or study.get('search') or shown or judged or chosen:
        return ''
    if find(study_tables(dict(study), results), results).on_validation:
        return ''
    few, most = min(sizes), max(sizes)
    return f'{f"{few:,}" if few == most else f"{few:,} to {most:,}"} examples held out, and nothing was chosen on them'


def _chooses(config: Mapping[str, Any]) -> bool:
    return bool(config.get('patience')) or any(map(_is_best, leaves(config)))


def _is_best(leaf: Any) -> bool:
    if not isinstance(leaf, str):
        return False
    reference = parse_reference(leaf)
    if isinstance(reference, RunReference):
        return reference.checkpoint == BEST
    return leaf.endswith(f'@{BEST}') and getattr(parse_init(leaf), 'checkpoint', '') == BEST
