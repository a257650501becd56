"""One method of distillation: its config, its source and the definition chosen."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of a table of docs/methods.md. Its config is what the method adds to the run that the page begins with.

    The config is held as dictionaries, and the statements that a reader copies are written from them. So a method is
    checked by Python and mypy where it is defined, a test can compare it, and nothing evaluates text.
    """

    name: str
    kind: str  # the knowledge that is transferred, such as 'response'; of a scheme its kind, such as 'online'
    objective: str  # the formula of the loss; of a scheme what is learned
    source: str
    definition: str  # which of several published forms is the default, and where it differs from the source
    terms: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    evaluate: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    without_labels: bool = False  # whether the term `hard` of the run that the page begins with is left out

    def parts(self) -> dict[str, dict[str, Any]]:
        """The parts of a run's config that the method adds to, as copies that may be changed."""
        parts = {'networks': self.networks, 'terms': self.terms, 'evaluate': self.evaluate}
        return {part: copy.deepcopy(dict(added)) for part, added in parts.items()}

    def statements(self) -> list[str]:
        """The Python statements that add the method to a run's config `c`."""
        added = [
            f'c.{part}.{name} = {_expression(value)}'
            for part, values in self.parts().items()
            for name, value in values.items()
        ]
        return ['del c.terms.hard', *added] if self.without_labels else added


def _expression(value: Any) -> str:
    """A value of a config as a Python expression, with dictionaries as calls of `dict`."""
    if isinstance(value, Mapping):
        return f'dict({", ".join(f"{key}={_expression(item)}" for key, item in value.items())})'
    return repr(value)
