"""Loads initial weights of networks: from checkpoints of other runs, files or pretrained models."""

import inspect
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from kd_jax import models
from kd_jax.config.checked_json import read_checked
from kd_jax.config.errors import UserError
from kd_jax.config.references import (
    DIRECTORIES,
    GGUF,
    HUGGINGFACE,
    LAST,
    TORCH,
    RunDirectory,
    RunReference,
    WeightsFile,
    parse_init,
)
from kd_jax.core.inherited_weights import check_finite, source_for, take_layers, without_fresh
from kd_jax.core.network import Network, Normalize
from kd_jax.core.placement import placed_shapes
from kd_jax.interop.gguf_weights import load_gguf_weights
from kd_jax.interop.huggingface_weights import load_huggingface_weights
from kd_jax.interop.language_weights import check_options_of_run
from kd_jax.interop.pytorch_weights import load_pytorch_weights
from kd_jax.models.pretrained import Pretrained
from kd_jax.prepare.prepared_run import PreparedRun, variable_shapes
from kd_jax.training.checkpoints import abstract_array
from kd_jax.training.saved_checkpoints import newest_checkpoint

log = logging.getLogger(__name__)
LOADERS = {TORCH: load_pytorch_weights, GGUF: load_gguf_weights, HUGGINGFACE: load_huggingface_weights}


def load_initial_weights(
    prepared: PreparedRun, sources: Mapping[str, pathlib.Path], known: dict[Any, Any] | None = None
) -> dict[str, Any]:
    """Loads the variables of all networks of a run that start from a checkpoint, a file or a pretrained model.

    Args:
      prepared: the run.
      sources: run name -> directory.
      known: weights that were loaded before and are not read again; new ones are added.
    Returns:
      network name -> variables.
    Raises:
      UserError: as `load_from_checkpoint` and the functions in `LOADERS`.
    """
    known = {} if known is None else known
    loaded = {}
    for network in prepared.recipe.owners:
        if not network.init and not isinstance(network.module, Pretrained):
            continue
        origin = parse_init(network.init) if network.init else None
        place = (sources[origin.run], *origin[1:]) if isinstance(origin, RunReference) else (network.init,)
        if (network.name, *place) not in known:
            known[network.name, *place] = _initial_weights(prepared, network, origin, sources)
        loaded[network.name] = known[network.name, *place]
    return loaded


def _initial_weights(
    prepared: PreparedRun,
    network: Network,
    origin: RunReference | WeightsFile | RunDirectory | None,
    sources: Mapping[str, pathlib.Path],
) -> Mapping[str, Any]:
    where = f"{prepared.where}, network '{network.name}'"
    if origin is None:
        check_finite(network.module.variables, where, 'its model')
        return network.module.variables
    shapes = placed_shapes(network, prepared.mesh, variable_shapes(prepared, network))
    if isinstance(origin, RunReference):
        return load_from_checkpoint(network, sources[origin.run], origin.network, shapes, where, origin.checkpoint)
    return load_from_files(network, origin, shapes, where)


def load_from_files(network: Network, origin: WeightsFile | RunDirectory, shapes: Any, where: str) -> Mapping[str, Any]:
    """Loads a network's variables from a file of weights or from the directory of a run.

    Raises:
      UserError: as the functions in `LOADERS` and `load_from_checkpoint`.
    """
    if isinstance(origin, WeightsFile):
        return LOADERS[origin.kind](network, origin.file, shapes, where)
    return load_from_checkpoint(network, origin.directory, '', shapes, where, origin.checkpoint)


def load_from_checkpoint(
    network: Network, directory: pathlib.Path, source: str, shapes: Any, where: str, checkpoint: str = LAST
) -> dict[str, Any]:
    """Loads a network's variables from a checkpoint of another run.

    Args:
      network: the network; its `fresh` modules are left out.
      directory: the directory of the other run.
      source: the network's name in the other run; '' for its only trained network.
      shapes: the variables of the network's model, arrays or shapes; the loaded variables get their shardings.
      where: the place in the config, for messages.
      checkpoint: 'last', or 'best' for that of the best evaluation on validation.
    Raises:
      UserError: there is no readable checkpoint, it has no such network, names or shapes of parameters
        differ, as do options that no shape shows, or weights are NaN or infinite.
    """
    saved = directory / DIRECTORIES[checkpoint]
    if not (directory / DIRECTORIES[LAST]).is_dir():
        raise UserError(
            f'{where}: {directory} holds no checkpoints to start from; if it is a run of this study, delete its result '
            'and run the same command again, otherwise set init to the directory of a run.'
        )
    if not saved.is_dir():
        raise UserError(
            f'{where}: {directory} holds no best checkpoint, because the run was not evaluated on validation; take the '
            'last checkpoint.'
        )
    with newest_checkpoint(saved, where) as newest:
        tree = newest.shapes()
        there = {name: {'params': own, **tree['collections'].get(name, {})} for name, own in tree['params'].items()}
        source = source_for(network, source, there, shapes, where, str(directory))
        options = _trained_options(directory, source)
        check_options_of_run(network, _trained_model(options), where, str(directory))
        _warn_of_other_images(network, options, where)
        abstract: Any = jax.tree.map(lambda _: ocp.PLACEHOLDER, tree)
        for part, modules in without_fresh(shapes, network).items():
            place = abstract['params'] if part == 'params' else abstract['collections'][source]
            key = source if part == 'params' else part
            theirs = {name: there[source][part][name] for name in modules}
            place[key] = {**place[key], **jax.tree.map(_placed_alike, theirs, modules)}
        loaded = newest.load(abstract)
    variables = without_fresh({'params': loaded['params'][source], **loaded['collections'].get(source, {})}, network)
    check_finite(variables, where, str(directory))
    return take_layers(variables, network)


def _trained_options(directory: pathlib.Path, name: str) -> Mapping[str, Any]:
    """The options of a network of a run, by the run's config; none if the config does not say them, or is damaged."""
    try:
        options = read_checked(directory / 'config.json', dict[str, Any], '').content['networks'][name]
    except (UserError, LookupError, TypeError):
        return {}
    return options if isinstance(options, Mapping) else {}


def _warn_of_other_images(network: Network, options: Mapping[str, Any], where: str) -> None:
    """Warns if a frozen network normalises images otherwise than it did when it was trained."""
    if not options or network.update != 'frozen' or network.normalize == _normalize(options):
        return
    there = options.get('normalize')
    said = f'with normalize={dict(there)}' if isinstance(there, Mapping) else "without 'normalize'"
    log.warning(
        '%s was trained %s and normalises images otherwise here; give it the same, unless its images differ.',
        where, said,
    )  # fmt: skip


def _normalize(options: Mapping[str, Any]) -> Normalize | None:
    try:
        return Normalize.parse(options['normalize'], '') if 'normalize' in options else None
    except UserError:
        return None


def _trained_model(options: Mapping[str, Any]) -> Any:
    """The model of a network of a run; None if its options do not say it."""
    try:
        if options['model'] not in models.__all__:
            return None
        function = getattr(models, options['model'])
        known = inspect.signature(function).parameters
        return function(**{key: option for key, option in options.items() if key in known})
    except (LookupError, TypeError):
        return None


def _placed_alike(saved: Any, own: Any) -> jax.ShapeDtypeStruct:
    """A saved array, to be read where the network's own array is; it may have more layers."""
    return jax.ShapeDtypeStruct(saved.shape, own.dtype, sharding=abstract_array(own).sharding)
