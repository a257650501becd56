"""Opens prepared TFDS data sets, and refuses those that would have TFDS import code.

These are community data sets, and those with features of their own.
"""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.json_files import JSON_BYTES, parse_json
from kd_jax.config.ordinary_files import read_text, user_path

KINDS = ('pythonClassName', 'type')  # the keys of features.json, today's and the legacy one, that name a class
FEATURES = 'tensorflow_datasets.'


def open_prepared(name: str, data_dir: str | None, splits: Sequence[str]) -> tuple[list[Sequence[Any]], Any]:
    """The splits of a prepared TFDS data set, which read an example when indexed, and its features.

    Raises:
      UserError: the directory holds no such data set in a format with random access (array_record), or it would run
        code.
    """
    import tensorflow_datasets as datasets

    try:
        check_runs_no_code(name, data_dir)
        builder = datasets.builder(name, data_dir=data_dir, file_format='array_record')
        return [builder.as_data_source(split=split) for split in splits], builder.info.features
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f'no prepared data set {name!r} was found in {data_dir or "the default TFDS directory"} '
            f'({first_line(error)}); prepare it once with '
            f'`tfds build {name} --file_format=array_record` (needs TensorFlow), '
            'or set data.data_dir to the directory that holds it.'
        ) from error


def check_runs_no_code(name: str, data_dir: str | None) -> None:
    """Checks a data set before TFDS opens it.

    Args:
      name: the TFDS name, 'NAME/CONFIG:VERSION'.
      data_dir: the directory where it was prepared; None for the user's own default directory, which is trusted.
    Raises:
      UserError: the name has a namespace, for which TFDS loads code; or the directory's features.json names a class
        outside of TFDS, which TFDS would import.
    """
    from tensorflow_datasets.core import naming

    dataset = naming.parse_builder_name_kwargs(name)[0]
    if dataset.namespace:
        raise UserError(
            f'data.name is {name!r}, a community data set, for which TFDS loads and runs the code of others. Write '
            "its arrays to a .npz file, or read it in a data source of your own: data.source='my_package.data:source'."
        )
    for file in _features(user_path(data_dir) / dataset.name) if data_dir else ():
        text = read_text(file, JSON_BYTES)
        try:
            content = parse_json(text)
        except ValueError as error:
            raise UserError(f'{file} is damaged ({first_line(error)}); prepare the data set again.') from error
        foreign = next((kind for kind in _kinds(content) if not kind.startswith(FEATURES)), '')
        if foreign:
            raise UserError(
                f'{file} names the class {foreign!r}, which TFDS would import. Importing it runs code, and a data set '
                "may come from anybody. Read it in a data source of your own: data.source='my_package.data:source'."
            )


def _features(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every features.json below a directory; links are followed, as TFDS does, and each directory is seen once."""
    seen = set()
    for at, folders, files in os.walk(directory, followlinks=True):
        if (place := os.path.realpath(at)) in seen:
            folders.clear()
            continue
        seen.add(place)
        if 'features.json' in files:
            yield pathlib.Path(at) / 'features.json'


def _kinds(tree: Any) -> Iterator[str]:
    """The names of classes in the content of a features.json."""
    if isinstance(tree, dict):
        yield from (str(tree[key]) for key in KINDS if '.' in str(tree.get(key, '')))
        tree = list(tree.values())
    for value in tree if isinstance(tree, list) else ():
        yield from _kinds(value)
