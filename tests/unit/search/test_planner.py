import threading
import time

import pytest

from sweep.search.journal import open_study
from sweep.search.planner import Planner
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from tests.helpers.study import places, rows_of


class Slow(SweepStudy):
    """Thinks for a while, and says in which thread."""

    seconds = 0.0

    def ask(self, count):
        time.sleep(self.seconds)
        self.thread = threading.current_thread().name
        return super().ask(count)


@pytest.fixture
def make(tmp_path):
    planners = []

    def make(spec, seconds=0.0, slots=1, pack=4):
        study = Slow(spec, tmp_path)
        study.seconds = seconds
        planners.append(Planner(study, lambda: pack, lambda: slots))
        return planners[-1]

    yield make
    for planner in planners:
        planner.close()


def first(count):
    return lambda groups: range(min(count, len(groups)))


def settled(value, expected):
    """Return a value a moment after it has become what is expected, or never did."""
    end = time.monotonic() + 20
    while value() < expected and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    return value()


def drain(planner):
    rows = []
    while points := planner.take(first(4), wait=10):
        rows += (new := rows_of(points))
        planner.tell(new)
    return rows


@pytest.mark.parametrize("search", ["boundary", "sobol", "grid", "random", "tpe"])
def test_every_point_once(make, search):
    rows = drain(make(SweepSpec(points=27, search=search)))
    assert len(rows) == len(places(rows)) == 27


def test_a_pack_is_ready_before_it_is_asked_for(make):
    planner = make(SweepSpec(points=40, search="sobol"), seconds=0.3)
    assert len(planner.take(first(4), wait=10)) == 4
    settled(planner._ready_count, 4)
    started = time.monotonic()
    assert len(planner.take(first(4), wait=10)) == 4
    assert time.monotonic() - started < 0.1 and planner._study.thread == "planner"
    assert planner.take(first(4), wait=0) is None  # thinking


def test_holds_one_pack_ahead_and_no_more_when_it_thinks_fast(make):
    planner = make(SweepSpec(points=64), slots=3)
    for packs in range(1, 5):
        assert len(planner.take(first(4), wait=10)) == 4
        # What is told next counts for all others. At first all devices are about to ask.
        assert settled(lambda: planner._study.places_handed_out, 4 * max(packs + 1, 3)) == 4 * max(packs + 1, 3)


def test_thinks_of_several_packs_at_once_where_it_is_waited_for_and_only_there(make):
    planner = make(SweepSpec(points=200, search="sobol"), seconds=0.1)
    for _ in range(16):
        assert len(planner.take(first(4), wait=10)) == 4  # at once: the points take no time
    assert planner._packs_per_ask > 1
    for _ in range(16):
        time.sleep(0.15)
        assert planner.take(first(4), wait=5)
    time.sleep(0.3)
    assert planner._packs_per_ask == 1 and planner._ready_count() == 4


def test_all_devices_have_a_pack_at_the_start(make):
    planner = make(SweepSpec(points=64), slots=5)
    assert settled(lambda: planner._study.places_handed_out, 20) == 20


def test_points_to_be_measured_again_come_first(make):
    planner = make(SweepSpec(points=12, replicas=2), pack=4)
    points = planner.take(first(2), wait=10)
    rest = planner.take(first(2), wait=10)
    planner.measure_again(points)
    assert planner.take(first(2), wait=10) == points
    planner.measure_again(rest, alone=True)
    assert [planner.take(first(2), wait=10) for _ in rest] == [[p] for p in rest]


def test_an_error_of_the_search_is_raised_where_it_is_asked(make, monkeypatch):
    def ask(self, count):
        raise ZeroDivisionError

    monkeypatch.setattr(Slow, "ask", ask)
    planner = make(SweepSpec(points=12))
    with pytest.raises(ZeroDivisionError):
        planner.take(first(4), wait=10)


def test_what_was_told_is_taken_in_before_it_stops(make, tmp_path):
    planner = make(SweepSpec(points=12), seconds=0.2)
    rows = rows_of(planner.take(first(4), wait=10))
    planner.tell(rows)
    planner.close()
    complete = [t for t in open_study(SweepSpec(points=12), tmp_path).get_trials() if t.value is not None]
    assert len(complete) == 4


def test_the_end_of_a_sweep_does_not_wait_for_a_server_that_hangs(monkeypatch):
    monkeypatch.setattr("sweep.search.planner._SHUTDOWN_TIMEOUT_S", 0.3)
    hung = threading.Event()

    class Study:
        def ask(self, count):
            hung.wait(60)
            return []

        def tell(self, rows):
            pytest.fail("it hangs")

    waiting = Planner(Study(), lambda: 1, lambda: 1)
    waiting.tell([{}])
    started = time.monotonic()
    waiting.close()
    assert time.monotonic() - started < 10
    hung.set()
