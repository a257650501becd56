"""Prepares and checks every run of a study before training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kd_jax.config.errors import UserError
from kd_jax.config.references import ResultReference, RunReference, leaves, parse_init, parse_result
from kd_jax.core.inherited_weights import source_for
from kd_jax.core.network import Network
from kd_jax.interop.language_weights import check_options_of_run
from kd_jax.prepare.check_tokens import check_tokens_of_run
from kd_jax.prepare.prepared_run import PreparedRun, prepare_run, variable_shapes
from kd_jax.report.expected_results import why_not_expected
from kd_jax.studies.complete_configs import complete_configs
from kd_jax.studies.study import Run, Study
from kd_jax.training.best_evaluation import check_has_best
from kd_jax.training.initial_weights import load_from_files
from kd_jax.training.run_result import expected_result


def prepare_study(study: Study, devices: Callable[[Run], Sequence[Any]] | None = None) -> dict[str, PreparedRun]:
    """Prepares every run of the first seed; checks names, paths, shapes, ranges, initial weights and values of results.

    Args:
      study: the study.
      devices: gives the devices of a run that is not trained in this process.
    Returns:
      run name -> prepared run, without the runs whose models are known only after a transform (see `complete_configs`).
    Raises:
      UserError: something in the config of a run is wrong.
    """

    def prepare(run: Run, config: Mapping[str, Any]) -> PreparedRun:
        return prepare_run_of_study(study, run, config, devices(run) if devices else None)

    ready = complete_configs(study, prepare)
    for name, config in {run.name: run.config for run in study.runs}.items():
        for reference in filter(None, map(parse_result, leaves(config))):
            _check_value(reference, f"{study.where}: run '{name}'", ready)
    for prepared in ready.values():
        for network in prepared.recipe.networks:
            if network.init:
                _check_init(network, prepared, ready)
    return ready


def _check_value(reference: ResultReference, where: str, ready: Mapping[str, PreparedRun]) -> None:
    """Checks that a result will have the value that a run takes from it."""
    if reference.path and reference.run in ready:
        path = '.'.join(reference.path)
        if why := why_not_expected(expected_result(ready[reference.run]), path):
            raise UserError(f"{where}: '{reference}': the result of run '{reference.run}' will have no {path!r}. {why}")


def _check_init(network: Network, prepared: PreparedRun, ready: Mapping[str, PreparedRun]) -> None:
    where, own = f"{prepared.where}, network '{network.name}'", variable_shapes(prepared, network)
    try:
        origin = parse_init(network.init)
    except UserError as error:
        raise UserError(f'{where}: {error}') from None
    if not isinstance(origin, RunReference):
        load_from_files(network, origin, own, where)
    elif origin.run in ready:
        source = ready[origin.run]
        check_has_best(origin, source, where)
        there = {n.name: variable_shapes(source, n) for n in source.recipe.moving}
        name = source_for(network, origin.network, there, own, where, f"run '{origin.run}'")
        trained = source.recipe.network(name)
        check_options_of_run(network, trained.module, where, f"run '{origin.run}'")
        if prepared.splits.vocabulary and source.splits.vocabulary:
            check_tokens_of_run(
                network, prepared.splits.vocabulary, trained, source.splits.vocabulary, where, f"run '{origin.run}'"
            )


def prepare_run_of_study(
    study: Study, run: Run, config: Mapping[str, Any], devices: Sequence[Any] | None = None
) -> PreparedRun:
    return prepare_run(config, run.seed, f"{study.where}: run '{run.name}'", devices)
