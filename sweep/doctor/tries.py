"""What is tried in a process of its own: torch, a GPU, Ray, a cluster, a storage."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from sweep.doctor.answers import FAULT, GIB, OK, PATIENCE, REINSTALL, TOKENS, WARNING

_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA, AMD, Windows' Linux
_NO_GPU = "none: trials run on the CPU"
_VERSIONS = "install the cluster's versions of Python and Ray here, or these there"


def _found(verdict: str, found: str, advice: str = "") -> dict[str, str]:
    return {"verdict": verdict, "found": " ".join(found.split())[:400], "advice": advice}


def _try_torch() -> dict[str, str]:
    try:
        import torch
    except Exception as error:
        return _found(FAULT, f"torch cannot be imported: {error}", REINSTALL)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU-only build"
    try:
        import torchvision
    except Exception as error:
        return _found(FAULT, f"torchvision does not fit torch {torch.__version__}: {error}", REINSTALL)
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
            said.append(f"{torch.cuda.get_device_name(i)}, {free / GIB:.0f} of {total / GIB:.0f} GiB free")
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
    out = subprocess.run(query, capture_output=True, text=True, timeout=PATIENCE / 2)
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
    took = time.monotonic() - started
    ray.shutdown()
    return _found(OK, f"{ray.__version__}, a private one starts in {took:.0f} s")


def _try_cluster(address: str) -> dict[str, str]:
    from sweep.errors import SpecError
    from sweep.execution.cluster import authenticate, check_reachable
    from sweep.execution.nodes import alive

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
        return _found(FAULT, f"{address} cannot be joined: {text}", _VERSIONS if "ersion" in text else TOKENS)
    nodes = alive()
    ray.shutdown()
    cores, gpus = (sum(n[i] for n in nodes) for i in (0, 1))
    return _found(OK, f"{address}: Ray {ray.__version__}, {len(nodes)} nodes, {cores:g} cores, {gpus:g} GPUs")


def _try_storage(out: str) -> dict[str, str]:
    from sweep.errors import SpecError, StoreError
    from sweep.storage.sweep_files import SweepFiles

    name = f"doctor-{secrets.token_hex(4)}"
    try:
        files = SweepFiles(out)
        files.write(name, b"well")
        try:
            whole = files.read(name) == b"well"
        finally:
            files.remove(name)
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
