import os
import signal
import subprocess
import sys

import pytest

from sweep.lock import is_running, locked
from sweep.spec import SpecError


def test_the_second_driver_is_told_who_holds_it(tmp_path):
    with locked(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(SpecError, match=f"is being run by process {os.getpid()} on "), locked(tmp_path):
            pass
        assert is_running(tmp_path)
    assert not is_running(tmp_path)


def test_a_dead_driver_holds_nothing(tmp_path):
    code = f"""
from pathlib import Path
from sweep.lock import locked
with locked(Path({str(tmp_path)!r})):
    print(1, flush=True)
    input()
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    driver.stdout.readline()
    assert is_running(tmp_path)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    driver.stdin.close()
    with locked(tmp_path):
        pass


def test_no_sweep_is_not_running(tmp_path):
    assert not is_running(tmp_path)
