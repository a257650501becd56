"""Puts names in an order in which each follows the names that it needs."""

from collections.abc import Collection, Mapping

from kd_jax.config.errors import UserError


def in_dependency_order(needs: Mapping[str, Collection[str]], circle: str) -> list[str]:
    """The names, each after those it needs; names that need nothing come first, otherwise the order stays.

    Args:
      needs: for each name, the names it needs; names that are not keys are ignored.
      circle: message of the error, with '{}' for the names that need each other.
    Raises:
      UserError: names need each other in a circle.
    """
    done: list[str] = []
    waiting = list(needs)
    while waiting:
        ready = [name for name in waiting if not set(needs[name]) & set(waiting)]
        if not ready:
            raise UserError(circle.format(', '.join(sorted(waiting))))
        done += ready
        waiting = [name for name in waiting if name not in ready]
    return done
