"""What is missing comes from a folder of wheels; what is there stays."""

import zipfile

import pytest

from benchmarks.accelerator.wheels import install_missing, unmet


def make_wheel(folder, name, version):
    about = f'{name}-{version}.dist-info'
    with zipfile.ZipFile(folder / f'{name}-{version}-py3-none-any.whl', 'w') as wheel:
        wheel.writestr(f'{name}.py', f'VERSION = {version!r}\n')
        wheel.writestr(f'{about}/METADATA', f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        wheel.writestr(f'{about}/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        wheel.writestr(f'{about}/RECORD', '')


@pytest.mark.parametrize(
    ('line', 'sentence'),
    [
        ('numpy>=1', None),
        ('numpy>=1  # numbers', None),
        ('# numpy>=999', None),
        ("numpy>=999; python_version < '3'", None),
        ('no_such_thing>=2', 'requirements.txt asks for no_such_thing>=2; it is not installed'),
    ],
)
def test_a_requirement_is_met_or_a_sentence(line, sentence):
    assert list(unmet(line).values()) == ([sentence] if sentence else [])


def test_a_version_that_is_too_old_is_named():
    import numpy as np

    wanted = f'requirements.txt asks for numpy>=999; version {np.__version__} is installed'
    assert unmet('numpy>=999') == {'numpy': wanted}


def test_only_what_is_missing_or_too_old_is_installed(tmp_path):
    wheels, into = tmp_path / 'wheels', tmp_path / 'site'
    wheels.mkdir()
    for name, version in (('tiny_thing', '1.0'), ('numpy', '998'), ('rich', '998')):
        make_wheel(wheels, name, version)
    installed = install_missing(wheels, 'rich>=997\nnumpy>=1', into, seconds=60.0)
    assert installed == ['rich', 'tiny-thing']
    assert {path.name for path in into.glob('*.py')} == {'rich.py', 'tiny_thing.py'}
