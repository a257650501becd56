"""What the pages under docs/ promise can be copied and run."""

import importlib
import pathlib
import re

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.methods import LANGUAGE, METHODS
from experiments import run
from kd_jax import evaluation, losses
from kd_jax.config.config_file import load_config
from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from kd_jax.evaluation.evaluations import parse_evaluation
from kd_jax.models.cnn import CNN
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.report import number_format
from kd_jax.report.result_files import load_results, measure_over_seeds
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study

DOCS = pathlib.Path(__file__).parents[1] / 'docs'
PAGE = (DOCS / 'methods.md').read_text()
(FILE,) = re.findall(r'```python\n(# method.py\n.*?)```', PAGE, re.DOTALL)
(COPIED,) = re.findall(r'c\.terms\.soft = .*', FILE)
CONFIGS = {name: '; '.join(method.statements()) for name, method in METHODS.items()}
CONNECTORS = (
    'classifier', 'connector', 'discriminator', 'embedding', 'fusion', 'gate', 'gated_average', 'generator',
    'masked_generator', 'memory_bank', 'noise', 'paraphraser', 'pgd', 'pointnet', 'projector', 'recall',
    'stroke_points', 'temperature', 'top_k', 'translator', 'variational',
)  # fmt: skip
RNG = np.random.default_rng(0)
BATCH = {
    'image': RNG.normal(size=(6, 8, 8)).astype(np.float32),
    'label': np.arange(6, dtype=np.int32),
    'id': np.arange(6, dtype=np.int32) * 7,
    'answers': RNG.integers(2, size=(6, 10)),
}


def blocks(page):
    """The Python blocks of a page, in order."""
    return re.findall(r'```python\n(.*?)```', page, re.DOTALL)


def config_of(*lines):
    """The config `c` of the file on the page of methods, with these lines in the place of the row that is copied."""
    names = {}
    exec(FILE.replace(COPIED, '\n'.join(lines).strip().replace('\n', '\n    ')), names)
    return {**names['get_config']()['runs']['student'].to_dict(), 'optimizer': dict(name='sgd', learning_rate=1e-3)}


def test_every_loss_and_every_connector_has_a_row():
    used = '\n'.join([FILE, *CONFIGS.values(), *(text for row in LANGUAGE for text in row.statements())])
    assert set(losses.__all__) <= set(re.findall(r"loss='(\w+)'", used))
    assert set(CONNECTORS) <= set(re.findall(r"model='(\w+)'", used))


@pytest.mark.parametrize('method', CONFIGS)
def test_the_statements_that_a_reader_copies_are_on_the_page_and_make_the_config_of_the_method(method):
    assert f'| `{CONFIGS[method]}` |' in PAGE
    c = ConfigDict({'networks': {}, 'terms': {'hard': {}}, 'evaluate': {}})
    exec(CONFIGS[method], {'c': c})
    hard = {} if METHODS[method].without_labels else {'hard': {}}
    assert c.to_dict() == {**METHODS[method].parts(), 'terms': {**hard, **METHODS[method].terms}}


@pytest.mark.parametrize('method', CONFIGS)
def test_the_file_of_the_page_with_a_copied_row_is_a_study_whose_runs_can_start(method, tmp_path):
    written = FILE.replace(COPIED, CONFIGS[method])
    assert written != FILE
    if method == 'multi-label KD':  # MNIST has no answers
        data = tmp_path / 'data.npz'
        np.savez(data, **{f'train_{name}': np.repeat(array, 400, 0) for name, array in BATCH.items() if name != 'id'})
        written = written.replace("source='mnist',", f"source='npz', path='{data}', num_classes=10,")
    (tmp_path / 'method.py').write_text(written)
    planned = parse_study(load_config(f'{tmp_path}/method.py')[0], 'method.py')
    student = prepare_study(planned)['student']
    assert {term.name for term in student.recipe.terms} >= set(METHODS[method].terms)
    assert ('hard' in student.config['terms']) != METHODS[method].without_labels
    assert set(student.evaluator.measured) >= set(METHODS[method].evaluate)


def test_all_methods_train_together_for_two_steps():
    # A memory bank of the page's size is large for a test.
    small = [text.replace('60000', '50').replace('=1024', '=8') for text in CONFIGS.values()]
    made = parse_recipe(config_of(*[text.removeprefix('del c.terms.hard; ') for text in small]))
    state, frozen = jax.jit(lambda: init_state(made, BATCH, seed=0))()
    before, train_step = state, jax.jit(make_train_step(made, 10))
    for _ in range(2):
        state, metrics = train_step(state, made.hparams, frozen, BATCH)
    assert {name for name, (total, _) in metrics.items() if not np.isfinite(total)} == set()
    assert set(metrics) == {term.name for term in made.terms} | {'loss', 'grad_norm'}
    assert {'teacher', 'teachers', 'classifier', 'regression', 'strokes', 'top'} == set(frozen)

    def moved(a, b):
        return any(jax.tree.leaves(jax.tree.map(lambda x, y: bool(np.any(np.asarray(x) != np.asarray(y))), a, b)))

    still = {name for name in state.params if not moved(before.params[name], state.params[name])}
    assert still == {'noisy', 'past', 'united'}  # have no parameters
    for name in ('bank_t', 'past'):
        assert moved(before.collections[name], state.collections[name])


def test_srrl_compares_regressed_features_and_what_the_teachers_classifier_says_of_them():
    made = parse_recipe(config_of(CONFIGS['SRRL']))
    state, frozen = init_state(made, BATCH, seed=0)
    images = BATCH['image'][..., None]
    x = CNN(channels=(8, 16, 32)).apply({'params': state.params['student']}, images)['features']
    taught = CNN(channels=(16, 32, 64)).apply({'params': frozen['teacher']['params']}, images)
    z = x @ state.params['regressed']['regressor']['kernel']
    regressed = np.maximum((z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5), 0.0)
    head = frozen['regression']['params']['head']
    logits = regressed @ head['kernel'] + head['bias']
    after, metrics = jax.jit(make_train_step(made, 10))(state, made.hparams, frozen, BATCH)
    total, count = metrics['feature_matching']
    np.testing.assert_allclose(total / count, np.mean((regressed - taught['features']) ** 2), rtol=1e-4)
    total, count = metrics['softmax_regression']
    np.testing.assert_allclose(total / count, np.mean((logits - taught['logits']) ** 2), rtol=1e-4)
    assert 'regression' not in after.params


def test_the_worked_example_of_add_a_method_runs_and_is_short(tmp_path, monkeypatch):
    found = {text.splitlines()[0].removeprefix('# '): text for text in blocks((DOCS / 'add_a_method.md').read_text())}
    assert set(found) == {'sureness.py', 'config', 'test_sureness.py'}
    assert sum(1 for text in found.values() for line in text.splitlines()[1:] if line.strip()) < 25
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module('test_sureness')
    tests = [getattr(module, name) for name in dir(module) if name.startswith('test_')]
    assert len(tests) == 2
    for test in tests:
        test()
    made = parse_recipe(config_of(found['config']))
    state, frozen = init_state(made, BATCH, seed=0)
    _, metrics = jax.jit(make_train_step(made, 10))(state, made.hparams, frozen, BATCH)
    assert metrics['sure'][1] == len(BATCH['label'])


def test_the_evaluations_of_the_page_on_studies_are_accepted():
    (example,) = (block for block in blocks((DOCS / 'studies.md').read_text()) if block.startswith('evaluate = '))
    names = {}
    exec(example, names)
    families = {name: parse_evaluation(name, own, 'page').metrics for name, own in names['evaluate'].items()}
    assert {id(family) for family in families.values()} == {id(getattr(evaluation, n)) for n in evaluation.__all__}


def test_the_metric_of_the_page_works():
    (example,) = (block for block in blocks((DOCS / 'bring_your_own.md').read_text()) if 'worst_case' in block)
    names = {}
    exec(example, names)
    assert names['worst_case'](np.zeros((3, 2)), np.array([[1, 0], [0, -4], [2, 2]])) == {'largest_error': 4.0}


def test_the_files_of_the_page_on_a_first_config_run(tmp_path, monkeypatch, capsys):
    """The first file is planned; the whole one is trained for a moment, and its report is made."""
    monkeypatch.chdir(tmp_path)
    small, files = (
        tmp_path / 'small.py',
        [b for b in blocks((DOCS / 'first_config.md').read_text()) if 'get_config' in b],
    )
    for text, variant, options in zip(files, ('', ':quick'), (['--plan'], ['--only=t4,baseline']), strict=True):
        assert text.startswith('# first.py\n')
        small.write_text(
            text.replace('examples=2000', 'examples=64').replace("source='mnist'", "source='mnist', shrink=4")
        )
        assert run.main([f'--config={small}{variant}', *options]) == 0
    shown = capsys.readouterr().out
    assert 'teacher-s0' in shown
    assert 'distilled, T = 4' in shown
    assert (tmp_path / 'runs/first_quick/report.html').exists()


def test_the_readme_says_first_what_the_committed_results_show():
    def errors(study, run):
        results = load_results(DOCS.parent / 'experiments' / 'results' / study).results
        return number_format.measured(measure_over_seeds(results, run, 'last.test.student.errors'), 'count')

    first_screen = ' '.join((DOCS.parent / 'README.md').read_text().partition('## Quick start')[0].split())
    labels, soft = errors('hinton_mnist', 'baseline'), errors('hinton_mnist', 'distilled')
    assert f'{labels} test errors of 10,000 with labels, and {soft} with the soft targets' in first_screen
    labels, soft = errors('hinton_temperature', 'w800_hard'), errors('hinton_temperature', 'w800_t20')
    assert f'it makes {labels} and {soft} errors' in first_screen
