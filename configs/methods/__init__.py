"""All methods of distillation, with their configs and sources.

`python -m experiments.methods` writes the tables of docs/methods.md from them, and configs/benchmark_pairs.py measures
those for images, `METHODS`.
"""

from configs.methods import feature, language, relation, response, scheme
from configs.methods.method import Method

WITH_FROZEN_TEACHER: tuple[Method, ...] = (*response.METHODS, *feature.METHODS, *relation.METHODS)
SCHEMES: tuple[Method, ...] = scheme.METHODS
LANGUAGE: tuple[Method, ...] = language.METHODS
METHODS: dict[str, Method] = {method.name: method for method in (*WITH_FROZEN_TEACHER, *SCHEMES)}
