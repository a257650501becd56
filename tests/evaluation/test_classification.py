import json
import struct

import jax
import numpy as np
import pytest
from scipy.special import log_softmax
from tensorboardX.proto import event_pb2

from kd_jax.config.json_files import flat, json_value, write_json
from kd_jax.evaluation.classification import classification_rates, classification_sums
from kd_jax.training.run_log import RunLog, read_history

sums_of = jax.jit(classification_sums)


def log(*probabilities):
    return np.log(np.array(probabilities, np.float32))


def ones(n):
    return np.ones(n, bool)


def test_rates_of_three_examples_by_hand():
    logits = log([0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.05, 0.9, 0.05])
    rates = classification_rates(jax.device_get(sums_of(logits, np.array([0, 1, 1]), ones(3))))
    assert (rates['count'], rates['errors']) == (3, 1.0)
    assert rates['accuracy'] == pytest.approx(2 / 3)
    assert rates['nll'] == pytest.approx(-np.log(0.7 * 0.2 * 0.9) / 3, rel=1e-5)
    # The confidences 0.7 and 0.7 share a bin, and one of the two is right: |1.4 - 1|. The confidence 0.9 is alone in
    # its bin and right: |0.9 - 1|. Their sum is divided by 3 examples.
    assert rates['ece'] == pytest.approx((0.4 + 0.1) / 3, rel=1e-5)


def test_over_and_underconfidence_in_different_bins_do_not_cancel():
    # Confidence 0.5 is right (bin 8) and 0.9 is wrong (bin 14): (0.5 + 0.9) / 2. If the two cancelled, it would be 0.2.
    logits = log([0.5, 0.3, 0.2], [0.9, 0.05, 0.05])
    rates = classification_rates(jax.device_get(sums_of(logits, np.array([0, 1]), ones(2))))
    assert rates['ece'] == pytest.approx(0.7, rel=1e-5)


def test_full_confidence_falls_in_the_last_bin():
    logits = np.array([[200.0, 0.0], [0.0, 200.0]], np.float32)
    sums = jax.device_get(sums_of(logits, np.array([0, 0]), ones(2)))
    np.testing.assert_array_equal(sums['bin_count'], [0.0] * 14 + [2.0])
    assert classification_rates(sums)['ece'] == pytest.approx(0.5)


def test_agreement_and_divergence_from_a_teacher_by_hand():
    student, teacher = log([0.6, 0.4], [0.5, 0.5], [0.2, 0.8]), log([0.9, 0.1], [0.25, 0.75], [0.2, 0.8])
    rates = classification_rates(jax.device_get(sums_of(student, np.zeros(3, int), ones(3), teacher)))
    # The second example is a tie, which goes to class 0; the teacher predicts class 1.
    assert rates['agreement'] == pytest.approx(2 / 3)
    first = 0.9 * np.log(0.9 / 0.6) + 0.1 * np.log(0.1 / 0.4)
    second = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    assert rates['kl'] == pytest.approx((first + second) / 3, rel=1e-5)


def random_example(size, copies=(), seed=0):
    rng = np.random.default_rng(seed)
    logits, teacher = (rng.normal(size=(*copies, size, 4), scale=2).astype(np.float32) for _ in range(2))
    return logits, rng.integers(0, 4, size), ones(size), teacher


def test_sums_over_parts_add_up_to_those_of_the_whole():
    logits, labels, mask, teacher = random_example(12)
    whole = sums_of(logits, labels, mask, teacher)
    halves = [sums_of(logits[s], labels[s], mask[s], teacher[s]) for s in (slice(0, 6), slice(6, 12))]
    added = jax.tree.map(np.add, *halves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, added)


def test_masked_examples_count_nowhere():
    logits, labels, _, teacher = random_example(12)
    mask = np.arange(12) < 6
    masked, sliced = (
        sums_of(logits, labels, mask, teacher),
        sums_of(logits[:6], labels[:6], ones(6), teacher[:6]),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), masked, sliced)


def test_stacked_copies_are_pooled_and_errors_are_those_of_one():
    logits, labels, mask, _ = random_example(12, copies=(3,))
    rates = classification_rates(jax.device_get(sums_of(logits, labels, mask)), copies=3)
    wrong = logits.argmax(-1) != labels
    assert rates['count'] == 12
    assert rates['errors'] == pytest.approx(wrong.sum() / 3)
    assert rates['accuracy'] == pytest.approx(1 - wrong.mean())
    nll = -np.take_along_axis(log_softmax(logits, -1), np.broadcast_to(labels, (3, 12))[..., None], -1).mean()
    assert rates['nll'] == pytest.approx(nll, rel=1e-5)


def test_numbers_that_json_does_not_know_become_none():
    tree = {
        1: [np.float32(np.nan), np.inf, 2.5],
        'b': (np.int64(3), -np.inf),
        'c': 'nan',
        'd': {'e': None, 'f': True},
    }
    known = {'1': [None, None, 2.5], 'b': [3, None], 'c': 'nan', 'd': {'e': None, 'f': True}}
    assert json_value(tree) == known
    assert json.loads(json.dumps(json_value(tree), allow_nan=False)) == known


def test_a_json_file_is_written_whole(tmp_path):
    write_json(tmp_path / 'result.json', {'a': np.float32(1.5), 'b': float('nan')})
    assert json.loads((tmp_path / 'result.json').read_text()) == {'a': 1.5, 'b': None}
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']


def test_a_failed_write_leaves_the_old_file_and_no_part_of_a_new_one(tmp_path):
    write_json(tmp_path / 'result.json', {'a': 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / 'result.json', {'a': 2, 'b': object()})
    assert json.loads((tmp_path / 'result.json').read_text()) == {'a': 1}
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']


def row(step):
    return {'step': step, 'terms': {'hard': step / 2}}


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


def events(path):
    """Reads the events of a TFRecord file: length (8 bytes), its checksum (4), event, checksum of the event (4)."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack('<Q', data[:8])
        found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


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


def test_leaves_are_named_by_their_path():
    assert flat({'a': {'b': {'c': 1}, 'd': 2}, 'e': 3}) == {'a/b/c': 1, 'a/d': 2, 'e': 3}
