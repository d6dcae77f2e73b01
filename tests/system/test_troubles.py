"""What users meet first: their folder, their data, their notebook, their container, their tracker.

Each case is a command as a user would type it, in a process of its own. It ends within a minute, says what is the
matter in one line, shows no traceback and leaves nothing behind that stops the next try. ``pytest -rP`` shows a line
for each.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sweep
from probes import load_images
from sweep.spec.spec import SweepSpec

SWEEP = (sys.executable, "-m", "sweep")
SMALL = ("--points", "4", "--depth", "3", "6", "--probe", "direct", "--images", "200", "--search", "sobol")
TIME_LIMIT_S = 60
HOSTILE = ("sweep", "probes", "torch", "ray", "numpy", "click", "pandas", "sitecustomize", "usercustomize", "wandb")


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Return a function that runs a command and checks how it ends."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_TMPDIR", "MPLBACKEND", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)

    def run(*command, code=0, says="", cwd=None, shell=False, environment=(), **variables):
        command = [*map(str, command)] if not shell else ["sh", "-c", *map(str, command)]
        started = time.monotonic()
        done = subprocess.run(
            command if shell else [*SWEEP, *command] if command[0] != sys.executable else command,
            cwd=cwd or tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"} | variables | dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_S,
        )
        told = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == code, (command, told[-3000:])
        assert "Traceback" not in told, told[-3000:]
        wanted = [says] if isinstance(says, str) else says
        assert all(any(text in line for line in told.splitlines()) for text in wanted), (wanted, told[-3000:])
        shown = " ".join(str(part).replace(str(tmp_path), "") for part in command)[-90:]
        print(f"exit {code} after {time.monotonic() - started:4.1f} s | {shown} | {wanted[0]}")
        return done

    return run


def measured(path):
    """Return the number of points of a sweep that are measured."""
    return int((sweep.load(path).points["status"] == "ok").sum())


def save(path, images, labels=None):
    """Write a data set of these images, of which the first tenth are those for testing."""
    labels = np.arange(len(images)) % 3 if labels is None else labels
    n = len(images) // 10
    np.savez(path, train_images=images[n:], train_labels=labels[n:], test_images=images[:n], test_labels=labels[:n])
    return path


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (200, *shape), dtype=np.uint8)


@pytest.fixture
def hostile(tmp_path):
    """Return a folder with files that would betray that they were run."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'RAN')!r}, 'a').write({name!r} + ' ')\n")
    return folder


# 1. The folder that one stands in is code.


def test_the_working_directory_is_not_code(attempt, hostile, tmp_path, make_sweep):
    strangers = make_sweep(SweepSpec(points=4, probe="direct", depth=(3, 6)), "theirs", count=4).path
    for file in hostile.glob("*.py"):
        shutil.copy(file, strangers)
    attempt("resume", ".", "--points", "6", cwd=strangers)
    assert measured(strangers) == 6
    attempt("doctor", code=0, cwd=hostile)
    # Without Python's safe path, the folder is there when Python starts; what is imported then is its own.
    other = hostile.parent / "torch only"
    other.mkdir()
    shutil.copy(hostile / "torch.py", other)
    attempt("probe", "--sigma-w", 1.5, "--sigma-b", 0.1, "--depth", 3, cwd=other, PYTHONSAFEPATH="")
    assert not (tmp_path / "RAN").exists(), (tmp_path / "RAN").read_text()


def test_what_a_program_hands_over_goes_to_the_workers(attempt, hostile, tmp_path):
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "helper.py").write_text("SECONDS = 0.01\n")
    (folder / "mine.py").write_text(
        "import helper\nfrom sweep import Rehearsal\n"
        "def make(images, settings, threads, gpus):\n"
        "    return Rehearsal(helper.SECONDS)(images, settings, threads, gpus)\n"
    )
    (folder / "main.py").write_text(
        "import sweep, mine\n"
        "if __name__ == '__main__':\n"
        "    spec = sweep.SweepSpec(points=4, search='sobol')\n"
        f"    print(sweep.run(spec, {str(tmp_path / 'out')!r}, make=mine.make).points['status'].tolist())\n"
    )
    done = attempt(sys.executable, folder / "main.py", cwd=hostile, PYTHONSAFEPATH="")
    assert done.stdout.count("ok") == 4 and not (tmp_path / "RAN").exists()


def test_another_package_called_probes_is_refused(tmp_path):
    (tmp_path / "probes.py").write_text("")
    for program in ("import sweep", "import probes, sweep"):
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("ImportError: `sweep` needs its own")


# 2. The data changed under the sweep.


def test_data_that_changed(attempt, tmp_path, make_sweep):
    changed = "must hold the images and labels that this sweep measured, but holds others"
    data = str(save(tmp_path / "x.npz", pictures(6, 6)))
    for name, seed in (("a", 0), ("b", 1)):
        save(data, pictures(6, 6, seed=seed))
        spec = SweepSpec(points=4, depth=(3, 6), dataset=data, fingerprint=load_images(data).fingerprint)
        make_sweep(spec, name, count=4)
    attempt("resume", "a", "--points", "6", code=2, says=changed)
    attempt("report", "a", says=changed)
    attempt("plot", "a", "--kind", "reconstructions", code=2, says=changed)
    attempt("merge", "a", "b", "--output", "c", code=2, says="has dataset")
    attempt("diff", "a", "b", code=2, says="must be a sweep of the same 'x.npz'")


# 3. Images, labels and files that are something else.


def test_data_that_are_something_else(attempt, tmp_path):
    point = ("probe", "--probe", "direct", "--sigma-w", "1.5", "--sigma-b", "0.1", "--depth", "3", "--dataset")
    first = attempt(*point, save(tmp_path / "first.npz", pictures(1, 8, 8)), says="channels")
    last = attempt(*point, save(tmp_path / "last.npz", pictures(1, 8, 8).transpose(0, 2, 3, 1)))
    first, last = ([line for line in done.stdout.splitlines() if "seconds" not in line] for done in (first, last))
    assert first == last
    attempt(*point, save(tmp_path / "unclear.npz", pictures(3, 3, 3)), code=2, says="--layout")
    attempt(*point, save(tmp_path / "volumes.npz", pictures(4, 5, 6, 3)), code=2, says="volumes")
    attempt(*point, save(tmp_path / "gaps.npz", pictures(8, 8), 1000 * (np.arange(200) % 10)), says="label")
    filled = pictures(8, 8).astype(np.float32) / 255
    filled[50, 0, 0] = 1e30
    attempt(*point, save(tmp_path / "filled.npz", filled), code=2, says="1e+30")
    for name, text in (
        ("lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
        ("page", "<!DOCTYPE html>"),
    ):
        (tmp_path / f"{name}.npz").write_text(text)
        done = attempt(*point, tmp_path / f"{name}.npz", code=2, says="it is")
        assert "pickle" not in done.stderr


# 4. What a tracker finds in the environment.


def test_a_run_inside_an_agent(attempt, tmp_path):
    pytest.importorskip("wandb")
    agent = {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "abc", "WANDB_RUN_ID": "xyz", "WANDB_API_KEY": "0" * 40}
    attempt("run", *SMALL, "--out", "out", "--log", "wandb", environment=agent)
    runs = {folder.name.rpartition("-")[2] for folder in (tmp_path / "out" / "wandb").glob("offline-run-*")}
    assert len(runs) == 4 and "xyz" not in runs


# 5. A container's limits.


@pytest.fixture
def container():
    """Return a command that runs another one in a control group (version 1) with 3 GiB and half a core."""
    name = f"sweep-test-{os.getpid()}"
    groups = [Path("/sys/fs/cgroup", kind, name) for kind in ("cpu", "memory")]
    try:
        for group in groups:
            group.mkdir()
        (groups[0] / "cpu.cfs_quota_us").write_text("50000")
        (groups[1] / "memory.limit_in_bytes").write_text(str(3 * 2**30))
    except OSError as error:
        for group in groups:
            if group.is_dir():
                group.rmdir()
        pytest.skip(f"control groups of version 1 cannot be made here: {error}")
    yield " ".join(f"echo $$ > {group}/cgroup.procs;" for group in groups)
    for group in groups:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:  # its last process is still ending
                time.sleep(0.1)


def test_the_limits_of_a_container(attempt, container):
    program = (
        "from sweep import limits; print(limits.cores(), limits.total_bytes(), limits.available_bytes() < 3 * 2**30)"
    )
    attempt(f"{container} exec {sys.executable} -c '{program}'", shell=True, says=f"1 {3 * 2**30} True")
    run = f"{sys.executable} -m sweep run --points 64 --pack 64 --width 1000 --depth 9 30 --dataset noise --out out"
    attempt(f"{container} exec {run}", shell=True, code=2, says="GiB more than the 3.0 GiB of memory that this process")


# 6. Memory pressure.


def test_memory_pressure_ends_no_sweep(attempt, tmp_path):
    """Ray kills workers as long as another process takes memory; the points are measured afterwards."""
    import psutil

    gibibyte = 2**30
    machine = psutil.virtual_memory()
    if machine.available < 6 * gibibyte:
        pytest.skip("needs 6 GiB of memory")
    threshold = (machine.total - machine.available + 3 * gibibyte) / machine.total
    hog = subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(8); x = b'x' * {4 * gibibyte}; time.sleep(4)"]
    )
    variables = {"RAY_memory_usage_threshold": f"{threshold:.3f}", "RAY_memory_monitor_refresh_ms": "50"}
    try:
        points = ("--points", "12", "--pack", "1", "--search", "sobol", "--depth", "20", "40", "--probe", "direct")
        attempt("run", *points, "--width", "300", "--out", "out", environment=variables)
    finally:
        hog.kill()
        hog.wait()
    assert measured(tmp_path / "out") == 12


# 7. What comes after the measuring.


def test_nothing_hides_the_results(attempt, tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"lines.linewidth: \xff\xfe")
    done = attempt("run", *SMALL, "--out", "out", MPLBACKEND="module://matplotlib_inline.backend_inline")
    assert "4 points: 4 ok" in done.stdout
    for variables in ({"MPLBACKEND": "nonsense"}, {"MATPLOTLIBRC": str(tmp_path / "tex")}):
        (tmp_path / "tex").write_text("text.usetex: True\n")
        done = attempt("resume", tmp_path / "out", "--json", cwd="/", environment=variables)
        assert json.loads(done.stdout)["done"] == 4
    (tmp_path / "out" / "phase_diagram.png").unlink()
    (tmp_path / "out" / "phase_diagram.png").mkdir()
    done = attempt("resume", "out", says="the picture could not be made")
    assert "4 points: 4 ok" in done.stdout


# 8. A private Ray that does not start.


def test_a_ray_that_does_not_start(attempt, tmp_path):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    attempt("run", *SMALL, "--out", "out", code=3, says="Ray cannot be started", RAY_TMPDIR="/proc/nothing")
    assert not (tmp_path / "out").exists()
    attempt("run", *SMALL, "--out", "out", TMPDIR=str(long))
    assert measured(tmp_path / "out") == 4


# 9. An address.


@pytest.mark.parametrize(
    ("address", "code", "says"),
    [
        ("127.0.0.1:1", 3, "--address '127.0.0.1:1' cannot be joined: Connection refused"),
        ("nowhere.invalid:6379", 3, "cannot be joined"),
        ("256.0.0.1:99999", 2, "must be auto, local or HOST:PORT"),
        ("10.0.0.1", 2, "must be auto, local or HOST:PORT"),
        ("ray://127.0.0.1:10001", 2, "Ray's client is not supported"),
        ("http://127.0.0.1:8265", 2, "a dashboard takes jobs"),
    ],
)
def test_an_address(attempt, tmp_path, address, code, says):
    attempt("run", *SMALL, "--out", "out", "--address", address, code=code, says=says)
    assert not (tmp_path / "out").exists()


def test_a_server_that_is_away(attempt, tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
    bucket = "s3://bucket/x?endpoint_override=127.0.0.1:1&scheme=http"
    attempt("run", *SMALL, "--out", bucket, code=3, says="cannot be written", environment=keys)
    attempt("status", bucket, code=3, says="cannot be read", environment=keys)
    attempt("run", *SMALL, "--out", "out", "--study", "redis://127.0.0.1:1/0", code=3, says="--study")
    attempt("run", *SMALL, "--out", "out", "--storage", "nonsense://x", code=2, says="'--storage'")
    assert not (tmp_path / "out").exists()


# 10. The process around us.


def test_streams(attempt, tmp_path, make_sweep):
    path = make_sweep(count=20, failed=1).path
    command = f"{sys.executable} -m sweep"
    attempt(f"{command} results {path} > /dev/full", shell=True, code=2, says="standard output cannot be written")
    attempt(f"{command} results {path} >&-", shell=True, code=2, says="--output")
    attempt(f"{command} status {path} 2>&-", shell=True, says="done")
    attempt(f"{command} results {path} | head -1", shell=True, says="sigma_w")
    for encoding in ("ascii", "latin-1"):
        point = ("probe", "--probe", "direct", "--sigma-w", "1.5", "--sigma-b", "0.1", "--depth", "3")
        attempt(*point, PYTHONIOENCODING=encoding)
        attempt("status", path, PYTHONIOENCODING=encoding, LC_ALL="C")


def test_a_home_that_cannot_be_written(attempt, tmp_path):
    attempt("run", *SMALL, "--out", "out", HOME="/proc/nothing")
    assert measured(tmp_path / "out") == 4


def test_a_closed_terminal_where_nohup_says_so(tmp_path):
    """Otherwise it ends a sweep as SIGTERM does: see the tests of the runner."""
    path = tmp_path / "out"
    points = ("--points", "20", "--pack", "1", "--search", "sobol", "--depth", "20", "40", "--width", "200")
    command = [*SWEEP, "run", *points, "--images", "500", "--probe", "direct", "--quiet", "--out", path]
    driver = subprocess.Popen(
        command, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN), stderr=subprocess.PIPE, text=True
    )
    while driver.poll() is None and not list((path / "parts").glob("*.parquet")):
        time.sleep(0.1)
    driver.send_signal(signal.SIGHUP)
    _, told = driver.communicate(timeout=TIME_LIMIT_S)
    assert driver.returncode == 0 and "Traceback" not in told and measured(path) == 20


def test_a_fork_after_torch_has_computed(attempt, tmp_path):
    program = tmp_path / "fork.py"
    program.write_text(
        "import multiprocessing, probes, torch\n"
        "def work():\n"
        "    images = probes.load_images('digits')\n"
        "    (m,) = probes.measure([probes.Point(1.5, 0.1, 3, 0)], images, probes.ProbeSettings(probe='direct'))\n"
        "    print(m.status)\n"
        "if __name__ == '__main__':\n"
        "    torch.randn(900, 900) @ torch.randn(900, 900)\n"
        "    child = multiprocessing.get_context('fork').Process(target=work)\n"
        "    child.start(); child.join(); raise SystemExit(child.exitcode)\n"
    )
    attempt(sys.executable, program, says="ok", OMP_NUM_THREADS="2")


# 11. Small input.


def test_small_input(attempt, tmp_path, make_sweep):
    home = tmp_path / "home"
    home.mkdir()
    options = 'points = 4\ndepth = [3, 6]\nprobe = "direct"\nsearch = "sobol"\nimages = 200\nout = "~/runs/x"\n'
    (tmp_path / "sweep.toml").write_bytes(b"\xef\xbb\xbf" + options.encode())
    attempt("run", "--config", "sweep.toml", HOME=str(home))
    assert measured(home / "runs" / "x") == 4 and not (tmp_path / "~").exists()
    (tmp_path / "sixteen.toml").write_bytes(options.encode("utf-16"))
    attempt("run", "--config", "sixteen.toml", code=2, says="UTF-8")
    program = (
        "import torch, probes; torch.set_default_dtype(torch.float64)\n"
        "(m,) = probes.measure([probes.Point(1.5, 0.1, 3, 0)], probes.load_images('digits'))\n"
        "print(m.status, torch.get_default_dtype())"
    )
    attempt(sys.executable, "-c", program, says="ok torch.float64")
    own = make_sweep(SweepSpec(points=6, sigma_w=(0.8, 2.0), depth=(3, 6)), "own", count=6)
    other = make_sweep(SweepSpec(points=6, sigma_w=(2.5, 3.0), depth=(3, 6)), "other", count=6)
    for part in (other.path / "parts").iterdir():
        shutil.copy(part, own.path / "parts")
    attempt("status", own.path, says=("6 of 6 done, 0 running", "another sweep"))
