"""The facts of a report."""

import json

from kd_jax.report.contents import facts
from kd_jax.report.result_files import load_results


def test_what_was_run_tells_seeds_time_and_uncommitted_changes(study_dir):
    path = study_dir / 'results' / 'student-s1.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'dirty': True, 'seconds': 3000.0}))
    found = facts(*load_results(study_dir))
    assert found['seeds'] == '0 to 2'
    assert found['commit'] == 'abcdef012345; 1 of 9 with uncommitted changes'
    assert found['time'] == '58 min 00 s in total'  # 8 minutes and 3000 s
    assert found['time per run'] == '1 min 00 s (median), 1 min 00 s to 50 min 00 s'
