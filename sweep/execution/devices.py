"""The GPU of a trial, and why it cannot be used if it cannot."""

import shutil
import subprocess

_DRIVER_TIMEOUT_S = 8.0  # for nvidia-smi
_UNUSABLE = "this trial holds a GPU that cannot be used"


class UnusableGpuError(RuntimeError):
    """The error of a trial that holds a share of a GPU, but could compute on the CPU alone."""


def driver_query() -> list[str]:
    """Return "name, driver version" of every NVIDIA GPU, as nvidia-smi prints it; empty without nvidia-smi."""
    if not (program := shutil.which("nvidia-smi")):
        return []
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return out.stdout.strip().splitlines() if out.returncode == 0 else []


def check_gpu() -> None:
    """Refuse to go on in a process that holds a share of a GPU which torch cannot use.

    Raises
    ------
    UnusableGpuError
        The message names the versions of torch, of the CUDA that it was built for, and of the driver.
    """
    import torch

    if torch.cuda.is_available():
        return
    build = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a build for the CPU"
    names = driver_query()
    driver = f"the driver is {names[0].rpartition(', ')[2]}" if names else "there is no driver of NVIDIA"
    raise UnusableGpuError(f"{_UNUSABLE}: torch {torch.__version__} {build}, {driver}; `sweep doctor` says more")


def unusable_gpu(error: str) -> str | None:
    """Return the message of `check_gpu` in the text of a trial's error; None if the trial failed for another reason."""
    _, found, rest = error.partition(_UNUSABLE)
    return f"{_UNUSABLE}{rest.partition(chr(10))[0]}" if found else None


def described_gpu() -> str:
    """Return name, memory, driver and CUDA of the first GPU of this process, in one line.

    Raises
    ------
    UnusableGpuError
        As of `check_gpu`.
    """
    import torch

    check_gpu()
    free, total = torch.cuda.mem_get_info(0)
    names = driver_query()
    driver = names[0].rpartition(", ")[2] if names else "unknown"
    memory = f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
    return f"{torch.cuda.get_device_name(0)}, {memory}, driver {driver}, CUDA {torch.version.cuda}"
