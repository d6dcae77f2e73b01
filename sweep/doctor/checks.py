"""The checks of `sweep doctor`."""

import contextlib
import os
import platform
import secrets
import shutil
import stat
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from sweep import limits
from sweep.doctor.answers import FAULT, GIB, OK, PATIENCE, REINSTALL, TOKENS, WARNING, Check, answer_of_child

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


def check_python() -> Check:
    """Tell the versions of Python and of the system."""
    return Check("python", OK, f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.prefix}")


def check_packages() -> Check:
    """Compare the packages that are installed with those that the project requires."""
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


def check_extras() -> Check:
    """Tell which optional packages are there."""
    from importlib.util import find_spec

    there = [name for name, module in _EXTRAS.items() if find_spec(module)]
    missing = [name for name in _EXTRAS if name not in there]
    hint = f"if wanted: pip install '.[{','.join(missing)}]'" if missing else ""
    return Check("extras", OK, f"{', '.join(there) or 'none'}{'; ' + hint if hint else ''}")


def check_cores() -> Check:
    """Look at the cores, and at a container's limit of them."""
    here, quota = limits.cores(), limits.cgroup_cores()
    if quota is not None and quota < here - 0.5:
        advice = f"--concurrency {max(1, round(quota))}: more trials at once would only wait for one another"
        return Check("cores", WARNING, f"{here}, of which this container may use {quota:g}", advice)
    return Check("cores", OK, f"{here} to use, {os.cpu_count()} in the machine")


def check_memory() -> Check:
    """Look at the free memory, and at a container's limit of it."""
    free, limit = limits.available_bytes(), limits.cgroup_bytes()
    found = f"{free / GIB:.1f} GiB free"
    if limit is not None and limit < free:
        free, found = limit, f"{limit / GIB:.1f} GiB left of what this container may use"
    if free < _MEMORY * GIB:
        advice = f"free some, or run fewer trials at once: --concurrency 1 (a small sweep takes {_MEMORY:g} GiB)"
        return Check("memory", WARNING, found, advice)
    return Check("memory", OK, found)


def _ray_folder() -> str:
    """Return where Ray keeps sockets, logs and what does not fit into shared memory."""
    return os.environ.get("RAY_TMPDIR") or (sys.platform == "linux" and os.environ.get("TMPDIR")) or "/tmp"


def check_temporary() -> Check:
    """Look at the folder in which Ray keeps sockets and logs."""
    folder = _ray_folder()
    if trouble := _unwritable(Path(folder)):
        return Check("temporary", FAULT, f"{folder} cannot be written: {trouble}", "set RAY_TMPDIR to another")
    if len(os.fsencode(folder)) > _LONGEST_SOCKET:
        advice = f"set RAY_TMPDIR to a folder of at most {_LONGEST_SOCKET} characters"
        return Check("temporary", FAULT, f"{folder} is too long a name for Ray's sockets", advice)
    return _space("temporary", Path(folder), "make space, or set RAY_TMPDIR to another")


def check_shared_memory() -> Check:
    """Look at the shared memory, which Ray's object store takes."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Check("shared memory", OK, "none: Ray uses the temporary folder")
    free = shutil.disk_usage(folder).free / GIB
    if free < _SHM:
        advice = "docker run --shm-size 1g; without, Ray uses the disk, which is slower"
        return Check("shared memory", WARNING, f"{free:.2f} GiB free in {folder}", advice)
    return Check("shared memory", OK, f"{free:.1f} GiB free in {folder}")


def check_token() -> Check:
    """Look at Ray's token, and at who can read it."""
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


def check_data_sets(folder: Path) -> Check:
    """Look for torchvision's data sets."""
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
    """Return why nothing can be written to a folder; None if it can be."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def _space(name: str, folder: Path, advice: str) -> Check:
    free = shutil.disk_usage(folder).free / GIB
    found = f"{free:.1f} GiB free in {folder}"
    verdict = FAULT if free < _NEEDS else WARNING if free < _WANTS else OK
    return Check(name, verdict, found, "" if verdict == OK else advice)


def check_results(out: str) -> Check:
    """Try whether results can be written to a directory or URI."""
    out = out.removeprefix("file://")
    if "://" in out:
        return answer_of_child(
            "results", ["storage", out], f"{out} does not answer: is its endpoint right, the network there?"
        )
    folder = Path(out).absolute()
    while not folder.exists():  # the sweep will make it
        folder = folder.parent
    if not folder.is_dir():
        return Check("results", FAULT, f"{folder} is no folder", "--out another place")
    if trouble := _unwritable(folder):
        return Check("results", FAULT, f"{folder} cannot be written: {trouble}", "--out another place, or make space")
    return _space("results", folder, "make space, or --out another place; a thousand points take about 10 MB")


def check_torch() -> Check:
    """Try to import torch and torchvision."""
    return answer_of_child("torch", ["torch"], "torch is not imported in time: a slow disk?", REINSTALL)


def check_gpu() -> Check:
    """Try whether torch can use a GPU that is there."""
    return answer_of_child(
        "gpu", ["gpu"], "the driver does not answer", "restart it, or hide the GPUs: CUDA_VISIBLE_DEVICES="
    )


def check_ray() -> Check:
    """Try to start a private Ray."""
    token = {} if os.environ.get("RAY_AUTH_MODE") == "disabled" else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    hangs = f"a private Ray does not start within {PATIENCE:.0f} s"
    advice = "a busy machine, or something (a firewall, a proxy, a VPN) between processes on 127.0.0.1"
    folder = _new_folder()
    try:
        return answer_of_child("ray", ["ray", folder], hangs, advice, **token)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> str:
    """Make a folder with a name no longer than "ray", so that sockets have names as long as those of a sweep."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder := os.path.join(_ray_folder(), secrets.token_hex(2)[:3]), 0o700)
            return folder


def check_cluster(address: str) -> Check:
    """Try to join a Ray cluster."""
    return answer_of_child(
        "cluster", ["cluster", address], f"{address} does not answer, or wants another token", TOKENS
    )
