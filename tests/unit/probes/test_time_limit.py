"""A limit to the time that points may take."""

import signal
import threading
import time

import pytest
from torch import nn

from probes import Custom, Point, ProbeSettings, measure
from probes.time_limit import TimeLimitError, interrupt, time_limit
from tests.unit.probes.test_custom import drawn_in_order


def test_what_takes_too_long_is_interrupted():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeLimitError, match=r"longer than the 0\.1 s that `timeout` allows"), time_limit(0.1):
        time.sleep(60)
    with time_limit(60):
        pass
    with time_limit(None):
        pass
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_error_of_its_own_passes():
    with pytest.raises(ZeroDivisionError), time_limit(60):
        1 / 0  # noqa: B018


def test_a_thread_is_interrupted():
    def work():
        while True:
            time.sleep(0.01)

    class Stop(BaseException):
        pass

    caught = []
    thread = threading.Thread(target=lambda: caught.append(pytest.raises(Stop, work)), daemon=True)
    thread.start()
    interrupt(thread, Stop)
    thread.join(20)
    assert caught


def never(depth, shape, classes):
    while True:
        time.sleep(0.01)


class Hanging(nn.Module):
    """A module that hangs as soon as it sees more images than it is tried with."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        while len(x) > 4:
            try:
                time.sleep(0.01)
            except Exception:
                pass
        return self.made(x)


def hanging(depth, shape, classes):
    made = drawn_in_order(depth, shape, classes)
    return nn.Sequential(*made[:2], Hanging(made[2])), [layer for layer in made[1]]


def hanging_first(depth, shape, classes):
    made = drawn_in_order(depth, shape, classes)
    return Hanging(made), [layer for layer in made[1]]


@pytest.mark.parametrize("function", [never, hanging_first])
def test_a_point_that_takes_too_long_has_failed(digits, function):
    threads = threading.active_count()
    settings = ProbeSettings("direct", images=64, timeout=0.5)
    points = [Point(1.0, 0.1, 3, seed) for seed in range(2)]
    for m in measure(points, digits, settings, network=Custom(function)):
        assert (m.status, m.error) == ("failed", "TimeLimitError: it took longer than the 0.5 s that `timeout` allows")
    deadline = time.monotonic() + 20
    while threading.active_count() > threads:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_comes_after_the_last_layer_is_not_computed(digits):
    (m,) = measure([Point(1.0, 0.1, 3)], digits, ProbeSettings("direct", images=64, timeout=30), network=hanging)
    assert m.status == "ok"


def test_points_in_time_are_not_touched(digits):
    points = [Point(1.3, 0.1, 5, seed) for seed in range(2)]
    with_limit, without = (measure(points, digits, ProbeSettings("direct", images=64, timeout=t)) for t in (60, None))
    assert [m.values["direct_horizon"] for m in with_limit] == [m.values["direct_horizon"] for m in without]
    with pytest.raises(ValueError, match="`timeout` must be positive"):
        ProbeSettings(timeout=0)
