"""``sweep doctor``: whether all that a sweep needs is there, and what to do where it is not.

Whatever may hang or crash (Ray, torch, a storage) is tried in a process of its own that is killed in time; nothing that
was tried is left behind.
"""

import contextlib
import json
import os
import platform
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from .child import command, environment

__all__ = ["FAULT", "OK", "WARNING", "Check", "as_json", "as_text", "examine"]

OK, WARNING, FAULT = "ok", "warning", "fault"
_SIGNS = {OK: "✓", WARNING: "!", FAULT: "✗"}
_COLOURS = {OK: "green", WARNING: "yellow", FAULT: "red"}
_PATIENCE = 17.0  # seconds that one check may take
_GIB = 2**30
_NEEDS, _WANTS = 0.1, 1.0  # GiB of a disk: less is a fault, a warning
_MEMORY = 2.0  # GiB that a small sweep takes
_SHM = 0.2  # GiB: Ray's object store with a data set
_LONGEST_SOCKET = 107 - len("/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")  # bytes
_PROJECT = "trainability-sweep"
_EXTRAS = {  # a module of each
    "dashboard": "optuna_dashboard",
    "mlflow": "mlflow",
    "study": "psycopg",
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "xarray": "xarray",
}
_MNIST = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_SETS = {
    "mnist": ("MNIST/raw", _MNIST),
    "fashion-mnist": ("FashionMNIST/raw", _MNIST),
    "cifar10": ("cifar-10-batches-py", [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]),
}


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do about it."""

    name: str
    verdict: str
    found: str
    advice: str = ""


def examine(data_dir: str = "data", address: str | None = None, out: str = "runs") -> list[Check]:
    """Look at everything at once; in 20 seconds, whatever hangs.

    Parameters
    ----------
    data_dir:
        Where torchvision's data sets should be.
    address:
        Of a Ray cluster to join; none: whether a private Ray starts here.
    out:
        Directory or URI for results.
    """
    checks: dict[str, Callable[[], Check]] = {
        "python": _python,
        "packages": _packages,
        "torch": _torch,
        "gpu": _gpu,
        "cores": _cores,
        "memory": _memory,
        "temporary": _temporary,
        "shared memory": _shared_memory,
        "token": _token,
        "ray": _ray if address is None else partial(_cluster, address),
        "results": partial(_results, out),
        "data sets": partial(_data_sets, Path(data_dir)),
        "extras": _extras,
    }
    found: dict[str, Check] = {}

    def look(name: str, check: Callable[[], Check]) -> None:
        try:
            found[name] = check()
        except Exception as error:
            found[name] = Check(name, FAULT, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])

    threads = [threading.Thread(target=look, args=pair, daemon=True) for pair in checks.items()]
    end = time.monotonic() + _PATIENCE + 1
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    finally:
        end = time.monotonic() + 1
        # After Ctrl-C: each tidies up. (A thread whose `join` was interrupted is not `is_alive`, whatever it does.)
        while len(found) < len(checks) and time.monotonic() < end:
            for process in list(_running):
                _kill(process)
            time.sleep(0.02)
    hangs = "no answer: a disk that is away?"
    return [found.get(name) or Check(name, FAULT, hangs) for name in checks]


def as_json(checks: Sequence[Check]) -> str:
    """An object with the checks, and whether all is well."""
    return json.dumps({"ok": all(c.verdict != FAULT for c in checks), "checks": [asdict(c) for c in checks]})


def as_text(checks: Sequence[Check]) -> str:
    """A line for each check, and one for what to do."""
    import click

    from .store import printable

    width = max(len(c.name) for c in checks)
    lines = []
    for c in checks:
        sign = click.style(_SIGNS[c.verdict], fg=_COLOURS[c.verdict], bold=True)
        lines.append(f"{sign} {c.name:{width}}  {printable(c.found)}")
        if c.advice:
            lines.append(f"  {'':{width}}  → {printable(c.advice)}")
    faults, warnings = (sum(c.verdict == v for c in checks) for v in (FAULT, WARNING))
    said = [f"{n} {what}{'s' * (n > 1)}" for n, what in ((faults, "fault"), (warnings, "warning")) if n]
    return "\n".join([*lines, "", ", ".join(said) or "all is well"])


# What needs no process of its own


def _python() -> Check:
    return Check("python", OK, f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.prefix}")


def _packages() -> Check:
    from packaging.requirements import Requirement

    try:
        wanted = [r for r in map(Requirement, metadata.requires(_PROJECT) or []) if r.marker is None]
    except metadata.PackageNotFoundError:
        return Check("packages", WARNING, f"{_PROJECT} itself is not installed", "pip install .")
    there, wrong = [f"{_PROJECT} {metadata.version(_PROJECT)}"], []
    for r in wanted:
        try:
            version = metadata.version(r.name)
        except metadata.PackageNotFoundError:
            wrong.append((f"{r.name} is missing", str(r)))
            continue
        there.append(f"{r.name} {version}")
        if not r.specifier.contains(version, prereleases=True):
            wrong.append((f"{r.name} {version} is not {r.specifier}", str(r)))
    if wrong:
        needed = " ".join(f"'{r}'" for _, r in wrong)
        return Check("packages", FAULT, "; ".join(text for text, _ in wrong), f"pip install {needed}")
    named = ("ray", "optuna", "torch", "numpy", "pandas")
    return Check("packages", OK, ", ".join(t for t in there if t.split()[0] in (_PROJECT, *named)))


def _extras() -> Check:
    from importlib.util import find_spec

    there = [name for name, module in _EXTRAS.items() if find_spec(module)]
    missing = [name for name in _EXTRAS if name not in there]
    hint = f"if wanted: pip install '.[{','.join(missing)}]'" if missing else ""
    return Check("extras", OK, f"{', '.join(there) or 'none'}{'; ' + hint if hint else ''}")


def _cores() -> Check:
    from .resources import cores

    here, quota = cores(), _quota()
    if quota is not None and quota < here - 0.5:
        advice = f"--concurrency {max(1, round(quota))}: more trials at once would only wait for one another"
        return Check("cores", WARNING, f"{here}, of which this container may use {quota:g}", advice)
    return Check("cores", OK, f"{here} to use, {os.cpu_count()} in the machine")


def _quota() -> float | None:
    """Cores that the control group allows."""
    try:
        allowed, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if allowed == "max" else float(allowed) / float(period)
    except (OSError, ValueError):
        return None


def _memory() -> Check:
    from .resources import available_bytes

    free, limit = available_bytes() / _GIB, _memory_limit()
    found = f"{free:.1f} GiB free"
    if limit is not None and limit < free:
        free, found = limit, f"{limit:.1f} GiB left of what this container may use"
    if free < _MEMORY:
        advice = f"free some, or run fewer trials at once: --concurrency 1 (a small sweep takes {_MEMORY:g} GiB)"
        return Check("memory", WARNING, found, advice)
    return Check("memory", OK, found)


def _memory_limit() -> float | None:
    """GiB that the control group has left, with what it has only read files into."""
    try:
        folder = Path("/sys/fs/cgroup")
        limit, used, parts = ((folder / f"memory.{name}").read_text() for name in ("max", "current", "stat"))
        cached = dict(line.split() for line in parts.splitlines())["inactive_file"]
        return None if limit.strip() == "max" else (int(limit) - int(used) + int(cached)) / _GIB
    except (OSError, ValueError, KeyError):
        return None


def _ray_folder() -> str:
    """Where Ray keeps sockets, logs and what does not fit into shared memory."""
    return os.environ.get("RAY_TMPDIR") or (sys.platform == "linux" and os.environ.get("TMPDIR")) or "/tmp"


def _temporary() -> Check:
    folder = _ray_folder()
    if trouble := _unwritable(Path(folder)):
        return Check("temporary", FAULT, f"{folder} cannot be written: {trouble}", "set RAY_TMPDIR to another")
    if len(os.fsencode(folder)) > _LONGEST_SOCKET:
        advice = f"set RAY_TMPDIR to a folder of at most {_LONGEST_SOCKET} characters"
        return Check("temporary", FAULT, f"{folder} is too long a name for Ray's sockets", advice)
    return _space("temporary", Path(folder), "make space, or set RAY_TMPDIR to another")


def _shared_memory() -> Check:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Check("shared memory", OK, "none: Ray uses the temporary folder")
    free = shutil.disk_usage(folder).free / _GIB
    if free < _SHM:
        advice = "docker run --shm-size 1g; without, Ray uses the disk, which is slower"
        return Check("shared memory", WARNING, f"{free:.2f} GiB free in {folder}", advice)
    return Check("shared memory", OK, f"{free:.1f} GiB free in {folder}")


def _token() -> Check:
    asked = os.environ.get("RAY_AUTH_MODE")
    if asked not in (None, "", "token", "disabled"):
        return Check("token", FAULT, f"RAY_AUTH_MODE is {asked!r}", "export RAY_AUTH_MODE=token, or unset it")
    if asked == "disabled":
        advice = "unset RAY_AUTH_MODE: who reaches Ray's ports has it execute what they like"
        return Check("token", WARNING, "RAY_AUTH_MODE=disabled: Ray asks for no token", advice)
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Check("token", OK, "in RAY_AUTH_TOKEN")
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(given) if given else Path.home() / ".ray" / "auth_token"
    if not path.is_file():
        if given:
            return Check("token", FAULT, f"RAY_AUTH_TOKEN_PATH is {given}, no file", "name the file with the token")
        return Check("token", OK, f"none yet: the first sweep makes {path}")
    if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        return Check("token", FAULT, f"{path} has mode {mode:04o}: not for others to see", f"chmod 600 {path}")
    return Check("token", OK, str(path))


def _data_sets(folder: Path) -> Check:
    there, broken = [], []
    for name, (inside, files) in _SETS.items():
        kept = [f for f in files if any(_holds(folder / inside / g) for g in (f, f + ".gz"))]
        if len(kept) == len(files):
            there.append(name)
        elif (folder / inside).exists():
            broken.append(f"{name} lacks {next(f for f in files if f not in kept)}")
    always = "digits and noise need no files"
    get = f"sweep run --dataset mnist --data-dir {folder} --download"
    if broken:
        return Check("data sets", WARNING, f"in {folder}: {'; '.join(broken)}", f"{get} fetches it anew")
    if not there:
        return Check("data sets", WARNING, f"none in {folder}; {always}", f"if wanted: {get}")
    return Check("data sets", OK, f"{', '.join(there)} in {folder}; {always}")


def _holds(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be written there; None if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def _space(name: str, folder: Path, advice: str) -> Check:
    free = shutil.disk_usage(folder).free / _GIB
    found = f"{free:.1f} GiB free in {folder}"
    verdict = FAULT if free < _NEEDS else WARNING if free < _WANTS else OK
    return Check(name, verdict, found, "" if verdict == OK else advice)


def _results(out: str) -> Check:
    out = out.removeprefix("file://")
    if "://" in out:
        return _answer("results", ["storage", out], f"{out} does not answer: is its endpoint right, the network there?")
    folder = Path(out).absolute()
    while not folder.exists():  # the sweep will make it
        folder = folder.parent
    if not folder.is_dir():
        return Check("results", FAULT, f"{folder} is no folder", "--out another place")
    if trouble := _unwritable(folder):
        return Check("results", FAULT, f"{folder} cannot be written: {trouble}", "--out another place, or make space")
    return _space("results", folder, "make space, or --out another place; a thousand points take about 10 MB")


# What has a process of its own

_running: "set[subprocess.Popen[str]]" = set()


def _answer(name: str, arguments: Sequence[str], hangs: str, advice: str = "", **more: str) -> Check:
    """What this module's ``main`` finds in another process."""
    process = subprocess.Popen(
        command("sweep.doctor", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment() | more,
    )
    _running.add(process)
    try:
        out, err = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return Check(name, FAULT, hangs, advice)
    finally:
        _kill(process)  # what is left of it
        process.communicate()
        _running.discard(process)
    try:
        return Check(name, **json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        said = (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Check(name, FAULT, f"crashed: {said[:300]}", advice)


def _kill(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _torch() -> Check:
    return _answer("torch", ["torch"], "torch is not imported in time: a slow disk?", _REINSTALL)


def _gpu() -> Check:
    return _answer("gpu", ["gpu"], "the driver does not answer", "restart it, or hide the GPUs: CUDA_VISIBLE_DEVICES=")


def _ray() -> Check:
    token = {} if os.environ.get("RAY_AUTH_MODE") == "disabled" else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    hangs = f"a private Ray does not start within {_PATIENCE:.0f} s"
    advice = "a busy machine, or something (a firewall, a proxy, a VPN) between processes on 127.0.0.1"
    folder = _new_folder()
    try:
        return _answer("ray", ["ray", folder], hangs, advice, **token)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> str:
    """With a name no longer than "ray": sockets have names as long as those of a sweep."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder := os.path.join(_ray_folder(), secrets.token_hex(2)[:3]), 0o700)
            return folder


def _cluster(address: str) -> Check:
    return _answer("cluster", ["cluster", address], f"{address} does not answer, or wants another token", _TOKENS)


_REINSTALL = "install both from the same index: pip install --force-reinstall torch torchvision"
_TOKENS = "driver and nodes must agree on RAY_AUTH_MODE and the token, see cluster/README.md"
_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA, AMD, Windows' Linux
_NO_GPU = "none: trials run on the CPU"
_VERSIONS = "install the cluster's versions of Python and Ray here, or these there"


def _found(verdict: str, found: str, advice: str = "") -> dict[str, str]:
    return {"verdict": verdict, "found": " ".join(found.split())[:400], "advice": advice}


def _try_torch() -> dict[str, str]:
    try:
        import torch
    except Exception as error:
        return _found(FAULT, f"torch cannot be imported: {error}", _REINSTALL)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU-only build"
    try:
        import torchvision
    except Exception as error:
        return _found(FAULT, f"torchvision does not fit torch {torch.__version__}: {error}", _REINSTALL)
    return _found(OK, f"{torch.__version__} ({build}), torchvision {torchvision.__version__}")


def _try_gpu() -> dict[str, str]:
    driver = _driver()
    if not driver and not any(map(os.path.exists, _DEVICES)):
        return _found(OK, _NO_GPU)
    import torch

    if torch.cuda.is_available():
        said, low = [], False
        for i in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(i)
            said.append(f"{torch.cuda.get_device_name(i)}, {free / _GIB:.0f} of {total / _GIB:.0f} GiB free")
            low |= free < 0.5 * total
        found = "; ".join(said) + (f"; driver {driver[0].split(', ')[1]}" if driver else "")
        if low:
            return _found(WARNING, found, "others compute there: nvidia-smi shows who; choose by CUDA_VISIBLE_DEVICES")
        return _found(OK, found)
    if not driver:
        return _found(OK, _NO_GPU)
    there = f"{len(driver)} x {driver[0]}"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return _found(WARNING, f"{there}, hidden", "unset CUDA_VISIBLE_DEVICES, if they are to be used")
    if not torch.version.cuda:
        return _found(WARNING, f"{there}, but torch is a CPU-only build", "install torch and torchvision for CUDA")
    advice = f"install a driver for CUDA {torch.version.cuda}, or a torch for an older CUDA"
    return _found(WARNING, f"{there}, but torch cannot use it", advice)


def _driver() -> list[str]:
    """Name and driver of every GPU, as the driver's own program says; empty without one."""
    if not (program := shutil.which("nvidia-smi")):
        return []
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    out = subprocess.run(query, capture_output=True, text=True, timeout=_PATIENCE / 2)
    return out.stdout.strip().splitlines() if out.returncode == 0 else []


def _try_ray(folder: str) -> dict[str, str]:
    import logging

    started = time.monotonic()
    import ray

    ray.init(
        address="local",
        num_cpus=1,
        num_gpus=0,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _temp_dir=folder,
    )
    took = time.monotonic() - started
    ray.shutdown()
    return _found(OK, f"{ray.__version__}, a private one starts in {took:.0f} s")


def _try_cluster(address: str) -> dict[str, str]:
    from .resources import alive, authenticate, check_reachable
    from .spec import SpecError

    try:
        check_reachable(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
    except SpecError as error:
        where = "is the head up (ray status), the port that of its GCS (6379), no firewall between?"
        return _found(FAULT, str(error).replace("`address` ", ""), where)
    authenticate(address)
    import logging

    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:
        text = str(error)
        if "auto" == address and isinstance(error, ConnectionError):
            return _found(FAULT, "no cluster runs on this machine", "ray start --head, or see cluster/README.md")
        return _found(FAULT, f"{address} cannot be joined: {text}", _VERSIONS if "ersion" in text else _TOKENS)
    nodes = alive()
    ray.shutdown()
    cores, gpus = (sum(n[i] for n in nodes) for i in (0, 1))
    return _found(OK, f"{address}: Ray {ray.__version__}, {len(nodes)} nodes, {cores:g} cores, {gpus:g} GPUs")


def _try_storage(out: str) -> dict[str, str]:
    from .home import Home
    from .spec import SpecError
    from .store import StoreError

    name = f"doctor-{secrets.token_hex(4)}"
    try:
        home = Home(out)
        home.write(name, b"well")
        try:
            whole = home.read(name) == b"well"
        finally:
            home.remove(name)
    except (SpecError, StoreError) as error:
        return _found(FAULT, str(error), "keys belong in the environment (AWS_ACCESS_KEY_ID ...); is the bucket there?")
    return _found(OK, f"{out} can be written and read") if whole else _found(FAULT, f"{out} gives back something else")


_TRIES: dict[str, Callable[..., dict[str, str]]] = {
    "torch": _try_torch,
    "gpu": _try_gpu,
    "ray": _try_ray,
    "cluster": _try_cluster,
    "storage": _try_storage,
}


def main(name: str, *arguments: Any) -> None:
    """Try one thing, and say what came of it."""
    print("\n" + json.dumps(_TRIES[name](*arguments)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
