"""The launch scripts: what they would do, and what they do when a slice is taken away from them by a scripted cloud."""

import pathlib
import shlex
import subprocess
import sys

import pytest
import yaml

LAUNCH = pathlib.Path(__file__).parents[2] / 'experiments' / 'launch'
PLACE = ['--project=my-project', '--zone=us-west4-a', '--bucket=my-bucket', '--name=study']
VM = [str(LAUNCH / 'tpu_vm.sh'), *PLACE, '--topology=v5e:4x4', '--spot']
XPK = [str(LAUNCH / 'xpk.sh'), *PLACE, '--cluster=my-cluster', '--topology=v5e:4x4']
STUDY = ['--', '--config=configs/hinton_mnist.py:paper', '--only=a b']


def printed(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize('script', sorted(LAUNCH.glob('*.sh')), ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    shellcheck = pathlib.Path(sys.executable).with_name('shellcheck')
    done = subprocess.run([shellcheck, script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '')


@pytest.mark.parametrize('script', [VM, XPK], ids=['tpu_vm', 'xpk'])
def test_a_dry_run_prints_whole_commands_and_runs_none(script, tmp_path, monkeypatch):
    for name in ('gcloud', 'xpk', 'tar'):
        (tmp_path / name).write_text(f'#!/bin/sh\ntouch {tmp_path}/called\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    commands = printed([*script, '--dry-run', *STUDY])
    assert not (tmp_path / 'called').exists()
    cloud = [words for words in commands if words[0] == 'xpk' or words[:3] == ['gcloud', 'compute', 'tpus']]
    assert cloud
    for words in cloud:
        assert '--project=my-project' in words
        assert '--zone=us-west4-a' in words
        for text in (word.partition('=')[2] for word in words if word.startswith('--command=')):
            subprocess.run(['bash', '-n', '-c', text], check=True)
    started = [text for words in commands for text in words if 'experiments.run' in text]
    assert len(started) == 1
    assert shlex.split(started[0])[-2:] == ['--config=configs/hinton_mnist.py:paper', '--only=a b']


@pytest.mark.parametrize(
    ('topology', 'accelerator'),
    # v4 and v5p are named by cores, two a chip; the others by chips.
    [('v4:2x2x2', 'v4-16'), ('v5e:8x16', 'v5litepod-128'), ('v5p:2x2x4', 'v5p-32'), ('v6e:2x4', 'v6e-8')],
)
def test_slices_have_the_names_that_google_gives_them(topology, accelerator):
    (create,) = [w for w in printed([*VM, f'--topology={topology}', '--dry-run', *STUDY]) if 'create' in w]
    assert f'--accelerator-type={accelerator}' in create
    (create,) = [w for w in printed([*XPK, f'--topology={topology}', '--dry-run', *STUDY]) if 'workload' in w]
    assert f'--tpu-type={accelerator}' in create


def test_tpu7x_is_named_by_its_shape_and_only_through_gke():
    (create,) = [w for w in printed([*XPK, '--topology=tpu7x:2x2x1', '--dry-run', *STUDY]) if 'workload' in w]
    assert '--tpu-type=tpu7x-2x2x1' in create
    done = subprocess.run([*VM, '--topology=tpu7x:2x2x1', '--dry-run', *STUDY], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'xpk.sh' in done.stderr


@pytest.mark.parametrize('script', [VM, XPK], ids=['tpu_vm', 'xpk'])
@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (['--project=', *STUDY], '--project is missing'),
        (['--topology=v9:2x2', *STUDY], '--topology=v9:2x2 is no slice'),
        (['--topolgy=v5e:2x2', *STUDY], 'unknown argument --topolgy=v5e:2x2'),
        ([], 'nothing to run'),
    ],
)
def test_mistakes_are_one_sentence(script, given, message):
    done = subprocess.run([*script, '--dry-run', *given], capture_output=True, text=True)
    assert done.returncode == 2
    assert not done.stdout
    assert message in done.stderr
    assert done.stderr.count('\n') == 1


CLOUD = """#!/bin/bash
echo "$*" >> {log}
case $* in
  *describe*) [[ -s {slice} ]] && cat {slice} || exit 1 ;;
  *'queued-resources create'*) echo ACTIVE > {slice} ;;
  *'queued-resources delete'*) rm {slice} ;;
  *experiments.run*) {study} ;;
esac
"""


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """`cloud(study)`: runs tpu_vm.sh where gcloud is a script that notes its calls; `study` stands for the run."""
    log, slice_ = tmp_path / 'log', tmp_path / 'slice'

    def launch(study):
        (tmp_path / 'gcloud').write_text(CLOUD.format(log=log, slice=slice_, study=study.format(slice=slice_, log=log)))
        (tmp_path / 'sleep').write_text('#!/bin/sh\n')
        for name in ('gcloud', 'sleep'):
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
        done = subprocess.run([*VM, *STUDY], capture_output=True, text=True, cwd=tmp_path, timeout=60)
        calls = [line for line in log.read_text().splitlines() if 'describe' not in line]
        kinds = ('create', 'scp', 'experiments.run', 'rsync', 'delete')
        return done.returncode, [kind for line in calls for kind in kinds if kind in line]

    return launch


def test_a_study_is_run_fetched_and_its_slice_deleted(cloud):
    assert cloud('true') == (0, ['create', 'scp', 'experiments.run', 'rsync', 'delete'])


def test_a_preempted_study_goes_on_on_another_slice(cloud):
    taken = 'if [[ $(grep -c experiments.run {log}) == 1 ]]; then echo SUSPENDED > {slice}; exit 255; fi'
    once = ['create', 'scp', 'experiments.run']
    assert cloud(taken) == (0, [*once, 'delete', *once, 'rsync', 'delete'])


def test_a_study_that_fails_by_itself_is_not_repeated_and_keeps_its_slice(cloud):
    assert cloud('exit 2') == (2, ['create', 'scp', 'experiments.run'])


def test_a_slice_that_is_there_is_taken(cloud, tmp_path):
    (tmp_path / 'slice').write_text('ACTIVE\n')
    assert cloud('true') == (0, ['scp', 'experiments.run', 'rsync', 'delete'])


def test_the_ray_cluster_has_workers_with_as_many_tpus_as_their_slice():
    cluster = yaml.safe_load((LAUNCH / 'ray_cluster.yaml').read_text())
    worker = cluster['available_node_types']['tpu']
    assert worker['node_config']['acceleratorType'] == f'v5litepod-{worker["resources"]["TPU"]}'
    assert cluster['head_node_type'] in cluster['available_node_types']
    for key, value in cluster.items():
        for text in value if key.endswith('commands') else ():
            subprocess.run(['bash', '-n', '-c', text], check=True)
