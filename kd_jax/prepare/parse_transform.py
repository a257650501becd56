"""Parses and applies the transform of a run that makes its network from the networks of other runs."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from kd_jax import transforms
from kd_jax.config import hyperparameters
from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.import_by_name import find_by_name, parameters_of
from kd_jax.config.references import RunReference, leaves, parse_reference
from kd_jax.core.inherited_weights import source_for
from kd_jax.prepare.inherited_models import model_options, network_in
from kd_jax.prepare.parse_networks import lists_as_tuples
from kd_jax.prepare.prepared_run import PreparedRun, variable_shapes
from kd_jax.transforms.network_weights import NetworkWeights

TRANSFORM_OPTIONS = {
    'name': Described("name of the transform, or your own function 'package.module:function'", REQUIRED, 'text'),
    'of': Described('the networks that it reads', REQUIRED, "'run:NAME/NETWORK', or a list of them"),
    'seeds': Described("the seeds of those runs; 'all' for all that they have", 'the own seed', "'all', list of seeds"),
}


@dataclasses.dataclass(frozen=True)
class Transform:
    """How a run makes its network from networks of other runs.

    Attributes:
      function: makes the network, see `kd_jax.transforms`.
      of: the networks that it reads.
      seeds: the seeds of the runs that it reads; () for the seed of the run itself.
      options: options of the function.
      where: the place in the config, for messages.
    """

    function: Callable[..., NetworkWeights]
    of: tuple[RunReference, ...]
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    where: str

    def apply(self, networks: Sequence[NetworkWeights]) -> NetworkWeights:
        """The new network.

        Raises:
          UserError: the function refuses the networks or its options, or does not return `NetworkWeights`.
        """
        try:
            made = self.function(*networks, **self.options)
        except UserError as error:
            raise UserError(f'{self.where}: {error}') from error
        if not isinstance(made, NetworkWeights):
            raise UserError(f'{self.where}: {self.function.__name__} returns {type(made)}, not NetworkWeights.')
        return made

    def shapes(self, networks: Sequence[NetworkWeights]) -> NetworkWeights | None:
        """What `apply` makes of networks of which only shapes are known; None if that depends on the weights."""
        made: list[NetworkWeights] = []

        def traced(variables: Sequence[Any]) -> Any:
            given = [network._replace(variables=own) for network, own in zip(networks, variables, strict=True)]
            made.append(self.apply(given))
            return made[0].variables

        try:
            variables = jax.eval_shape(traced, [network.variables for network in networks])
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
            return None
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves(made[0].options)):
            return None
        return made[0]._replace(variables=variables)


def parse_transform(config: Mapping[str, Any], where: str) -> Transform:
    """Parses the transform in a run's config.

    Raises:
      UserError: the transform or one of its options is unknown, missing or of the wrong type, `of` is not a reference
        to a run or a list of them, or the transform takes another number of networks.
    """
    given, place = config['transform'], f'{where}, transform'
    function = find_by_name(given.get('name', ''), transforms, 'transform', place)
    of = given.get('of', ())
    named = of if isinstance(of, list | tuple) else [of]
    references = tuple(reference for name in named if isinstance(reference := parse_reference(name), RunReference))
    if not named or len(references) < len(named):
        raise UserError(f"{place}: of is {of!r}, but it must be 'run:NAME/NETWORK' or a list of such names.")
    _, keywords = parameters_of(function)
    options = {key: option for key, option in given.items() if key not in TRANSFORM_OPTIONS}
    for key, option in options.items():
        if key not in keywords:
            known = suggest(key, [*keywords, *TRANSFORM_OPTIONS])
            raise UserError(f'{place}: {function.__name__} takes no {key!r}. {known}')
        hyperparameters.check_option(option, keywords[key].annotation, f'{place}.{key}')
    missing = [key for key, p in keywords.items() if p.default is p.empty and key not in options]
    if missing:
        raise UserError(f'{place}: {function.__name__} needs {", ".join(missing)}.')
    seeds = tuple(given.get('seeds', ()))
    count = len(references) * max(1, len(seeds))
    try:
        inspect.signature(function).bind(*range(count), **options)
    except TypeError:
        raise UserError(f'{place}: {function.__name__} does not take {count} networks, as `of` names them.') from None
    return Transform(
        function, references, seeds, {key: lists_as_tuples(option) for key, option in options.items()}, place
    )


def network_of_run(
    prepared: PreparedRun, reference: RunReference, step: int, where: str, variables: Callable[[str], Any] | None = None
) -> NetworkWeights:
    """A network of another run as a transform reads it. Options that are schedules get their values after `step` steps.

    Args:
      prepared: the other run.
      reference: the network.
      step: the step of the checkpoint that the reference means.
      where: the place in the config, for messages.
      variables: network name -> its variables; their shapes if None.
    Raises:
      UserError: the other run has no such network, or does not save it, because it is frozen or shared.
    """
    name = network_in(prepared.config, reference, where)
    saved = {network.name: network for network in prepared.recipe.moving}
    if name not in saved:
        raise UserError(
            f"{where}: run '{reference.run}' saves no weights of '{name}', which it does not train. "
            f'{suggest(name, saved)}'
        )
    options = model_options(prepared.config['networks'][name])
    numbers = {key: float(number) for key, number in prepared.numbers_after(step).get(name, {}).items()}
    own = variables(name) if variables else variable_shapes(prepared, saved[name])
    settings = _settings(saved[name].module, numbers)
    return NetworkWeights(name, f'{prepared.where}, network {name!r}', own, options | numbers, settings)


def _settings(module: Any, numbers: dict[str, float]) -> dict[str, Any]:
    """The `settings` of `NetworkWeights`; `numbers` are the values of the options that are schedules."""
    fields = dataclasses.fields(module) if dataclasses.is_dataclass(module) else ()
    values: dict[str, Any] = {field.name: getattr(module, field.name) for field in fields if field.init}
    values |= numbers
    named = getattr(module, 'not_in_shapes', ())
    return {key: value for key, value in values.items() if key in named or type(value) is int}


def with_network(config: Mapping[str, Any], name: str, options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config of a run with a transform, completed by the network that the transform makes.

    Raises:
      UserError: the config has a network of that name, or a network that is not frozen or shared.
    """
    others = config.get('networks', {})
    for other, own in others.items():
        if other == name or own.get('update') not in ('frozen', 'shared'):
            what = 'has the name of the network that the transform makes' if other == name else 'is to be trained'
            raise UserError(
                f"{where}, network '{other}' {what}; a run with a transform has only frozen networks beside its own."
            )
    return {**config, 'networks': {**others, name: dict(options)}}


def check_fits(prepared: PreparedRun, made: NetworkWeights, where: str) -> None:
    """Raises a UserError if the weights that a transform makes do not fit the model that it names."""
    own = variable_shapes(prepared, prepared.recipe.network(made.name))
    source_for(prepared.recipe.network(made.name), made.name, {made.name: made.variables}, own, where, 'what it makes')
