"""`sweep doctor`: what it tries in processes of their own, and that none of them stays behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.doctor import answers, checks, doctor
from sweep.doctor.answers import FAULT, OK, WARNING, Check
from sweep.execution.private_ray import MAX_FOLDER_BYTES

pytestmark = pytest.mark.usefixtures("nothing_of_the_users")


@pytest.fixture
def patient(monkeypatch):
    """For a machine that runs many tests at once."""
    monkeypatch.setattr(answers, "CHECK_TIMEOUT_S", 100.0)


def fake(folder, monkeypatch, **modules):
    """Modules in place of others, for processes to come."""
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_machine_that_is_well(patient, tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        longest = Path(place, "x" * (MAX_FOLDER_BYTES - len(place) - 1))
        longest.mkdir()
        monkeypatch.setenv("RAY_TMPDIR", str(longest))
        out = CliRunner().invoke(main, ["doctor", "--json"])
        assert not list(longest.iterdir())
    answer = json.loads(out.stdout)
    found = {c["name"]: c for c in answer["checks"]}
    assert answer["ok"] and out.exit_code == 0, answer
    assert len(found) == 13 and {c["verdict"] for c in found.values()} <= {OK, WARNING}
    assert "a private one starts in" in found["ray"]["found"] and metadata.version("torch") in found["torch"]["found"]
    assert not list(tmp_path.iterdir())  # no token
    assert not answers.running_children


@pytest.fixture
def hanging(monkeypatch, tmp_path):
    """Processes that hang, each with a child; a folder with their numbers."""
    pids = tmp_path / "pids"
    pids.mkdir()
    code = f"import os, subprocess; open(f'{pids}/{{os.getpid()}}', 'w'); subprocess.run(['sleep', '1000'])"
    monkeypatch.setattr(answers, "command", lambda *words: [sys.executable, "-c", code])
    return pids


@pytest.fixture
def short_folder():
    """A folder whose path is short enough for the sockets of Ray."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def all_are_gone(pids):
    ended = [p.name for p in pids.iterdir()]
    assert ended and not any(Path(f"/proc/{pid}").exists() for pid in ended)
    # Nor their children.
    assert subprocess.run(["pgrep", "-r", "R,S,D", "-g", ",".join(ended)]).returncode == 1


def test_whatever_hangs_is_ended(monkeypatch, hanging):
    monkeypatch.setattr(answers, "CHECK_TIMEOUT_S", 1.5)
    monkeypatch.setattr(doctor, "check_extras", lambda: time.sleep(1000))  # a disk
    started = time.monotonic()
    found = {c.name: c for c in doctor.examine()}
    assert time.monotonic() - started < 10
    for name in ("ray", "torch", "gpu", "extras"):
        assert found[name].verdict == FAULT, found[name]
    assert "does not start within" in found["ray"].found and found["extras"].found.startswith("no answer")
    all_are_gone(hanging)


@pytest.mark.parametrize("count", [1, 3])
def test_an_interruption_leaves_nothing_behind(monkeypatch, hanging, short_folder, count):
    if count == 1:
        for name in ("torch", "gpu"):
            monkeypatch.setattr(doctor, f"check_{name}", partial(Check, name, OK, "there"))
    place = short_folder
    monkeypatch.setenv("RAY_TMPDIR", str(place))

    def interrupt():
        while len(list(hanging.iterdir())) < count or not list(place.iterdir()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        doctor.examine()
    all_are_gone(hanging)
    assert not list(place.iterdir()) and not answers.running_children


def test_a_process_that_crashes(monkeypatch):
    monkeypatch.setattr(answers, "command", lambda *words: [sys.executable, "-c", "raise SystemExit('no libcudart')"])
    assert checks.check_torch() == Check("torch", FAULT, "crashed: no libcudart", answers.REINSTALL)


@pytest.mark.parametrize("auto", [False, True])
def test_nobody_listens(patient, monkeypatch, auto):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    found = checks.check_cluster("auto" if auto else address)
    assert found.verdict == FAULT and address in found.found and "refused" in found.found and "6379" in found.advice


def test_torchvision_of_another_torch(patient, monkeypatch, tmp_path):
    nms = "raise RuntimeError('operator torchvision::nms does not exist')"
    fake(tmp_path, monkeypatch, torchvision=nms, torch="class version: cuda = None\n__version__ = '2.9'")
    found = checks.check_torch()
    assert found.verdict == FAULT and "torchvision does not fit torch 2.9: operator torchvision::nms" in found.found
    assert found.advice == "install both from the same index: pip install --force-reinstall torch torchvision"
    fake(tmp_path, monkeypatch, torch="raise ImportError('libcudart.so.13: cannot open')")
    assert checks.check_torch().found == "torch cannot be imported: libcudart.so.13: cannot open"


TORCH = """
class version: cuda = {build!r}
class cuda:
    is_available = lambda: {there}
    device_count = lambda: 1
    mem_get_info = lambda i: ({free} * 2**30, 80 * 2**30)
    get_device_name = lambda i: "H100"
"""


@pytest.mark.parametrize(
    ("build", "there", "free", "hidden", "verdict", "said"),
    [
        (None, False, 0, None, WARNING, "1 x H100, 580.1, but torch is a CPU-only build"),
        ("13.0", False, 0, None, WARNING, "1 x H100, 580.1, but torch cannot use it"),
        ("13.0", False, 0, "", WARNING, "1 x H100, 580.1, hidden"),
        ("13.0", True, 79, None, OK, "H100, 79 of 80 GiB free; driver 580.1"),
        ("13.0", True, 3, None, WARNING, "H100, 3 of 80 GiB free; driver 580.1"),
    ],
)
def test_gpus(patient, monkeypatch, tmp_path, build, there, free, hidden, verdict, said):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho H100, 580.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    fake(tmp_path, monkeypatch, torch=TORCH.format(build=build, there=there, free=free))
    found = checks.check_gpu()
    assert (found.verdict, found.found) == (verdict, said) and bool(found.advice) == (verdict != OK)


@pytest.mark.parametrize(
    ("options", "verdict", "said"),
    [("size=512k", FAULT, "No space left"), ("size=64m,ro", FAULT, "Read-only"), ("size=64m", FAULT, "0.1 GiB free")],
)
def test_disks(options, verdict, said, monkeypatch):
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True).returncode:
        place.rmdir()
        pytest.skip("no file system can be mounted here")
    try:
        found = checks.check_results(str(place / "runs" / "first"))
        assert found.verdict == verdict and said in found.found and found.advice
        monkeypatch.setenv("RAY_TMPDIR", str(place))
        found = checks.check_temporary()
        assert found.verdict == verdict and said in found.found and "RAY_TMPDIR" in found.advice
        assert not list(place.iterdir())
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def test_storages(patient, tmp_path, monkeypatch):
    found = checks.check_results(f"file://{tmp_path}/new")
    assert found.verdict == OK and not list(tmp_path.rglob("doctor-*")), found
    assert "no key or password" in checks.check_results("s3://me:secret@bucket/x?access_key=k").found
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(answers, "CHECK_TIMEOUT_S", 4.0)
    assert checks.check_results("s3://bucket/x").verdict == FAULT


def test_a_busy_machine_is_no_fault(monkeypatch):
    """A check that is still computing when its time is up gets more of it; one that hangs does not."""
    for name, seconds in (("CHECK_TIMEOUT_S", 1.0), ("BUSY_CHECK_TIMEOUT_S", 4.0), ("_STEP_S", 0.5)):
        monkeypatch.setattr(answers, name, seconds)
    for code, verdict in (("while True: pass", WARNING), ("import time; time.sleep(1000)", FAULT)):
        monkeypatch.setattr(answers, "command", lambda *words, code=code: [sys.executable, "-c", code])
        found = checks.check_torch()
        assert found.verdict == verdict and "importing torch takes too long" in found.found
        assert ("the machine is busy" in found.found) == (verdict == WARNING)
