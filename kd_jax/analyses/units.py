"""States the units of the numbers that an analysis returns."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Analysis = TypeVar('Analysis', bound=Callable[..., Any])


def states_units(**units: str) -> Callable[[Analysis], Analysis]:
    """A decorator: `units` has the unit of each number by the last key on the way to it in the analysis's result.

    Units are those of metrics: 'count', 'fraction', 'nats' and so on. A key that is not stated has the unit 'number'.
    """

    def decorate(analysis: Analysis) -> Analysis:
        analysis.__dict__['units'] = units
        return analysis

    return decorate


def units_of(analysis: Callable[..., Any]) -> Mapping[str, str]:
    """The units that an analysis states; {} if it states none."""
    return getattr(analysis, 'units', {})
