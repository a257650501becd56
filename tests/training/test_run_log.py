"""The log of a run: metrics.jsonl and TensorBoard files."""

import json
import struct

import pytest
from tensorboardX.proto import event_pb2

from kd_jax.config.errors import UserError
from kd_jax.training.run_log import RunLog, read_history


def row(step):
    return {'step': step, 'terms': {'hard': step / 2}}


def events(path):
    """Reads the events of a TFRecord file: length (8 bytes), its checksum (4), event, checksum of the event (4)."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack('<Q', data[:8])
        found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def logged(directory, *steps):
    writer = RunLog(directory, 0, [])
    for step in steps:
        writer.write(row(step))
    writer.close()
    return directory / 'metrics.jsonl'


def test_a_resumed_run_drops_what_it_had_logged_after_its_step(tmp_path, caplog):
    path = logged(tmp_path, 10, 20, 30)
    resumed = RunLog(tmp_path, 20, [row(10), row(20)])
    assert resumed.history == [row(10), row(20)]
    resumed.write({'step': 30, 'terms': {'hard': float('inf')}})
    resumed.close()
    rows = [row(10), row(20), {'step': 30, 'terms': {'hard': None}}]
    assert read_history(path) == rows == resumed.history
    assert not caplog.records


DAMAGES = {
    'a digit is edited': lambda text: text.replace('5.0', '5.1'),
    'a line is lost': lambda text: text.partition('\n')[2],
    'it ends too early': lambda text: text.partition('\n')[0] + '\n',
    'it is not UTF-8': lambda text: text + '\udcff\n',
    'it is empty': lambda text: '',
    'a line is a number': lambda text: '3\n' + text,
    'a line has no step': lambda text: '{}\n' + text,
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_file_is_written_anew_from_the_history_of_the_checkpoint(damage, tmp_path, caplog):
    path = logged(tmp_path, 10, 20)
    path.write_bytes(DAMAGES[damage](path.read_text()).encode('utf-8', 'surrogateescape'))
    RunLog(tmp_path, 20, [row(10), row(20)]).close()
    assert read_history(path) == [row(10), row(20)]
    assert f'{path} is damaged or missing; it is written anew from the checkpoint.' in caplog.text


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('3', 'line 1 is damaged: expected object, got int'),
        ('{"epoch": 1.0}', 'line 1 is damaged: object missing required field step'),
        ('{"step": 1', 'line 1 is damaged'),
        ('{"step": 1, "valid": {"net": 2}}', r'line 1 is damaged: valid\.net: expected object, got int'),
    ],
)
def test_a_row_that_is_none_is_one_sentence(line, message, tmp_path):
    path = tmp_path / 'metrics.jsonl'
    path.write_text(f'{line}\n')
    with pytest.raises(UserError, match=rf'metrics.jsonl, {message}.*; delete it together with the checkpoints'):
        read_history(path)


def test_tensorboard_sees_every_number_at_its_step_and_where_a_resumed_run_begins(tmp_path):
    writer = RunLog(tmp_path, 20, [])
    writer.write({'step': 30, 'terms': {'hard': 0.5, 'soft': float('nan')}, 'by': 'map'})
    (path,) = (tmp_path / 'tensorboard').iterdir()
    _, start, row = events(path)  # flushed although the writer is still open; the first event is the file version
    writer.close()
    assert (start.step, start.session_log.status) == (21, event_pb2.SessionLog.START)
    assert row.step == 30
    assert {value.tag: value.simple_value for value in row.summary.value} == {'step': 30.0, 'terms/hard': 0.5}


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    path.write_text(json.dumps(row(10)) + '\n' + json.dumps(row(20))[:-7])
    assert read_history(path) == [row(10)]


def test_there_is_no_history_without_a_file(tmp_path):
    assert read_history(tmp_path / 'metrics.jsonl') == []
