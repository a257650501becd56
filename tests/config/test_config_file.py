import sys

import pytest

from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError

FILE = """
from ml_collections import ConfigDict

VARIANTS = ('', 'paper')


def get_config(variant=''):
    c = ConfigDict()
    c.epochs = 100 if variant == 'paper' else 2
    c.student = dict(hidden=(4, 4), t=4)
    return c


def get_report(variant=''):
    return {'title': variant or 'short'}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / 'tiny.py').write_text(FILE)
    return str(tmp_path / 'tiny.py')


def test_a_variant_chooses_among_the_configs_of_a_file(path):
    assert load_config(path) == (
        {'epochs': 2, 'student': {'hidden': (4, 4), 't': 4}},
        {'title': 'short'},
    )
    config, report = load_config(f'{path}:paper')
    assert (config['epochs'], report) == (100, {'title': 'paper'})


def test_a_file_may_define_dataclasses_whose_annotations_are_texts(tmp_path):
    for name in ('tiny', 'json'):  # the second is the name of a module that the file imports
        (tmp_path / f'{name}.py').write_text(
            'from __future__ import annotations\nimport dataclasses\nimport json\n\n\n@dataclasses.dataclass\n'
            'class Size:\n    width: int = 8\n\n\ndef get_config():\n    return dict(a=json.loads(str(Size().width)))\n'
        )
        before = sys.modules.get(name)
        assert load_config(str(tmp_path / f'{name}.py'))[0] == {'a': 8}
        assert sys.modules.get(name) is before


def test_an_override_changes_or_adds_any_leaf_of_any_type(path):
    overrides = [
        'student.t=2.5',
        'epochs=None',
        'student.hidden=(8,)',
        'student.name=big one',
        'student.path=a=b',
    ]
    config, _ = load_config(path, overrides)
    student = {'t': 2.5, 'hidden': (8,), 'name': 'big one', 'path': 'a=b'}
    assert config == {'epochs': None, 'student': student}


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('studnt.t=3', "--config.studnt.t: there is no 'studnt' in config. Did you mean 'student'"),
        ('student.opt.name=x', "there is no 'opt' in config.student"),
        ('student.t', '--config.student.t has no value'),
        (
            'epochs.x=3',
            'config.epochs is 2, which has no parts with names; write the whole value, --config.epochs=VALUE.',
        ),
        ('student.hidden.0=3', 'config.student.hidden is (4, 4), which has no parts with names; write the whole value'),
        ('student..t=3', '--config.student..t: a part of the path is empty'),
        ('=3', '--config.: a part of the path is empty'),
        ('student.sizes={1: 2}', "--config.student.sizes: the key 1 is not a string; write '1'."),
        ('student.sizes={1, 2}', '--config.student.sizes is {1, 2}, a set; a config holds numbers, texts,'),
    ],
)
def test_an_override_of_nothing_is_refused(path, override, message):
    with pytest.raises(UserError) as error:
        load_config(path, [override])
    assert message in str(error.value)


def test_an_unknown_variant_is_refused(path):
    with pytest.raises(UserError, match=r"has no variant 'papr'. Did you mean 'paper'"):
        load_config(f'{path}:papr')


def test_a_missing_file_is_refused_with_the_nearest_name(path):
    with pytest.raises(UserError, match=r"there is no such config file. Did you mean 'tiny.py'"):
        load_config(path.replace('tiny', 'tinny'))


def test_a_file_that_is_no_python_is_refused(tmp_path):
    (tmp_path / 'notes.md').write_text('# notes')
    with pytest.raises(UserError, match='there is no such config file'):
        load_config(str(tmp_path / 'notes.md'))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('def get_config(:', 'cannot be loaded: SyntaxError'),
        ('import no_such_module', 'cannot be loaded: ModuleNotFoundError'),
        ('x = 1', r'defines no get_config'),
        ('import sys\nsys.exit()', r'broken.py cannot be loaded: SystemExit \(.*broken.py, line 2\)\.$'),
        ('import sys\n\ndef get_config(_):\n    sys.exit(3)', r'failed: SystemExit: 3 \(.*broken.py, line 4\)\.$'),
        ('def get_config(_):\n    raise GeneratorExit', r'get_config failed: GeneratorExit \(.*broken.py, line 2\)\.$'),
        ('def get_config(_):\n    return [1][1]', r'IndexError: list index out of range \(.*broken.py, line 2\)\.$'),
        ('x = 1\ny = (', r"SyntaxError: '\(' was never closed \(.*broken.py, line 2\)\.$"),
        ("VARIANTS = 'paper'\ndef get_config(_): return {}", "VARIANTS is 'paper', but it must be a tuple of names"),
        ('def get_config(_): return {}\ndef get_report(_): return 3', 'get_report must return a dictionary, not 3'),
        (
            'from ml_collections.config_dict import required_placeholder as wanted, ConfigDict\n'
            'def get_config(_): return ConfigDict({"a": wanted(int)})',
            'get_config failed: RequiredValueError',
        ),
        (
            "from kd_jax.config import sweeps\ndef get_config(_): return sweeps.grid({'t': 1.0}, {'tt': (2.0,)}, 't')",
            r"broken.py: grid 't': the run has no 'tt'. Did you mean 't'\?",
        ),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, message):
    (tmp_path / 'broken.py').write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(str(tmp_path / 'broken.py'))


def test_a_file_without_variants_has_the_default_one_alone(tmp_path):
    (tmp_path / 'plain.py').write_text(FILE.replace('VARIANTS', 'IGNORED'))
    assert load_config(str(tmp_path / 'plain.py'))[0]['epochs'] == 2
    with pytest.raises(UserError, match="no variant 'paper'"):
        load_config(str(tmp_path / 'plain.py') + ':paper')


def test_the_functions_of_a_file_without_variants_may_leave_out_the_argument(tmp_path):
    file = tmp_path / 'own.py'
    file.write_text(
        "def get_config():\n    return {'name': 'own', 'runs': {}}\ndef get_report():\n    return {'tables': {}}"
    )
    assert load_config(str(file)) == ({'name': 'own', 'runs': {}}, {'tables': {}})
    file.write_text(file.read_text() + "\nVARIANTS = ('', 'long')")
    with pytest.raises(UserError, match=r'get_config failed: TypeError: get_config.. takes 0 positional arguments'):
        load_config(f'{file}:long')


def test_a_file_may_return_a_plain_dictionary_and_nothing_else(tmp_path):
    path = tmp_path / 'plain.py'
    path.write_text("def get_config(variant=''):\n    return dict(student=dict(hidden=(4,)))\n")
    assert load_config(str(path))[0] == {'student': {'hidden': (4,)}}
    path.write_text("def get_config(variant=''):\n    pass\n")
    with pytest.raises(UserError, match='get_config must return a dictionary, not None'):
        load_config(str(path))


SHARED = """
COMMON = {'learning_rate': 0.1, 'at': [0.5]}


def get_config(variant=''):
    run = {'optimizer': COMMON}
    return {'runs': {'teacher': run, 'student': {**run, 'networks': [COMMON]}, 'other': run}}
"""


def test_an_override_changes_one_run_alone_although_the_file_shares_a_dictionary(tmp_path):
    (tmp_path / 'shared.py').write_text(SHARED)
    before, _ = load_config(str(tmp_path / 'shared.py'))
    runs = load_config(str(tmp_path / 'shared.py'), ['runs.student.optimizer.learning_rate=0.0'])[0]['runs']
    assert runs['student']['optimizer'] == {'learning_rate': 0.0, 'at': [0.5]}
    runs['student']['optimizer']['learning_rate'] = 0.1
    assert runs == before['runs']
    runs['teacher']['optimizer']['at'].append(0.9)
    assert load_config(str(tmp_path / 'shared.py'))[0] == before
    assert runs['other']['optimizer']['at'] == runs['student']['networks'][0]['at'] == [0.5]


def test_an_override_of_the_default_study_leaves_its_baseline_alone():
    configs = [load_config('configs/hinton_mnist.py', o)[0] for o in ((), ['runs.student_t4.data.examples=512'])]
    changed = {name for name, run in configs[0]['runs'].items() if run != configs[1]['runs'][name]}
    assert changed == {'student_t4'}


def test_the_file_of_a_config_may_lie_in_a_folder_with_a_colon(tmp_path):
    (tmp_path / 'a:b').mkdir()
    (tmp_path / 'a:b' / 'tiny.py').write_text(FILE)
    assert load_config(f'{tmp_path}/a:b/tiny.py')[0]['epochs'] == 2
    assert load_config(f'{tmp_path}/a:b/tiny.py:paper')[0]['epochs'] == 100


def test_ctrl_c_while_a_config_is_loaded_stays_ctrl_c(tmp_path):
    (tmp_path / 'slow.py').write_text('raise KeyboardInterrupt')
    with pytest.raises(KeyboardInterrupt):
        load_config(str(tmp_path / 'slow.py'))


@pytest.mark.parametrize('made', ['ConfigDict(c)', 'c'])
def test_runs_keep_the_order_in_which_the_file_adds_them(tmp_path, made):
    path = tmp_path / 'sweep.py'
    runs = {f't{t}': {} for t in (1, 2, 10, 20, '0_5')}
    path.write_text(
        'from ml_collections import ConfigDict\n'
        f'def get_config(variant):\n    c = dict(name="a", runs={runs})\n    return {made}\n'
    )
    config, _ = load_config(str(path), ['runs.t3={}'])
    assert list(config['runs']) == ['t1', 't2', 't10', 't20', 't0_5', 't3']


@pytest.mark.parametrize('override', ['runs.a\n.b=1', 'runs.a\n.b', 'runs.\udcff=1'])
def test_an_override_that_cannot_be_printed_is_refused_in_one_line(override):
    with pytest.raises(UserError, match=r'cannot be printed|has no value') as error:
        load_config('configs/hinton_mnist.py', [override])
    assert len(str(error.value).splitlines()) == 1
