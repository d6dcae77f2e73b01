import io

import pytest

from sweep.progress import Progress, duration
from sweep.spec import SweepSpec


class Terminal(io.StringIO):
    def isatty(self):
        return True


def rows(ok, failed=0):
    return [{"status": "ok"}] * ok + [{"status": "failed"}] * failed


def test_counts_what_was_there_and_what_is_new(tmp_path):
    stream = io.StringIO()
    with Progress(SweepSpec(), 64, rows(10, 1), None, stream=stream) as progress:
        progress.start(2, 4)
        progress._next_estimate = float("inf")
        progress.measured(rows(5, 1))
        progress.refresh(8)
    lines = stream.getvalue().splitlines()
    assert "64 points, 2 trials at once, 4 points a pack" in lines[0]
    assert "15/64 done  8 running  2 failed" in lines[1]
    assert "15/64 done  0 running" in lines[-1]


def test_one_line_is_redrawn_on_a_terminal(tmp_path):
    stream = Terminal()
    with Progress(SweepSpec(), 4, rows(4), None, stream=stream) as progress:
        progress.start(1, 1)
        for _ in range(5):
            progress._drawn = 0
            progress.refresh(1)
    assert stream.getvalue().count("\n") == 1


def test_the_critical_line_so_far(make_sweep):
    results = make_sweep()
    stream = io.StringIO()
    progress = Progress(results.spec, 64, [], results.store, stream=stream)
    progress.start(1, 1)
    progress.measured(rows(1))
    progress.refresh(1)
    with progress._estimating:  # a thread is at it
        pass
    progress._drawn = 0.0
    progress.refresh(1)
    assert "critical σw(0.55) = 1.3" in stream.getvalue()  # 1.1 + 0.5 * 0.55 in the made-up landscape


def test_quiet_says_nothing():
    stream = io.StringIO()
    with Progress(SweepSpec(), 4, [], None, quiet=True, stream=stream) as progress:
        progress.start(1, 1)
        progress.measured(rows(2))
        progress.refresh(1)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3600, "1 h 00 min"), (7500, "2 h 05 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
