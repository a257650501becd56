"""Which evaluation of a run is its best on validation, and whether the run has waited too long for a better one."""

from collections.abc import Mapping, Sequence
from typing import Any

from kd_jax.config.errors import UserError
from kd_jax.config.references import BEST, RunReference
from kd_jax.evaluation.evaluations import judge_of
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.report.number_format import with_plural


def check_has_best(reference: RunReference, source: PreparedRun, where: str) -> None:
    """Raises a UserError if the reference means the best checkpoint of a run that is not evaluated on validation."""
    if reference.checkpoint == BEST and not source.validates:
        raise UserError(
            f"{where} starts from the best checkpoint of run '{reference.run}', which is not evaluated on validation: "
            f"set runs.{reference.run}.data.valid, or leave out '@best' to take the last checkpoint."
        )


def best_row(prepared: PreparedRun, history: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The best of the evaluations on validation examples: step, epoch and metrics.

    `judge_of` says which evaluation judges, by its metric `best`. Among equals, the earliest is taken. None if nothing
    was evaluated on validation examples, or the metric was never defined.
    """
    judge = judge_of(prepared.evaluator.measured.values())
    if judge is None:
        return None
    best: Mapping[str, Any] = {}
    for row in (row for row in history if row.get('valid')):
        if judge.is_better(*[found['valid'][judge.name][judge.best] if found else None for found in (row, best)]):
            best = row
    return {key: best[key] for key in ('step', 'epoch', 'valid', 'test') if key in best} or None


def patience_ended(prepared: PreparedRun, history: Sequence[Mapping[str, Any]]) -> str:
    """Why a run with the option `patience` stops after the last row of its history; '' if it goes on.

    It stops after that many evaluations on validation examples without a better one.
    """
    best = best_row(prepared, history)
    since = best['step'] if best else 0
    later = sum(bool(row.get('valid')) and row['step'] > since for row in history)
    if not prepared.config.get('patience') or later < prepared.config['patience']:
        return ''
    judge = judge_of(prepared.evaluator.measured.values())
    assert judge is not None  # as there is a best evaluation
    evaluations = with_plural(later, 'evaluation')
    return f"no better {judge.best} of '{judge.name}' on validation in {evaluations} since step {since}"
