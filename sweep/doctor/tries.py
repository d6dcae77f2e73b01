"""Checks that may hang or crash, run as the main module of a child process: torch, GPU, Ray, cluster, storage."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from sweep.doctor.answers import FAULT, GIB, OK, REINSTALL, TOKENS, WARNING

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows Subsystem for Linux
_DRIVER_TIMEOUT_S = 8.0  # for nvidia-smi
_NO_GPU = "none: trials run on the CPU"
_VERSIONS = "install the same versions of Python and Ray here and on the cluster"


def _result(verdict: str, text: str, advice: str = "") -> dict[str, str]:
    """Return the fields of a `Check` but its name, with the text in one line."""
    return {"verdict": verdict, "found": " ".join(text.split())[:400], "advice": advice}


def _try_torch() -> dict[str, str]:
    try:
        import torch
    except Exception as error:
        return _result(FAULT, f"torch cannot be imported: {error}", REINSTALL)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU-only build"
    try:
        import torchvision
    except Exception as error:
        return _result(FAULT, f"torchvision does not fit torch {torch.__version__}: {error}", REINSTALL)
    return _result(OK, f"{torch.__version__} ({build}), torchvision {torchvision.__version__}")


def _try_gpu() -> dict[str, str]:
    gpus = _driver_query()
    if not gpus and not any(map(os.path.exists, _GPU_DEVICES)):
        return _result(OK, _NO_GPU)
    import torch

    if torch.cuda.is_available():
        devices, low = [], False
        for i in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(i)
            devices.append(f"{torch.cuda.get_device_name(i)}, {free / GIB:.0f} of {total / GIB:.0f} GiB free")
            low |= free < 0.5 * total
        text = "; ".join(devices) + (f"; driver {gpus[0].rpartition(', ')[2]}" if gpus else "")
        if low:
            return _result(
                WARNING, text, "other processes use it: see nvidia-smi; choose a GPU with CUDA_VISIBLE_DEVICES"
            )
        return _result(OK, text)
    if not gpus:
        return _result(OK, _NO_GPU)
    names = f"{len(gpus)} x {gpus[0]}"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return _result(WARNING, f"{names}, hidden", "unset CUDA_VISIBLE_DEVICES to use them")
    if not torch.version.cuda:
        return _result(WARNING, f"{names}, but torch is a CPU-only build", "install torch and torchvision for CUDA")
    advice = f"install a driver for CUDA {torch.version.cuda}, or a build of torch for an older CUDA"
    return _result(WARNING, f"{names}, but torch cannot use it", advice)


def _driver_query() -> list[str]:
    """Return "name, driver version" of every NVIDIA GPU, as nvidia-smi prints it; empty without nvidia-smi."""
    if not (program := shutil.which("nvidia-smi")):
        return []
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    out = subprocess.run(query, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_S)
    return out.stdout.strip().splitlines() if out.returncode == 0 else []


def _try_ray(folder: str) -> dict[str, str]:
    import logging

    started = time.monotonic()
    import ray

    from sweep.execution.ray_patches import TEMP_DIR

    options: dict[str, Any] = {TEMP_DIR: folder}
    ray.init(
        address="local",
        num_cpus=1,
        num_gpus=0,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        **options,
    )
    seconds = time.monotonic() - started
    ray.shutdown()
    return _result(OK, f"{ray.__version__}, a private one starts in {seconds:.0f} s")


def _try_cluster(address: str) -> dict[str, str]:
    from sweep.errors import SpecError, UnavailableError
    from sweep.execution.cluster import authenticate, check_reachable
    from sweep.execution.nodes import live_nodes

    try:
        check_reachable(address)
        authenticate(address)
    except (SpecError, UnavailableError) as error:
        advice = "does the head run (ray status)? is the port that of its GCS (6379)? does a firewall block it?"
        return _result(FAULT, str(error).replace("`address` ", ""), advice)
    import logging

    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:
        text = str(error)
        return _result(FAULT, f"{address} cannot be joined: {text}", _VERSIONS if "ersion" in text else TOKENS)
    nodes = live_nodes()
    ray.shutdown()
    cores, gpus = sum(n.cores for n in nodes), sum(n.gpus for n in nodes)
    return _result(OK, f"{address}: Ray {ray.__version__}, {len(nodes)} nodes, {cores:g} cores, {gpus:g} GPUs")


def _try_storage(out: str) -> dict[str, str]:
    from sweep.errors import SpecError, StoreError
    from sweep.storage.sweep_files import SweepFiles

    name = f"doctor-{secrets.token_hex(4)}"
    try:
        files = SweepFiles(out)
        files.write(name, b"well")
        try:
            intact = files.read(name) == b"well"
        finally:
            files.remove(name)
    except (SpecError, StoreError) as error:
        return _result(
            FAULT,
            str(error),
            "set the keys in the environment (AWS_ACCESS_KEY_ID ...); does the bucket exist?",
        )
    return (
        _result(OK, f"{out} can be written and read")
        if intact
        else _result(FAULT, f"{out} does not return what was written")
    )


_CHECKS: dict[str, Callable[..., dict[str, str]]] = {
    "torch": _try_torch,
    "gpu": _try_gpu,
    "ray": _try_ray,
    "cluster": _try_cluster,
    "storage": _try_storage,
}


def main(name: str, *arguments: Any) -> None:
    """Run one of the checks and print its result as a line of JSON."""
    print("\n" + json.dumps(_CHECKS[name](*arguments)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
