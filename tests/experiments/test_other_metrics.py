"""Studies that do not classify images: what the command trains, prints, chooses and reports."""

import json

import numpy as np
import pytest

from experiments import run
from kd_jax.report.number_format import named
from kd_jax.report.result_files import load_results
from kd_jax.report.table_texts import table_cells
from kd_jax.report.tables import study_tables

pytestmark = pytest.mark.usefixtures('settings_as_before')
RNG = np.random.default_rng(0)

REGRESSION = """
def get_config(variant=''):
    net = dict(model='mlp', hidden=(4,), num_classes=1)
    common = dict(
        data=dict(source='npz', path='PATH', num_classes=2, valid=8), batch_size=8, epochs=3,
        optimizer=dict(name='adam', learning_rate=0.03),
    )
    depth = dict(metrics='regression', target='batch.target')
    runs = dict(
        teacher=dict(
            common, networks=dict(teacher=net),
            terms=dict(hard=dict(loss='mse', student='teacher.logits', target='batch.target')),
            evaluate=dict(depth=dict(depth, prediction='teacher.logits')),
        ),
        student=dict(
            common, networks=dict(teacher=dict(net, update='frozen', init='run:teacher'), student=net),
            terms=dict(soft=dict(loss='mse', student='student.logits', target='teacher.logits')),
            evaluate=dict(depth=dict(depth, prediction='student.logits', teacher='teacher.logits')),
        ),
    )
    return dict(name='depth', seeds=2, runs=runs)


def get_report(variant=''):
    path = 'last.test.depth.mse'
    gain = dict(kind='difference', value=f'student:{path}', low=f'teacher:{path}')
    return dict(claims=dict(gain=gain))
"""

POSITIONS = """
import flax.linen as nn


class Pixels(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        logits = nn.Dense(3, name='head')(x[..., None])
        return dict(logits=logits, present=logits.max((1, 2)))


def get_config(variant=''):
    student = dict(
        data=dict(source='npz', path='PATH', num_classes=3, valid=8), batch_size=8, epochs=2,
        optimizer=dict(name='adam', learning_rate=0.1), networks=dict(student=dict(model=Pixels)),
        terms=dict(hard=dict(loss='cross_entropy', logits='student.logits', labels='batch.pixels')),
        evaluate=dict(
            pixels=dict(metrics='positions', logits='student.logits', labels='batch.pixels', mask='batch.known'),
            present=dict(metrics='multi_label', logits='student.present', target='batch.present'),
        ),
    )
    return dict(name='pixels', seeds=1, runs=dict(student=student))
"""


def study(tmp_path, text, **arrays):
    data, config = tmp_path / 'data.npz', tmp_path / 'config.py'
    np.savez(data, **{f'{split}_{name}': array for split in ('train', 'test') for name, array in arrays.items()})
    config.write_text(text.replace('PATH', str(data)))
    return [f'--config={config}', f'--workdir={tmp_path / "work"}']


def numbers():
    target = RNG.random((32, 1)).astype(np.float32)
    image = np.broadcast_to(target[:, :, None], (32, 2, 2)).astype(np.float32)
    return dict(image=image, target=target, label=np.zeros(32, np.int32))


def test_a_regression_is_judged_printed_and_reported_by_its_own_metrics(tmp_path, capsys):
    command = study(tmp_path, REGRESSION, **numbers())
    assert run.main(command) == 0
    out = capsys.readouterr().out
    study_json, results, _ = load_results(tmp_path / 'work')
    result = results['student'][0]
    assert f'student-s0: depth {named("mse", result["last"]["test"]["depth"]["mse"], "number")} on test, ' in out
    assert 'accuracy' not in out
    assert 'errors' not in out
    by_epoch = [row['valid']['depth']['mse'] for row in result['history']]
    assert result['best']['step'] == result['history'][int(np.argmin(by_epoch))]['step']
    assert result['metrics']['depth']['r2'] == {'unit': 'number', 'better': 'higher'}
    [table] = study_tables(study_json, results)
    assert table_cells(table)[0] == ['', 'mse', 'mae', 'r2', 'teacher_mse', 'seeds']
    report = (tmp_path / 'work' / 'report.md').read_text()
    assert 'Learning curves: MSE of depth' in report
    assert ' MSE from “teacher” (' in report
    assert all((tmp_path / 'work' / 'runs' / name).exists() for name in ('student-s0', 'student-s1'))


def test_the_plan_says_which_metric_chooses_the_best_epoch(tmp_path, capsys):
    assert run.main([*study(tmp_path, REGRESSION, **numbers()), '--plan']) == 0
    assert '4 of 4 runs to do; best epoch by depth.mse' in ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ('override', 'sentence'),
    [
        ('depth.metrics=regresion', "evaluate 'depth': there is no family of metrics 'regresion'. Did you mean 'regr"),
        ('depth.best=r3', "evaluate 'depth': best is 'r3', but metrics 'regression' cannot choose by it. Did you"),
        ('depth.target=batch.label', 'the prediction has shape [8, 1] and the target [8]'),
    ],
)
def test_a_wrong_evaluation_is_refused_before_training(tmp_path, capsys, override, sentence):
    command = study(tmp_path, REGRESSION, **numbers())
    assert run.main([*command, f'--config.runs.teacher.evaluate.{override}']) == 2
    assert sentence in ' '.join(capsys.readouterr().out.split())
    assert not (tmp_path / 'work').exists()


def test_a_claim_on_a_metric_that_is_not_measured_is_refused_before_training(tmp_path, capsys):
    command = study(tmp_path, REGRESSION.replace('depth.mse', 'depth.accuracy'), **numbers())
    assert run.main([*command, '--plan']) == 2
    assert "run 'student' measures no 'last.test.depth.accuracy'" in ' '.join(capsys.readouterr().out.split())


def test_pixels_under_a_mask_and_several_labels_are_evaluated_side_by_side(tmp_path, capsys):
    pixels, known = RNG.integers(0, 3, (32, 2, 2)), RNG.random((32, 2, 2)) < 0.7
    image = (100 * pixels + 20).astype(np.uint8)
    present = np.stack([(pixels == k).any((1, 2)) for k in range(3)], axis=1).astype(np.int32)
    arrays = dict(image=image, pixels=pixels.astype(np.int32), known=known, present=present)
    command = study(tmp_path, POSITIONS, label=np.zeros(32, np.int32), **arrays)
    assert run.main(command) == 0
    result = json.loads((tmp_path / 'work' / 'results' / 'student-s0.json').read_text())
    test, chosen = result['last']['test'], result['best_by']
    assert test['pixels']['count'] == known.sum()
    assert test['present']['count'] == 32
    assert chosen == {'pixels': 'accuracy', 'present': 'average_precision'}
    words = ' '.join(capsys.readouterr().out.split())
    assert f'pixels accuracy {100 * test["pixels"]["accuracy"]:.2f}%' in words
    assert f'present average_precision {100 * test["present"]["average_precision"]:.2f}%' in words
    report = (tmp_path / 'work' / 'report.md').read_text()
    assert 'Learning curves: accuracy of pixels' in report
    assert '| average_precision (%) | bce |' in report
