"""The memory of the machine and of its devices."""

import types

import jax
import pytest

from kd_jax.devices import memory
from kd_jax.devices.memory import device_bytes, host_bytes
from kd_jax.devices.mesh import make_mesh


def test_the_limit_of_a_container_counts_if_it_is_smaller_than_the_memory_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, 'LIMITS', ())
    whole = host_bytes()
    assert whole > 2**28
    for text, wanted in (('1048576\n', 2**20), ('max\n', whole), (f'{2**62}', whole), ('0', whole)):
        (tmp_path / 'memory.max').write_text(text)
        monkeypatch.setattr(memory, 'LIMITS', (str(tmp_path / 'memory.max'), str(tmp_path / 'missing')))
        assert host_bytes() == wanted


def test_the_devices_of_a_cpu_share_the_memory_of_the_machine():
    devices = jax.devices('cpu')  # also where there is an accelerator
    assert device_bytes(make_mesh({}, devices, 'c')) == host_bytes() // len(devices)


def unknown():
    raise RuntimeError('described, not present')


@pytest.mark.parametrize(
    ('stats', 'wanted'), [(lambda: {'bytes_limit': 7}, 7), (lambda: None, None), (lambda: {}, None), (unknown, None)]
)
def test_an_accelerator_says_itself_what_it_has(stats, wanted):
    device = types.SimpleNamespace(platform='gpu', memory_stats=stats)
    assert device_bytes(types.SimpleNamespace(local_devices=[device])) == wanted
    assert device_bytes(types.SimpleNamespace(local_devices=[])) is None
