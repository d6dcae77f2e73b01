"""One driver to a sweep: the lock of a folder, and the lease where there is none."""

import errno
import fcntl
import json
import os
import threading
import time

import pytest
from pyarrow import fs

from sweep.errors import SpecError
from sweep.processes import myself
from sweep.storage import files
from sweep.storage.lease import Lease
from sweep.storage.lock import LOCK_FILE, is_running, locked
from tests.helpers.store_contract import FlakyDisk

LOCAL = fs.LocalFileSystem()


def test_the_second_driver_is_told_who_holds_it(tmp_path):
    with locked(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(SpecError, match=f"is being run by process {os.getpid()} on "), locked(tmp_path):
            pass
        assert is_running(tmp_path)
    assert not is_running(tmp_path)


def test_no_sweep_is_not_running(tmp_path):
    assert not is_running(tmp_path)


def test_a_link_is_not_followed(tmp_path):
    """Taking the lock writes to the file."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / LOCK_FILE).symlink_to(victim)
    with pytest.raises(SpecError, match="cannot be written"), locked(tmp_path):
        pass
    assert victim.read_text() == "mine" and not is_running(tmp_path)


@pytest.fixture
def without_flock(monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(Lease, "settling_s", 0.0)


def test_a_filesystem_without_locks_gets_a_lease(tmp_path, without_flock):
    assert not is_running(tmp_path)
    with locked(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(SpecError, match=f"is being run by process {os.getpid()} on "), locked(tmp_path):
            pass
        assert is_running(tmp_path)
    assert not is_running(tmp_path) and os.listdir(tmp_path) == []


def lease(tmp_path, expiry_s=0.5, settling_s=0.0, filesystem=LOCAL):
    lease = Lease(filesystem, str(tmp_path / LOCK_FILE), "the sweep")
    lease.renewal_interval_s, lease.expiry_s, lease.settling_s = 0.05, expiry_s, settling_s
    return lease


def elsewhere(tmp_path, age=0.0, **more):
    """A sign of life of a driver on another machine."""
    path = tmp_path / LOCK_FILE
    path.write_text(json.dumps({"id": "x", "holder": "process 7 on far", "host": "far", "process": 7, **more}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_lease_that_is_renewed_lives_and_one_that_is_not_dies(tmp_path):
    with lease(tmp_path).held():
        time.sleep(1.2)  # longer than a lease that is not renewed
        with pytest.raises(SpecError, match="'the sweep' is being run by process"), lease(tmp_path).held():
            pass
    elsewhere(tmp_path, age=0.2)
    with pytest.raises(SpecError, match="is being run by process 7 on far"), lease(tmp_path).held():
        pass
    elsewhere(tmp_path, age=0.6)
    assert not lease(tmp_path).is_held()
    with lease(tmp_path).held():
        assert lease(tmp_path).is_held()


def test_a_process_of_this_machine_that_ended_holds_no_lease(tmp_path):
    """At once; a process that was given its number since then is not taken for it."""
    here, patient = myself(), lease(tmp_path, expiry_s=60)
    if not here["host"]:
        pytest.skip("needs /proc")
    elsewhere(tmp_path, **here)
    assert patient.is_held()
    elsewhere(tmp_path, **{**here, "started": "1"})
    assert not patient.is_held()
    elsewhere(tmp_path, **{**here, "started": "1", "host": "another container"})
    assert patient.is_held()


def test_of_four_at_once_one_gets_it(tmp_path):
    got, refused, together = [], [], threading.Barrier(4)

    def reach():
        together.wait()
        try:
            with lease(tmp_path, settling_s=0.5, expiry_s=30).held():
                got.append(1)
                time.sleep(1)
        except SpecError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=reach) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == 3


def test_a_holder_that_slept_too_long_is_stopped(tmp_path):
    with pytest.raises(SpecError, match="'the sweep' was taken over by process 7 on far"):
        with lease(tmp_path).held():
            for _ in range(20):
                elsewhere(tmp_path)  # may be overwritten by a sign of life that was on its way
                time.sleep(1)
    assert "far" in (tmp_path / LOCK_FILE).read_text()  # what is another's is left


def test_ctrl_c_is_ctrl_c(tmp_path):
    with pytest.raises(KeyboardInterrupt), lease(tmp_path).held():
        raise KeyboardInterrupt
    assert not (tmp_path / LOCK_FILE).exists()


@pytest.mark.parametrize("content", [b"process 1 on x", b"[]", b'{"process": {}}', b"\xff\x00", b"[" * 4000])
def test_a_lock_that_says_nothing_is_somebodys_until_it_is_old(tmp_path, content):
    (tmp_path / LOCK_FILE).write_bytes(content)
    with pytest.raises(SpecError, match="another process"), lease(tmp_path, expiry_s=60).held():
        pass
    os.utime(tmp_path / LOCK_FILE, (0, 0))
    with lease(tmp_path).held():
        pass


class Away(FlakyDisk):
    """A storage that is away now and then."""

    away = False

    def fail(self):
        if self.away:
            raise OSError("away")


def test_a_holder_keeps_its_lease_through_an_outage(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_RETRY_DELAYS_S", ())
    disk = Away()
    held, seen = lease(tmp_path, filesystem=fs.PyFileSystem(disk)), lease(tmp_path)
    with held.held():
        disk.away = True
        deadline = time.monotonic() + 10
        while seen.is_held():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        disk.away = False
        while not seen.is_held():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not (tmp_path / LOCK_FILE).exists()
