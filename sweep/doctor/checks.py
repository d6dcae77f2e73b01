"""The checks of `sweep doctor`, one function each."""

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
from sweep.doctor.answers import CHECK_TIMEOUT_S, FAULT, GIB, OK, REINSTALL, TOKENS, WARNING, Check, answer_of_child
from sweep.execution.private_ray import MAX_FOLDER_BYTES, is_short_enough, ray_folder, token_file, usable_folder

_MIN_DISK_GIB, _ENOUGH_DISK_GIB = 0.1, 1.0  # less free space is a fault, a warning
_ENOUGH_MEMORY_GIB = 2.0  # for a small sweep
_ENOUGH_SHARED_GIB = 0.2  # for Ray's object store with a data set
_PROJECT = "trainability-sweep"
_EXTRAS = {  # name: a module that it installs
    "dashboard": "optuna_dashboard",
    "mlflow": "mlflow",
    "study": "psycopg",
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "xarray": "xarray",
}
_MNIST = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_DATA_SETS = {  # name: folder, files
    "mnist": ("MNIST/raw", _MNIST),
    "fashion-mnist": ("FashionMNIST/raw", _MNIST),
    "cifar10": ("cifar-10-batches-py", [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]),
}


def check_python() -> Check:
    """Report the versions of Python and of the operating system."""
    return Check("python", OK, f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.prefix}")


def check_packages() -> Check:
    """Compare the packages that are installed with those that the project requires."""
    from packaging.requirements import Requirement

    try:
        requirements = [r for r in map(Requirement, metadata.requires(_PROJECT) or []) if r.marker is None]
    except metadata.PackageNotFoundError:
        return Check("packages", WARNING, f"{_PROJECT} itself is not installed", "pip install .")
    installed, wrong = [f"{_PROJECT} {metadata.version(_PROJECT)}"], []
    for r in requirements:
        try:
            version = metadata.version(r.name)
        except metadata.PackageNotFoundError:
            wrong.append((f"{r.name} is missing", str(r)))
            continue
        installed.append(f"{r.name} {version}")
        if not r.specifier.contains(version, prereleases=True):
            wrong.append((f"{r.name} {version} is not {r.specifier}", str(r)))
    if wrong:
        needed = " ".join(f"'{r}'" for _, r in wrong)
        return Check("packages", FAULT, "; ".join(text for text, _ in wrong), f"pip install {needed}")
    main = ("ray", "optuna", "torch", "numpy", "pandas")
    return Check("packages", OK, ", ".join(t for t in installed if t.split()[0] in (_PROJECT, *main)))


def check_extras() -> Check:
    """Report which optional packages are installed."""
    from importlib.util import find_spec

    installed = [name for name, module in _EXTRAS.items() if find_spec(module)]
    missing = [name for name in _EXTRAS if name not in installed]
    hint = f"if wanted: pip install '.[{','.join(missing)}]'" if missing else ""
    return Check("extras", OK, f"{', '.join(installed) or 'none'}{'; ' + hint if hint else ''}")


def check_cores() -> Check:
    """Report the number of cores that trials may use, and whether a container limits it."""
    quota = limits.cgroup_cores()
    limited = f" ({quota:g} by the limit of this container)" if quota is not None else ""
    return Check("cores", OK, f"{limits.cores()} usable{limited}, {os.cpu_count()} in the machine")


def check_memory() -> Check:
    """Check whether there is enough free memory for a small sweep, within a container's limit."""
    free, limit = limits.available_bytes(), limits.cgroup_bytes()
    what = "free" if limit is None or limit > free else "left of what this container may use"
    text = f"{free / GIB:.1f} GiB {what}"
    if free < _ENOUGH_MEMORY_GIB * GIB:
        advice = (
            f"free some, or run fewer trials at once: --concurrency 1 (a small sweep takes {_ENOUGH_MEMORY_GIB:g} GiB)"
        )
        return Check("memory", WARNING, text, advice)
    return Check("memory", OK, text)


def check_temporary() -> Check:
    """Check the folder in which Ray keeps sockets and logs: can it be written, is its path short, has it free space."""
    folder = ray_folder()
    if trouble := _write_error(Path(folder)):
        return Check("temporary", FAULT, f"{folder} cannot be written: {trouble}", "set RAY_TMPDIR to another folder")
    if not is_short_enough(folder):
        advice = f"/tmp is used instead; RAY_TMPDIR can be a folder whose path has at most {MAX_FOLDER_BYTES} bytes"
        return Check("temporary", WARNING, f"{folder} is too long a path for Ray's sockets", advice)
    return _check_space("temporary", Path(folder), "free some space, or set RAY_TMPDIR to a folder on another disk")


def check_shared_memory() -> Check:
    """Check whether there is enough shared memory for Ray's object store."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Check("shared memory", OK, "none: Ray uses the temporary folder")
    free = shutil.disk_usage(folder).free / GIB
    if free < _ENOUGH_SHARED_GIB:
        advice = "in Docker: docker run --shm-size 1g; otherwise Ray uses the disk, which is slower"
        return Check("shared memory", WARNING, f"{free:.2f} GiB free in {folder}", advice)
    return Check("shared memory", OK, f"{free:.1f} GiB free in {folder}")


def check_token() -> Check:
    """Check Ray's authentication: the mode, the token, and that no other user can access it."""
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode not in (None, "", "token", "disabled"):
        return Check("token", FAULT, f"RAY_AUTH_MODE is {mode!r}", "export RAY_AUTH_MODE=token, or unset it")
    if mode == "disabled":
        advice = "unset RAY_AUTH_MODE: whoever can reach Ray's ports can run any code here"
        return Check("token", WARNING, "RAY_AUTH_MODE=disabled: Ray asks for no token", advice)
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Check("token", OK, "in RAY_AUTH_TOKEN")
    token_path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        path = Path(token_path) if token_path else token_file()
    except RuntimeError:
        return Check("token", OK, "none: this user has no home directory, and each private Ray makes its own")
    if not path.is_file():
        if token_path:
            return Check(
                "token", FAULT, f"RAY_AUTH_TOKEN_PATH: no file {token_path}", "set it to the file with the token"
            )
        return Check("token", OK, f"none yet: the first sweep writes {path}")
    if (permissions := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        return Check(
            "token", FAULT, f"{path} has mode {permissions:04o}: other users can access it", f"chmod 600 {path}"
        )
    return Check("token", OK, str(path))


def check_data_sets(folder: Path) -> Check:
    """Check which of torchvision's data sets are in a folder, and whether they are complete."""
    complete, broken = [], []
    for name, (subfolder, files) in _DATA_SETS.items():
        present = [f for f in files if any(_has_content(folder / subfolder / g) for g in (f, f + ".gz"))]
        if len(present) == len(files):
            complete.append(name)
        elif (folder / subfolder).exists():
            broken.append(f"{name} lacks {next(f for f in files if f not in present)}")
    always = "digits and noise need no files"
    download = f"sweep run --dataset mnist --data-dir {folder} --download"
    if broken:
        return Check("data sets", WARNING, f"in {folder}: {'; '.join(broken)}", f"{download} downloads it again")
    if not complete:
        return Check("data sets", WARNING, f"none in {folder}; {always}", f"if wanted: {download}")
    return Check("data sets", OK, f"{', '.join(complete)} in {folder}; {always}")


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _write_error(folder: Path) -> str | None:
    """Return why a folder cannot be written; None if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def _check_space(name: str, folder: Path, advice: str) -> Check:
    """Check whether there is enough free space on the disk of a folder."""
    free = shutil.disk_usage(folder).free / GIB
    text = f"{free:.1f} GiB free in {folder}"
    verdict = FAULT if free < _MIN_DISK_GIB else WARNING if free < _ENOUGH_DISK_GIB else OK
    return Check(name, verdict, text, "" if verdict == OK else advice)


def check_results(out: str) -> Check:
    """Check whether results can be written to a directory or URI."""
    out = out.removeprefix("file://")
    if "://" in out:
        return answer_of_child(
            "results", ["storage", out], f"{out} does not answer: check its endpoint and the network"
        )
    folder = Path(out).absolute()
    while not folder.exists():  # the sweep will make it
        folder = folder.parent
    if not folder.is_dir():
        return Check("results", FAULT, f"{folder} is not a folder", "choose another --out")
    if trouble := _write_error(folder):
        return Check(
            "results", FAULT, f"{folder} cannot be written: {trouble}", "choose another --out, or free some space"
        )
    return _check_space("results", folder, "free some space, or choose another --out; 1,000 points take about 10 MB")


def check_torch() -> Check:
    """Check whether torch and torchvision can be imported and fit together."""
    return answer_of_child("torch", ["torch"], "importing torch takes too long: is the disk slow?", REINSTALL)


def check_gpu() -> Check:
    """Check whether torch can use the GPUs of this machine."""
    return answer_of_child(
        "gpu",
        ["gpu"],
        "the GPU's driver does not answer",
        "restart the driver, or hide the GPUs: CUDA_VISIBLE_DEVICES=",
    )


def check_ray() -> Check:
    """Check whether a private Ray starts on this machine."""
    token = {} if os.environ.get("RAY_AUTH_MODE") == "disabled" else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    on_timeout = f"a private Ray does not start within {CHECK_TIMEOUT_S:.0f} s"
    advice = "is the machine busy, or does a firewall, proxy or VPN block connections on 127.0.0.1?"
    folder = _new_folder()
    try:
        return answer_of_child("ray", ["ray", folder], on_timeout, advice, **token)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> str:
    """Make a new folder in Ray's folder and return its path.

    Its name is no longer than "ray", so that sockets have paths as long as those of a sweep.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder := os.path.join(usable_folder(), secrets.token_hex(2)[:3]), 0o700)
            return folder


def check_cluster(address: str) -> Check:
    """Check whether a Ray cluster can be joined."""
    return answer_of_child(
        "cluster", ["cluster", address], f"{address} does not answer, or expects another token", TOKENS
    )
