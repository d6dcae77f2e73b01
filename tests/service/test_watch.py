"""Watching a sweep whose driver is another process."""

import io
import subprocess
import sys
import threading
import time

from sweep.monitor import watch as watch_module
from sweep.monitor.watch import watch
from sweep.spec.spec import SweepSpec
from sweep.storage.heartbeat import LIVE_FILE


def test_a_driver_that_is_killed(make_sweep, monkeypatch):
    """Its last sign is fresh, but its process is known to be gone."""
    monkeypatch.setattr(watch_module, "_DISK_INTERVAL_S", 0.05)
    monkeypatch.setattr(watch_module, "_LOG_INTERVAL_S", 0.1)
    results = make_sweep(SweepSpec(points=64), count=12)
    code = f"""
import time
from sweep.storage.heartbeat import Heartbeat, Sign
from sweep.storage.lock import locked
with locked({str(results.path)!r}):
    beat = Heartbeat([{str(results.path)!r}], lambda: Sign(rate=1.0))
    time.sleep(600)
"""
    driver = subprocess.Popen([sys.executable, "-c", code])
    while not (results.path / LIVE_FILE).exists():
        assert driver.poll() is None
        time.sleep(0.05)
    stream, codes = io.StringIO(), []
    watcher = threading.Thread(target=lambda: codes.append(watch(results.path, stream)))
    watcher.start()
    end = time.monotonic() + 30
    while "1.0 points/s" not in stream.getvalue():
        assert watcher.is_alive() and time.monotonic() < end
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    watcher.join(60)
    assert codes == [1] and "the driver has stopped, 52 points are missing" in stream.getvalue()
    assert (results.path / LIVE_FILE).exists()  # nobody was there to remove it
