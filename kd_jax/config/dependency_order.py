"""Sorts names so that each one comes after the names it needs."""

from collections.abc import Collection, Mapping

from kd_jax.config.errors import UserError


def in_dependency_order(needs: Mapping[str, Collection[str]], circle: str) -> list[str]:
    """Sorts names so that each one comes after the names it needs.

    Names that need nothing come first. Names that become ready at the same time keep their order in `needs`.

    Args:
      needs: maps each name to the names it needs. Needed names that are not keys of `needs` are ignored.
      circle: the message of the error, with '{}' where the names that need each other are filled in.
    Raises:
      UserError: some names need each other in a circle.
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
