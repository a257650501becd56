"""How much is fuzzed: `FUZZ=100 python -m pytest tests/fuzz` tries 100 times as many examples, others each time."""

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = int(os.environ.get('FUZZ', '1'))


def examples(count):
    """The settings of a test with so many examples: the same ones in every run of the suite, kept nowhere."""
    return settings(
        max_examples=count * TIMES, derandomize=TIMES == 1, database=None, deadline=None, print_blob=True,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
