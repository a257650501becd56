"""What a study asks for: which results in its directory belong to it, and which are missing.

`study.json` holds the names and configs of all runs of the study, in the order of the config file, and the number of
seeds. Studies that were written by earlier versions do not name their runs; all results in their directories count.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kd_jax.config.references import parse_result, runs_referred_to

Results = dict[str, dict[int, dict[str, Any]]]  # run -> seed -> content of the result file
ABSENT = object()  # stands for an option that a config does not have
FEW = 8  # the largest number of missing runs that a sentence names


class LeftAside(NamedTuple):
    """A result that lies in the directory of a study but counts nowhere, and why."""

    run: str
    seed: int
    reason: str


def asked_results(study: Mapping[str, Any], found: Results) -> tuple[Results, list[LeftAside]]:
    """Splits the results in a directory into those that the study asks for, in its order, and those left aside.

    A result is left aside if the study does not ask for its run or its seed, if its config is not that of the study, or
    if it was made from a result of another config.
    """
    if 'runs' not in study:
        return found, []
    reasons = {
        (run, seed): _reason(study, run, seed, result) for run, seeds in found.items() for seed, result in seeds.items()
    }
    spreads = True
    while spreads:
        spreads = False
        for (run, seed), reason in reasons.items():
            bad = [] if reason else [id for id in _needed(study['runs'][run], seed) if reasons.get(id)]
            if bad:
                reasons[run, seed] = f'it was made from {bad[0][0]}, seed {bad[0][1]}, which is left aside'
                spreads = True
    kept = {run: [seed for seed in found.get(run, {}) if not reasons[run, seed]] for run in study['runs']}
    results = {run: {seed: found[run][seed] for seed in seeds} for run, seeds in kept.items() if seeds}
    return results, [LeftAside(run, seed, reason) for (run, seed), reason in reasons.items() if reason]


def missing_seeds(study: Mapping[str, Any], results: Results) -> dict[str, list[int]]:
    """The seeds without a result, for each run that misses some, in the order of the study."""
    asked = {run: range(seed_count(study, run) or 0) for run in study.get('runs', {})}
    missing = {run: [seed for seed in own if seed not in results.get(run, {})] for run, own in asked.items()}
    return {run: seeds for run, seeds in missing.items() if seeds}


def seed_count(study: Mapping[str, Any], run: str) -> int | None:
    """How many seeds of a run the study asks for; None if an older version wrote it, which did not say so."""
    return _mapping(study['runs'].get(run)).get('seeds', study.get('seeds', 1)) if 'runs' in study else None


def said_missing(study: Mapping[str, Any], results: Results) -> str:
    """Says in a sentence which results the study asks for and does not have; '' if there are none."""
    if 'runs' not in study:
        return '' if results else 'No run has finished yet.'
    asked = sum(seed_count(study, run) or 0 for run in study['runs'])
    missing = sum(map(len, missing_seeds(study, results).values()))
    if not missing:
        return ''
    if missing == asked:
        return f'Not finished: none of the {asked} results that the study asks for is there yet.'
    are, named = 'is' if missing == 1 else 'are', _few(missing_runs(study, results))
    return f'Not finished: {missing} of the {asked} results that the study asks for {are} missing: {named}.'


def said_unfinished(study: Mapping[str, Any], results: Results, runs: Iterable[str]) -> str:
    """Says which of these runs miss results that the study asks for, as 't2, t4 (seeds 1, 2) have not been run yet'.

    It is '' if none does, or if the study does not name its runs.
    """
    asked = study.get('runs', {})
    names = missing_runs({**study, 'runs': {run: asked[run] for run in runs if run in asked}}, results)
    return f'{_few(names)} {"has" if len(names) == 1 else "have"} not been run yet' if names else ''


def _few(names: Sequence[str]) -> str:
    return ', '.join(names if len(names) <= FEW else [*names[:FEW], f'and {len(names) - FEW} more runs'])


def missing_runs(study: Mapping[str, Any], results: Results) -> list[str]:
    """The runs that miss results, with the seeds unless all are missing: 'teacher', 'student (seeds 1, 2)'."""
    return [
        run if len(seeds) == seed_count(study, run) else f'{run} (seed{"s" * (len(seeds) > 1)} {ranges(seeds)})'
        for run, seeds in missing_seeds(study, results).items()
    ]


def ranges(seeds: Sequence[int]) -> str:
    """Shortens a list of seeds: [0, 1, 2, 5] -> '0 to 2, 5'."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ', '.join(f'{a}' if a == b else f'{a}, {b}' if b == a + 1 else f'{a} to {b}' for a, b in spans)


def _reason(study: Mapping[str, Any], run: str, seed: int, result: Mapping[str, Any]) -> str:
    if run not in study['runs']:
        return 'the study has no run of this name'
    seeds = seed_count(study, run) or 0
    if seed not in range(seeds):
        return f'the study asks for {"seed 0" if seeds == 1 else f"the seeds 0 to {seeds - 1}"} alone'
    now, then = _mapping(study.get('data_checksums')).get(run), result.get('data_checksum')
    if now and then and now != then:
        return 'it was trained on other data: the arrays of its source have changed since'
    differing = differing_leaves(study['runs'][run], result.get('config'))
    if not differing:
        return ''
    path, before, asked = differing[0]
    more = f' (and {len(differing) - 1} more)' if len(differing) > 1 else ''
    return f'it has another config: {path} is {before} in the result and {asked} in the study{more}'


def differing_leaves(asked: Any, there: Any) -> list[tuple[str, str, str]]:
    """The leaves in which the config of a result differs from the config of its run in the study, both as JSON values.

    `resources` and `seeds` do not count, because the numbers of a run do not depend on them.

    Returns:
      for each leaf: its path, its value in the result, and its value in the study, as texts.
    """
    return list(_differences(_trained(asked), _trained(there)))


def _needed(config: Any, seed: int) -> list[tuple[str, int]]:
    """The results that a run reads or starts from: (run, seed)."""
    seeds = _mapping(_mapping(config).get('transform')).get('seeds')
    every = seeds if isinstance(seeds, list) else [seed]
    return [(name, each) for name in runs_referred_to(config) for each in every if isinstance(each, int)]


def _trained(config: Any) -> dict[str, Any]:
    """A run's config without what its numbers do not depend on."""
    return {key: value for key, value in _mapping(config).items() if key not in ('resources', 'seeds')}


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value; no entries if it is none, because a file may hold anything."""
    return value if isinstance(value, Mapping) else {}


def _differences(asked: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The leaves that differ.

    A result holds the complete config: values instead of 'result:RUN.PATH', the model instead of `like`, and the
    network that a transform made.
    """
    networks, completed = _mapping(asked.get('networks')), _mapping(there.get('networks'))
    made = {name for name in completed if name not in networks} if 'transform' in asked else set()
    taken = {name: {'like': options['like']} for name, options in networks.items() if 'like' in _mapping(options)}
    for name, own in completed.items():
        if name in taken and own and isinstance(own, Mapping):
            completed = {
                **completed,
                name: {**{k: own[k] for k in networks[name] if k in own}, **taken[name]},
            }
    shown = {name: options for name, options in completed.items() if name not in made}
    yield from _leaves({**asked, 'networks': networks}, {**there, 'networks': shown}, '')


def _leaves(asked: Any, there: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if asked == there or parse_result(asked):
        return
    if isinstance(asked, Mapping) and isinstance(there, Mapping):
        for key in [*asked, *(key for key in there if key not in asked)]:
            yield from _leaves(asked.get(key, ABSENT), there.get(key, ABSENT), f'{path}.{key}' if path else key)
    elif isinstance(asked, list) and isinstance(there, list) and len(asked) == len(there):
        for i, pair in enumerate(zip(asked, there, strict=True)):
            yield from _leaves(*pair, f'{path}.{i}')
    else:
        here, before = ('absent' if value is ABSENT else repr(value) for value in (asked, there))
        yield path, before, here
