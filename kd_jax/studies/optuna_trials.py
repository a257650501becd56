"""Trials of a hyperparameter search: Optuna proposes and stores them, and several workers may share them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd_jax.config.errors import UserError
from kd_jax.config.references import runs_referred_to
from kd_jax.studies.execute import execute_group
from kd_jax.studies.search_space import Search, distribution, values_of_trial, with_trial
from kd_jax.studies.search_storage import locked_search, take_trial
from kd_jax.studies.study import Progress, Run, Study, asked_configs, parse_study
from kd_jax.studies.workdir import Workdir


@contextlib.contextmanager
def next_trial(optuna_study: Any, search: Search, trials: int, workdir: Workdir, where: str) -> Iterator[Any]:
    """Yields a trial that this process has locked: one whose worker was killed, or a new one; None after `trials`.

    The sampler's seed is the number of the trial, so a killed search proposes the same values when it is resumed.
    """
    import optuna

    with contextlib.ExitStack() as held:
        with locked_search(workdir, 'ask'):
            there = optuna_study.get_trials(deepcopy=False)
            space = {path: distribution(path, values, where) for path, values in search.space.items()}
            for frozen in there:
                if frozen.state == optuna.trial.TrialState.RUNNING and take_trial(held, workdir, frozen.number):
                    if frozen.distributions == space:
                        break
                    # Its worker was killed while Optuna proposed the values, or another search wrote it.
                    optuna_study.tell(frozen.number, state=optuna.trial.TrialState.FAIL)
            else:
                frozen = None
                if len(there) < trials:
                    optuna_study.sampler = optuna.samplers.TPESampler(seed=len(there))
                    frozen = optuna_study.ask(space)
                    take_trial(held, workdir, frozen.number)
        yield frozen


def one_after_another(
    study: Study, groups: Sequence[tuple[Run, ...]], workdir: Workdir, progress: Progress, finished: Any
) -> None:
    """An executor that trains groups in order and raises the first error unchanged.

    The caller needs the type of the error: `Diverged` fails only the trial, any other error ends the search.
    """
    for group in groups:
        for run, outcome in zip(group, execute_group(study, group, workdir, progress), strict=True):
            if isinstance(outcome, UserError):
                raise outcome
            finished(run, outcome)


def objective_value(search: Search, judged: str, seeds: int, workdir: Workdir) -> float | None:
    """The mean of the objective over the seeds; None if a value is not finite.

    Raises:
      UserError: the result has no such value, or it is no number.
    """
    objective = f'result:{judged}.{search.objective.partition(".")[2]}'
    found = [workdir.resolve(objective, seed, 'the objective') for seed in range(seeds)]
    for value in found:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UserError(f"the objective '{objective}' is a {type(value).__name__}, but it must be a number.")
    return None if None in found else sum(found) / len(found)


def tell_optuna(optuna_study: Any, number: int, found: float | None) -> None:
    """Ends a trial with the value `found`; the trial has failed if it is None."""
    import optuna

    failed = {'state': optuna.trial.TrialState.FAIL}
    optuna_study.tell(number, **({'values': found} if found is not None else failed))


def search_report(search: Search, optuna_study: Any) -> dict[str, Any]:
    """The report's section on the search: trials from best to worst, with the objective and its counterpart on test."""
    import optuna

    done = optuna_study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    done.sort(key=lambda t: t.value, reverse=search.direction == 'maximize')
    path = search.objective.partition('.')[2]
    rows = {}
    for t in done:
        label = ', '.join(f'{leaf.rpartition(".")[2]} {short_value(v)}' for leaf, v in t.params.items())
        rows[f'trial {t.number}'] = {'run': f'{search.run}_trial{t.number:03d}', 'label': f'{t.number}: {label}'}
    columns = {'chosen by': path}
    if 'valid' in path.split('.'):
        columns['test'] = '.'.join('test' if key == 'valid' else key for key in path.split('.'))
    failed = len(optuna_study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.FAIL]))
    text = f'Completed trials, best first: {len(done)}; failed: {failed}. The search does not use the test values.'
    return {'tables': {'search': {'title': 'Search', 'text': text, 'columns': columns, 'rows': rows}}}


def runs_of_trials(search: Search, optuna_study: Any, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config of each run that the completed trials need; for `study.json`."""
    import optuna

    asked: dict[str, Any] = {}
    for trial in optuna_study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
        with_it, judged = with_trial(config, search, trial.number, values_of_trial(search, trial.params), where)
        configs = asked_configs(parse_study(with_it, where))
        names = [judged]
        for name in names:
            names += [needed for needed in runs_referred_to(configs[name]) if needed not in names]
        asked |= {name: configs[name] for name in reversed(names)}
    return asked


def short_value(value: Any) -> str:
    """A value as short text, for labels and messages."""
    return f'{value:.4g}' if isinstance(value, float) else str(value)
