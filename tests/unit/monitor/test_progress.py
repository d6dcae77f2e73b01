import io
import math

import pytest

from sweep.monitor.estimator import Estimator
from sweep.monitor.progress import Progress
from sweep.monitor.tally import Tally
from sweep.monitor.view import speed
from sweep.spec.spec import SweepSpec
from sweep.storage.heartbeat import LIVE_FILE, Running, Sign, read_sign
from sweep.storage.sweep_files import SweepFiles
from sweep.text import duration

TWO = [Running("here", "cpu", 2, 8)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def rows(ok, failed=0, first=0):
    return [
        {"sigma_w": 1.0, "sigma_b": 0.1, "depth": 5, "seed": first + i, "status": "failed" if i >= ok else "ok"}
        | {"margin": None if i >= ok else 0.1, "margin_censored": False, "error": "no\nluck" if i >= ok else ""}
        for i in range(ok + failed)
    ]


def test_counts_what_was_there_and_what_is_new():
    stream = io.StringIO()
    with Progress(SweepSpec(), 64, rows(10, 1), stream=stream) as progress:
        progress.start(2, 4)
        progress.measured(rows(5, 1, first=100))
        progress.refresh(lambda: TWO)
    lines = stream.getvalue().splitlines()
    assert "64 points, 2 trials at once, up to 4 points per pack" in lines[0]
    assert "15/64 done  8 running  2 failed" in lines[1]
    assert "15/64 done  0 running" in lines[-1] and len(lines) == 3


def test_each_point_counts_once_and_its_measurement_before_its_failure():
    tally = Tally(rows(2, 2))
    assert (tally.done, tally.failed, tally.last_error, len(tally.measured)) == (2, 2, "no luck", 2)
    tally.add(rows(3, 1))  # the third is measured at last
    assert (tally.done, tally.failed, len(tally.measured)) == (3, 1, 3)
    tally.add(rows(2, 2))  # a part that is read late: what is measured stays measured
    assert (tally.done, tally.failed, len(tally.measured)) == (3, 1, 3)


def test_the_rate_is_that_of_late(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    tally = Tally(rows(50))
    assert tally.rate == 0
    tally.begin()
    for i in range(100):  # fast at first
        now += 1
        tally.add(rows(4, first=1000 + 4 * i))
    assert tally.rate == pytest.approx(4, rel=0.05)
    for i in range(100):
        now += 10
        tally.add(rows(1, first=2000 + i))
    assert tally.rate == pytest.approx(0.1, rel=0.05)
    now += 1000  # nothing comes in any more
    assert tally.rate < 0.01


def test_one_line_is_redrawn_where_a_terminal_can_do_no_more(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(SweepSpec(), 4, rows(4), stream=stream) as progress:
        progress.start(1, 1)
        for _ in range(5):
            progress._refreshed_time = progress._drawn_time = -math.inf
            progress.refresh(lambda: TWO, "WAITING FOR THE STORAGE: the disk is full " * 20)
    output = stream.getvalue()
    assert output.count("\n") == 1 and "\x1b" not in output
    lines = output.rstrip("\n").split("\r")
    assert len(lines) == 8 and max(map(len, lines)) == 79 and "WAITING FOR THE STORAGE: the disk is full" in lines[3]


def test_what_is_running_is_not_asked_for_at_every_step():
    asked = []
    with Progress(SweepSpec(), 4, [], stream=io.StringIO()) as progress:
        progress.start(1, 1)
        for _ in range(1000):
            progress.refresh(lambda: asked.append(1) or TWO)
    assert len(asked) == 1


def test_the_critical_line_so_far(make_sweep):
    results = make_sweep()
    stream = io.StringIO()
    progress = Progress(results.spec, 64, results.store.read().rows.to_pylist(), stream=stream)
    progress.start(1, 1)
    progress.refresh(lambda: TWO)
    with progress._estimator._busy:  # a thread is at it
        pass
    progress._refreshed_time = progress._drawn_time = -math.inf
    progress.refresh(lambda: TWO)
    assert "critical σw(0.55) = 1.3" in stream.getvalue()  # 1.1 + 0.5 * 0.55 in the made-up landscape


def test_a_fault_of_the_estimate_stops_nothing(monkeypatch):
    monkeypatch.setattr("sweep.model.estimate.PhaseModel", lambda *a: 1 / 0)
    estimator = Estimator(SweepSpec(), Tally(rows(20)))
    estimator.update()
    with estimator._busy:
        pass
    assert estimator.outline is None and estimator.estimates == []


def test_signs_of_life_come_and_go(tmp_path):
    files = SweepFiles(tmp_path)
    with Progress(SweepSpec(), 64, [], locations=[str(tmp_path)], quiet=True) as progress:
        progress.note("starting Ray")
        while (sign := read_sign([files])) is None:
            pass
        assert sign.note == "starting Ray" and sign.is_fresh and not sign.is_dead
    assert not (tmp_path / LIVE_FILE).exists() and list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_stops_nothing(tmp_path):
    with Progress(SweepSpec(), 64, [], locations=[str(tmp_path / "missing"), "s3://k:s@b"], quiet=True) as progress:
        progress.note("starting Ray")
    assert isinstance(progress._sign(), Sign)


def test_quiet_says_nothing():
    stream = io.StringIO()
    with Progress(SweepSpec(), 4, [], quiet=True, stream=stream) as progress:
        progress.start(1, 1)
        progress.measured(rows(2))
        progress.refresh(lambda: TWO)
        progress.say("nothing")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3600, "1 h 00 min"), (7500, "2 h 05 min"), (1e6, "11 days")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(12.34, "12.3 points/s"), (0.5, "30.0 points/min"), (0.01, "36.0 points/h"), (0, "0.0 points/s")]
)
def test_speed(rate, text):
    assert speed(rate) == text
