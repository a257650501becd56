"""The layout of the code: a test file for every module, short files and functions, one name for one thing."""

import ast
import collections
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
FILES = {
    folder: sorted(path for path in (ROOT / folder).rglob('*.py'))
    for folder in ('kd_jax', 'experiments', 'configs', 'benchmarks', 'tests')
}
MODULES = [path for path in FILES['kd_jax'] if path.name != '__init__.py']

# Names that two modules share, and why. Users write registered names in configs; each kind has a registry of its own.
SHARED_NAMES = {
    'cifar10': 'a source, and its placeholder without data, which preflight puts in its place',
    'cifar100': 'a source, and its placeholder without data, which preflight puts in its place',
    'imagenet2012': 'a source, and its placeholder without data, which preflight puts in its place',
    'text': 'a source, and its placeholder without data, which preflight puts in its place',
    'tfds_text': 'a source, and its placeholder without data, which preflight puts in its place',
    'cka': 'a loss, and the analysis of the same quantity',
    'cosine': 'a schedule, and a loss',
}


def name_of(path):
    return str(path.relative_to(ROOT))


def tree_of(path):
    return ast.parse(path.read_text('utf-8'))


def test_every_module_has_its_test_file():
    own = [path.relative_to(ROOT / 'kd_jax') for path in MODULES]
    wanted = [ROOT / 'tests' / path.parent / f'test_{path.name}' for path in own]
    assert [name_of(path) for path in wanted if not path.exists()] == []


def test_no_file_has_more_than_300_lines():
    paths = [path for paths in FILES.values() for path in paths]
    assert [name_of(path) for path in paths if len(path.read_text('utf-8').splitlines()) > 300] == []


def test_no_function_has_more_than_60_lines():
    long = [
        f'{name_of(path)}: {node.name}'
        for path in (*FILES['kd_jax'], *FILES['experiments'])
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


def test_no_module_is_called_utils():
    assert [name_of(path) for paths in FILES.values() for path in paths if 'utils' in path.stem] == []


def test_no_two_modules_share_a_public_name():
    places = collections.defaultdict(list)
    for path in MODULES:
        for node in tree_of(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith('_'):
                places[node.name].append(name_of(path))
    shared = {name for name, found in places.items() if len(found) > 1}
    assert {name: places[name] for name in shared ^ set(SHARED_NAMES)} == {}
