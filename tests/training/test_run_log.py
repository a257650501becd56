"""The log of a run: metrics.jsonl and TensorBoard files."""

import json
import struct

from tensorboardX.proto import event_pb2

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


def test_a_resumed_run_drops_what_it_had_logged_after_its_step(tmp_path):
    writer = RunLog(tmp_path, 0)
    for step in (10, 20, 30):
        writer.write(row(step))
    writer.close()
    resumed = RunLog(tmp_path, 20)
    assert resumed.history == [row(10), row(20)]
    resumed.write({'step': 30, 'terms': {'hard': float('inf')}})
    resumed.close()
    rows = [row(10), row(20), {'step': 30, 'terms': {'hard': None}}]
    assert read_history(tmp_path / 'metrics.jsonl') == rows == resumed.history


def test_tensorboard_sees_every_number_at_its_step_and_where_a_resumed_run_begins(tmp_path):
    writer = RunLog(tmp_path, 20)
    writer.write({'step': 30, 'terms': {'hard': 0.5, 'soft': float('nan')}, 'by': 'map'})
    (path,) = (tmp_path / 'tensorboard').iterdir()
    _, start, row = events(path)  # flushed although the writer is still open; the first event is the file version
    writer.close()
    assert (start.step, start.session_log.status) == (21, event_pb2.SessionLog.START)
    assert row.step == 30
    assert {value.tag: value.simple_value for value in row.summary.value} == {'step': 30.0, 'terms/hard': 0.5}


def test_a_line_that_was_cut_off_is_dropped_and_written_over(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    path.write_text(json.dumps(row(10)) + '\n' + json.dumps(row(20))[:-7])
    assert read_history(path) == [row(10)]
    writer = RunLog(tmp_path, 20)
    writer.write(row(20))
    writer.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [row(10), row(20)]


def test_there_is_no_history_without_a_file(tmp_path):
    assert read_history(tmp_path / 'metrics.jsonl') == []
