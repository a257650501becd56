"""Texts that the decoders of a study wrote after the same prompts, side by side."""

from collections.abc import Sequence
from typing import NamedTuple

from kd_jax.report.asked_runs import Results
from kd_jax.report.tables import Table


class SampleTexts(NamedTuple):
    """What follows one prompt.

    Attributes:
      prompt: the prompt.
      lines: the label of each run that continued it, and its text.
    """

    prompt: str
    lines: list[tuple[str, str]]


def study_samples(results: Results, tables: Sequence[Table]) -> list[SampleTexts]:
    """The texts of the first seed of each run, for each prompt; runs are called as the first row of a table says."""
    labels = {row.run: row.label for table in reversed(tables) for row in reversed(table.rows)}
    found: dict[str, list[tuple[str, str]]] = {}
    for run, seeds in results.items():
        if samples := next(iter(seeds.values())).get('samples'):
            for prompt, text in zip(samples['prompts'], samples['texts'], strict=True):
                found.setdefault(prompt, []).append((labels.get(run, run), ' '.join(text.split())))
    return [SampleTexts(prompt, lines) for prompt, lines in found.items()]
