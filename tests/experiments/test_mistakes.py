"""Mistakes at the command line: one sentence, before anything is written."""

import importlib.util

import numpy as np
import pytest

from experiments import export, generate
from tests.refusals import CONFIG, refusal

pytestmark = pytest.mark.usefixtures('settings_as_before')


@pytest.mark.parametrize(
    ('override', 'said'),
    [
        ('runs.student.networks.student.model=mpl', "no model 'mpl'. Did you mean 'mlp'? Known: "),
        ('runs.student.terms.soft.loss=kdd', "no loss 'kdd'. Did you mean 'kd'? Known: "),
        ('runs.student.terms.soft.target=teacher.logit', "Did you mean 'teacher.logits'? Known: batch."),
        ('runs.student.terms.soft.target=techer.logits', "Did you mean 'teacher'? Known: batch"),
        ('runs.student.terms.soft.target=student.hidden7', "term 'soft' reads 'student.hidden7'"),
        ('runs.student.terms.soft.target=logits', 'a path looks like'),
        ('runs.student.terms.soft.t=-1.0', "term 'soft'.t is -1, but it must be greater than 0"),
        ('runs.student.terms.soft.t=0.0', 'must be greater than 0'),
        ('runs.student.terms.soft.tau=1.0', "takes no 'tau'"),
        ('runs.student.optimizer.name=adm', "Did you mean 'adam'? Known: "),
        ('runs.student.optimizer.learning_rate=-0.1', 'must not be negative'),
        ("runs.student.optimizer={'name': 'sgd'}", 'needs a learning_rate'),
        ('runs.student.networks.student.num_classes=7', 'the student has 7 classes and the teacher 10'),
        ('runs.teacher.networks.teacher.num_classes=7', 'set networks.teacher.num_classes=10'),
        ('runs.student.networks.teacher.hidden=(32,)', 'dense1/bias is (16,) there and (32,) here'),
        ('runs.student.networks.teacher.init=run:techer', "Did you mean 'teacher'?"),
        ('runs.student.networks.teacher.init=run:teacher/studnt', "has no network 'studnt'"),
        ('runs.student.networks.teacher.init=/nowhere', '/nowhere holds no checkpoints'),
        ('runs.student.networks.teacher.init=', "has no weights to load"),
        ('runs.student.networks.teacher.init=3', "init is 3, but it must be 'run:NAME'"),
        ("runs.student.networks.teacher.fresh=('haed',)", "no module 'haed'"),
        ('runs.teacher.networks.teacher.init=run:student', 'student, teacher need each other in a circle'),
        ('runs.student.networks.teacher.like=mlp', "like is 'mlp', but it must be 'run:NAME' or 'run:NAME/NETWORK'"),
        ('runs.student.networks.teacher.like=run:techer', "'techer', which does not exist. Did you mean 'teacher'?"),
        ("runs.student.transform={'name': 'average_weights', 'of': 'run:teacher'}", 'so it trains nothing; leave '),
        ('runs.student.data.source=minst', "Did you mean 'mnist'?"),
        ("runs.student.data={'source': 'npz', 'path': '/no.npz', 'num_classes': 10}", 'there is no such file'),
        ('runs.student.data.augment.crop=-1', 'data.augment.crop is -1, but it must be between 0 and 1000'),
        ('runs.student.data.jitter=2', "there is no option 'jitter'. It is called 'augment.crop' now."),
        ("runs.student.data.augment={'mixup': 0.2}", "reads 'batch.label', but data.augment mixes the images"),
        ("runs.student.terms.hard.labels=batch.target", "'batch.target', which does not exist"),
        ("runs.student.data.augment={'flip': 2}", 'data.augment.flip is 2, but it must be True or False'),
        ('runs.student.data.valid=many', "data.valid is 'many', but it must be a whole number"),
        ('runs.student.data.examples=-5', 'data.examples is -5'),
        ('runs.student.epochs=abc', "epochs is 'abc', but it must be a number, 0 or more"),
        ('runs.student.epochs=-1', 'epochs is -1'),
        ('runs.student.epochs=0.001', 'less than one step'),
        ('runs.student.epochs=1e999', 'epochs is inf'),
        ('runs.student.data.label_noise=2.0', 'data.label_noise is 2.0, but it must be a number, between 0 and 1'),
        ('runs.student.data.augment.crop=28', 'shifts images by up to 28 pixels, but they are [28, 28]'),
        ('runs.student.data.source=3', 'no data source 3'),
        ('runs.student.terms.soft.t=1e999', "term 'soft'.t is inf"),
        ("runs.student.terms.soft.t={'schedule': ['linear']}", "no schedule ['linear']"),
        ("runs.student.terms.soft.loss=['kd']", "no loss ['kd']"),
        ('runs.student.terms.soft.loss=kd_jax.losses:__all__', 'cannot be called'),
        ('runs.student.networks.student.model=3', 'no model 3'),
        ("runs.student.networks.student={'model': 'fractions:Fraction'}", 'a model must have init and apply'),
        ('runs.student.networks.student.hidden=800', 'hidden is 800, but it must be a tuple of whole numbers'),
        ('runs.student.networks.student.hidden=(0,)', 'must be a tuple of whole numbers, 1 or more'),
        ('runs.student.networks.student.num_classes=10.0', 'num_classes is 10.0, but it must be a whole number'),
        ('runs.student.networks.student.dropout=1.5', 'dropout is 1.5, but it must lie between 0 and 1'),
        ('runs.student.networks.student.dropout=half', "dropout is 'half', which is not a number"),
        ('runs.student.networks.student.copies=two', "copies is 'two', but it must be a whole number"),
        ('runs.student.networks.student.update=1', 'no update 1'),
        ("runs.student.networks.student.of=['a']", "of is ['a'], but it must be the name"),
        ('runs.student.optimizer=adam', "optimizer is 'adam', but it must be a dictionary such as"),
        ('runs.student.optimizer.name=3', 'no optimizer 3'),
        ('runs.student.optimizer.learning_rate=fast', "learning_rate is 'fast', which is not a number"),
        ('runs.teacher.optimizer.momentum=9', 'momentum is 9, but it must lie between 0 and 1'),
        ('runs.teacher.optimizer.nesterov=yes', "nesterov is 'yes', but it must be True or False"),
        ('runs.student.eval_every=often', "eval_every is 'often'"),
        ('runs.student.batch_size=0', 'batch_size is 0, but it must be a whole number, 1 or more'),
        ('runs.student.batch_size=1000', 'batch_size is 1000, but an epoch has only 300 examples'),
        ('runs.student.mesh={"data": 7}', '(data=7, fsdp=1, stack=1, tensor=1) does not fit 1 device: choose'),
        ('runs.student.epoch=3', "no option 'epoch'. Did you mean 'epochs'?"),
        ('runs.student.networks=3', 'networks is 3, but it must be a dictionary'),
        ('runs.student.terms.soft=kd', "terms.soft is 'kd', but it must be a dictionary"),
        ('runs.student.terms={}', 'has no terms'),
        ('runs.student=3', "run 'student' is 3"),
        ('runs=3', 'has no runs'),
        ('run.student.epochs=3', "Did you mean 'runs'?"),
        ('runs.student.epochs', 'write --config.runs.student.epochs=VALUE'),
        ('seeds=0', 'seeds is 0'),
        ('name=', 'has no name'),
        ('name=3', 'has no name: set config.name to a string'),
        ('seeds=True', 'seeds is True'),
        ('sedes=1', "Did you mean 'seeds'?"),
        ("runs.student.resources={'gpus': 1}", "there is no 'gpus'. Did you mean 'gpu'?"),
        ("runs.student.resources={'cpu': -1}", 'resources.cpu is -1, but it must be a number, 0 or more'),
        ("runs.student.analyses={'a': {'analysis': 'soft_target'}}", "Did you mean 'soft_targets'?"),
    ],
)  # fmt: skip
def test_a_bad_config_is_refused_in_one_sentence_before_anything_is_written(override, said, tmp_path, capsys):
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, f'--config.{override}')
    assert said in sentence
    assert not (tmp_path / 'work').exists()


def test_labels_out_of_range_are_refused_with_the_first_of_them(tmp_path, capsys):
    image, label = np.zeros((50, 4, 4), np.uint8), np.arange(50) % 10
    np.savez(tmp_path / 'own.npz', train_image=image, train_label=label, test_image=image, test_label=label)
    data = {'source': 'npz', 'path': str(tmp_path / 'own.npz'), 'num_classes': 5}
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, f'--config.runs.teacher.data={data}')
    assert 'training labels: 5 (example 5, 25 in all) is not in [0, 5)' in sentence
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('changed', 'said'),
    [
        ({'train_label': np.arange(50) % 5 / 1}, 'training labels are float64 of shape [50], but they must be whole'),
        ({'train_label': np.eye(5, dtype=int)[np.arange(50) % 5]}, 'training labels are int64 of shape [50, 5]'),
        ({'test_label': np.array(['cat'] * 50)}, 'test labels are <U3 of shape [50], but they must be whole'),
        ({'train_image': np.full((50, 4, 4), np.nan)}, 'some of the training images are NaN or infinite'),
        (
            {'test_image': np.zeros((50, 5, 4))},
            'image has shape [4, 4] in the training arrays but [5, 4] in the test arrays',
        ),
        ({'test_label': np.int64(3)}, "'test_label': 'one number'"),
    ],
)
def test_arrays_that_a_run_would_stumble_over_are_refused_before_it_starts(changed, said, tmp_path, capsys):
    image, label = np.zeros((50, 4, 4), np.uint8), np.arange(50) % 5
    arrays = {'train_image': image, 'train_label': label, 'test_image': image, 'test_label': label}
    np.savez(tmp_path / 'own.npz', **{**arrays, **changed})
    data = {'source': 'npz', 'path': str(tmp_path / 'own.npz'), 'num_classes': 5}
    assert said in refusal(capsys, tmp_path / 'work', CONFIG, f'--config.runs.teacher.data={data}')
    assert not (tmp_path / 'work').exists()


def test_the_number_of_classes_of_a_file_is_a_whole_number(tmp_path, capsys):
    image, label = np.zeros((9, 4, 4), np.uint8), np.zeros(9, int)
    np.savez(tmp_path / 'own.npz', train_image=image, train_label=label, test_image=image, test_label=label)
    data = {'source': 'npz', 'path': str(tmp_path / 'own.npz'), 'num_classes': 'five'}
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, f'--config.runs.teacher.data={data}')
    assert "data.num_classes is 'five', but it must be a whole number" in sentence


def test_a_mistyped_option_is_named_before_the_one_that_it_leaves_out(capsys):
    for command in (generate, export):
        assert command.main(['--workdri=x', '--run=student']) == 2
        assert 'unknown argument --workdri=x (did you mean --workdir?)' in ''.join(capsys.readouterr())


def test_an_unknown_file_variant_glob_or_argument_is_refused(tmp_path, capsys):
    assert "Did you mean 'tiny_config.py'?" in refusal(capsys, tmp_path / 'work', CONFIG.replace('tiny', 'tinny'))
    assert "no variant 'papre'" in refusal(capsys, tmp_path / 'work', f'{CONFIG}:papre')
    assert "Did you mean 'student'?" in refusal(capsys, tmp_path / 'work', CONFIG, '--only=studnt')
    unknown = refusal(capsys, tmp_path / 'work', CONFIG, '--workdri=x')
    assert 'unknown argument --workdri=x (did you mean --workdir?)' in unknown
    assert "invalid int value: 'two'" in refusal(capsys, tmp_path / 'work', CONFIG, '--workers=two')
    assert '--only= names no run' in refusal(capsys, tmp_path / 'work', CONFIG, '--only=')
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (
            ['--workers=4'],
            '--workers=4 is for --executor=processes, but the executor is in_process: set --executor=proc',
        ),
        (
            ['--executor=processes', '--ray_address=auto'],
            '--ray_address=auto is for --executor=ray, but the executor is',
        ),
        (['--executor=processes', '--workers=0'], '--workers=0: it must be 1 or more, the number of worker processes'),
        (['--executor=ray', '--ray_address=127.0.0.1:1'], 'no Ray cluster answers at 127.0.0.1:1 ([Errno 111]'),
        (['--executor=ray', '--ray_address=head'], "--ray_address=head is neither 'auto' nor 'host:port'"),
    ],
)
def test_an_executor_that_cannot_be_had_is_refused_before_anything_is_written(arguments, said, tmp_path, capsys):
    if '--executor=ray' in arguments:
        pytest.importorskip('ray')
    assert said in refusal(capsys, tmp_path / 'work', CONFIG, *arguments)
    assert not (tmp_path / 'work').exists()


def test_ray_that_is_not_installed_is_refused_with_the_way_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    sentence = refusal(capsys, tmp_path / 'work', CONFIG, '--executor=ray')
    assert "Ray, which is not installed: pip install '.[ray]'" in sentence


def test_a_teacher_that_was_never_trained_is_a_missing_checkpoint(tmp_path, capsys):
    (tmp_path / 'other' / 'checkpoints').mkdir(parents=True)
    init = f'--config.runs.student.networks.teacher.init={tmp_path / "other"}'
    assert 'holds no checkpoint; train that run first' in refusal(capsys, tmp_path / 'work', CONFIG, init)


def test_a_work_directory_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert 'is a file, not a directory; choose another' in refusal(capsys, tmp_path / 'file' / 'work', CONFIG)
