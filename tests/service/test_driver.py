import json
import subprocess
import sys
from collections import Counter

from tests.helpers import ROOT

WITNESS = ROOT / "tests" / "helpers" / "witness.py"


def test_a_worker_that_is_slow_to_start_is_waited_for(tmp_path):
    """As on a node that joins, while trials of milliseconds go on; Tune itself would kill it for each of them."""
    spec = {"points": 240, "search": "sobol", "pack": 1, "depth": (1, 3), "concurrency": 2}
    command = [sys.executable, WITNESS, tmp_path, "1", "4", json.dumps(spec)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    notes = [json.loads(p.read_text()) for p in (tmp_path / "notes").iterdir()]
    of_process = Counter(note["process"] for note in notes)
    assert len(notes) == 240 and len(of_process) == 2 and min(of_process.values()) > 20, of_process
