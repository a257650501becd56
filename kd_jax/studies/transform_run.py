"""Executes a run with a transform: loads networks of finished runs, makes a new one, saves and evaluates it."""

import contextlib
import functools
import time
from collections.abc import Mapping
from typing import Any

import jax

from kd_jax.config.checked_json import write_checked
from kd_jax.config.errors import UserError
from kd_jax.config.import_by_name import names_from_file
from kd_jax.config.references import BEST, RunReference
from kd_jax.core.inherited_weights import check_finite
from kd_jax.devices.processes import on_primary
from kd_jax.prepare.inherited_models import with_inherited_models
from kd_jax.prepare.parse_transform import check_fits, network_of_run, parse_transform, with_network
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies.finished_runs import load_trained
from kd_jax.studies.prepare_study import prepare_run_of_study
from kd_jax.studies.stale_runs import record_config
from kd_jax.studies.study import Run, Study
from kd_jax.studies.workdir import Workdir
from kd_jax.training.given_weights import finish_with_weights
from kd_jax.transforms.network_weights import NetworkWeights


def complete_config(study: Study, run: Run, workdir: Workdir) -> Mapping[str, Any]:
    """A run's config with everything that it takes over from the results of the runs that it needs.

    Raises:
      UserError: a result lacks a value or a network that the config names.
    """
    where = f"{study.where}: run '{run.name}'"
    config = workdir.resolve(run.config, run.seed, where)
    return with_inherited_models(config, lambda name: _finished(workdir, f'{name}-s{run.seed}')['config'], where)


def names_of_study(study: Study, workdir: Workdir) -> contextlib.AbstractContextManager[None]:
    """While it is entered, results in the work directory bring in no name to import that the study does not have.

    A work directory may come from somebody else, and runs take over models and values from the results in it.
    """
    return names_from_file(
        f'a result in {workdir.path}',
        {},
        study.imports,
        lambda names: f'Name {names[0]} in your config, or run it with --fresh.',
    )


def run_transform(study: Study, run: Run, workdir: Workdir) -> dict[str, Any] | UserError:
    """Executes a run with a transform; returns its result, or the error that stopped it.

    The run has no state between its start and its end: if it is stopped, it starts anew.
    """
    began = time.monotonic()
    directory, where = workdir.directory(run.id), f"{study.where}: run '{run.name}'"
    on_primary(functools.partial(write_checked, directory / 'config.json', run.config))
    try:
        config = complete_config(study, run, workdir)
        transform = parse_transform(config, where)
        networks = [
            _load(workdir, f'{reference.run}-s{seed}', reference, transform.where)
            for reference in transform.of
            for seed in transform.seeds or (run.seed,)
        ]
        made = transform.apply(networks)
        prepared = prepare_run_of_study(study, run, with_network(config, made.name, made.options, where))
        check_fits(prepared, made, transform.where)
        check_finite(made.variables, transform.where, 'the network that it makes')
        on_primary(functools.partial(record_config, directory / 'config.json', run.config, prepared))
        sources = {name: workdir.directory(f'{name}-s{run.seed}') for name in run.needs}
        return finish_with_weights(prepared, directory, sources, {made.name: made.variables}, began)
    except UserError as error:
        return error


def _load(workdir: Workdir, run_id: str, reference: RunReference, where: str) -> NetworkWeights:
    result = _finished(workdir, run_id)
    config = {key: value for key, value in result['config'].items() if key != 'mesh'}
    devices = jax.devices() if jax.process_count() > 1 else jax.devices()[:1]  # its batch may not fit all devices here
    prepared = prepare_run(config, result['seed'], f"run '{run_id}'", devices)

    def load(name: str) -> Any:
        network = prepared.recipe.network(name)
        return load_trained(prepared, network, workdir.directory(run_id), reference.checkpoint)

    step = result['best']['step'] if reference.checkpoint == BEST else result['steps']
    return network_of_run(prepared, reference, step, where, load)


def _finished(workdir: Workdir, run_id: str) -> dict[str, Any]:
    result = workdir.result(run_id)
    assert result is not None, f'{run_id} is needed, but it is not finished'
    return result
