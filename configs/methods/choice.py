"""Chooses methods by validation accuracy: which ones an expensive stage of a comparison measures."""

from collections.abc import Mapping, Sequence


def ranks(values: Mapping[str, float]) -> dict[str, float]:
    """The rank of each run by its value, 1 for the highest; runs with equal values share the mean of their ranks."""
    return {
        run: 1
        + sum(other > own for other in values.values())
        + (sum(other == own for other in values.values()) - 1) / 2
        for run, own in values.items()
    }


def by_mean_rank(studies: Sequence[Mapping[str, float]]) -> list[str]:
    """The runs that all studies have, in the order of their mean rank, the best first.

    Ranks, not accuracies, because accuracies differ more in one study than in another. Equal mean ranks are ordered by
    the sum of the values.
    """
    common = [run for run in studies[0] if all(run in study for study in studies)]
    own = [ranks({run: study[run] for run in common}) for study in studies]
    return sorted(common, key=lambda run: (sum(r[run] for r in own), -sum(study[run] for study in studies)))


def with_every_family(
    ordered: Sequence[str], families: Mapping[str, str], always: Sequence[str], best: int, total: int
) -> list[str]:
    """Chooses methods for an expensive stage.

    Args:
      ordered: all methods, the best first.
      families: the family of each method.
      always: runs that are chosen whatever their rank.
      best: the number of best methods that are chosen.
      total: the number of methods that are chosen.
    Returns:
      `always`; the `best` best of `ordered`; the best one of each family that has none yet, the best families first;
      then the next best, until there are `total`.
    """
    chosen = list(dict.fromkeys([*always, *ordered[:best]]))
    for method in ordered[best:]:
        if families[method] not in {families[run] for run in chosen if run in families}:
            chosen.append(method)
    return list(dict.fromkeys([*chosen, *ordered]))[: max(total, len(chosen))]
