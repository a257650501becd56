"""Completes the configs of a study's runs with the models that they take over from other runs, before training."""

from collections.abc import Callable, Mapping
from typing import Any

from kd_jax.config.dependency_order import in_dependency_order
from kd_jax.config.references import RunReference
from kd_jax.prepare.inherited_models import like_of, model_options, network_in, with_inherited_models
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.prepare.parse_transform import check_fits, network_of_run, parse_transform, with_network
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.run_options import check_options
from kd_jax.studies.study import Run, Study
from kd_jax.training.best_evaluation import check_has_best
from kd_jax.transforms.network_weights import NetworkWeights


def complete_configs(study: Study, prepare: Callable[[Run, Mapping[str, Any]], PreparedRun]) -> dict[str, PreparedRun]:
    """Prepares every run of the first seed, each after the runs that it needs.

    The model that a transform makes is found by tracing the transform on shapes. If it depends on the values of the
    weights, the run and those that take over its model (`like`) are prepared when they are executed. Until then, their
    names and options are checked as if the transform returned the model of the first network that it reads.

    Args:
      study: the study.
      prepare: prepares a run from its complete config.
    Returns:
      run name -> prepared run, without the runs whose models are not known before training.
    Raises:
      UserError: something in the config of a run is wrong.
    """
    least = min(run.seed for run in study.runs)
    first = {run.name: run for run in study.runs if run.seed == least}
    configs: dict[str, Mapping[str, Any]] = {}
    ready: dict[str, PreparedRun] = {}
    for name in in_dependency_order({run.name: run.needs for run in first.values()}, '{}'):
        run, where = first[name], f"{study.where}: run '{name}'"
        config = with_inherited_models(run.config, configs.__getitem__, where)
        known = all(
            reference.run in ready
            for options in run.config.get('networks', {}).values()
            if (reference := like_of(options, where))
        )
        prepared = None
        if 'transform' in config:
            configs[name], prepared = _transformed(run, config, configs, ready, prepare, where, known)
        else:
            configs[name] = config
            prepared = prepare(run, config) if known else None
        if prepared is None:
            check_options(configs[name], where)
            parse_recipe(configs[name], where)
        else:
            ready[name] = prepared
    return ready


def _transformed(
    run: Run,
    config: Mapping[str, Any],
    configs: Mapping[str, Mapping[str, Any]],
    ready: Mapping[str, PreparedRun],
    prepare: Callable[[Run, Mapping[str, Any]], PreparedRun],
    where: str,
    known: bool,
) -> tuple[Mapping[str, Any], PreparedRun | None]:
    """The complete config of a run with a transform, and the prepared run if its model is known."""
    check_options(config, where)
    transform = parse_transform(config, where)
    made = None
    if known and all(reference.run in ready for reference in transform.of):
        networks = [_shapes_of(ready[reference.run], reference, transform.where) for reference in transform.of]
        made = transform.shapes([network for network in networks for _ in transform.seeds or (0,)])
    if made is None:
        before = configs[transform.of[0].run]
        name = network_in(before, transform.of[0], transform.where)
        return with_network(config, name, model_options(before['networks'][name]), where), None
    complete = with_network(config, made.name, made.options, where)
    prepared = prepare(run, complete)
    check_fits(prepared, made, transform.where)
    return complete, prepared


def _shapes_of(source: PreparedRun, reference: RunReference, where: str) -> NetworkWeights:
    check_has_best(reference, source, where)
    return network_of_run(source, reference, source.total_steps, where)
