"""Checks that may hang or crash, run as the main module of a child process: torch, GPU, Ray, cluster, storage."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from sweep.doctor.answers import FAULT, GIB, OK, REINSTALL, TOKENS, WARNING
from sweep.execution.devices import described_gpu, driver_query, unusable_gpu

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows Subsystem for Linux
_GPU_TIMEOUT_S = 25.0  # for a task on a GPU: its worker imports torch
_GPU_ADVICE = (
    "install a driver for the CUDA that torch is built for, or a build of torch for an older CUDA, on these nodes"
)
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
    gpus = driver_query()
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
    nodes, on_gpus = live_nodes(), _gpus_of_nodes()
    ray.shutdown()
    cores, gpus = sum(n.cores for n in nodes), sum(n.gpus for n in nodes)
    text = f"{address}: Ray {ray.__version__}, {len(nodes)} nodes, {cores:g} cores, {gpus:g} GPUs"
    bad = [found for found, is_usable in on_gpus if not is_usable]
    text = "; ".join([text, *(found for found, _ in on_gpus)])
    return _result(FAULT, text, _GPU_ADVICE) if bad else _result(OK, text)


def _gpus_of_nodes() -> list[tuple[str, bool]]:
    """Run a task on a GPU of every node that has some; return what each found, in words, and whether it can be used."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("GPU")]
    task = ray.remote(described_gpu)
    tasks = {
        task.options(
            num_cpus=0,
            num_gpus=min(1.0, n["Resources"]["GPU"]),
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False),
        ).remote(): n["NodeManagerHostname"]
        for n in nodes
    }
    waiting, end = [*tasks], time.monotonic() + _GPU_TIMEOUT_S
    while waiting and time.monotonic() < end:  # in short steps: a check that only waits would be taken to hang
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0.05)
    return [_answer_of(reference, host) for reference, host in tasks.items()]


def _answer_of(reference: Any, host: str) -> tuple[str, bool]:
    """Return what a task found on a host, in words, and whether its GPU can be used; a busy one counts as usable."""
    import ray

    try:
        return f"{host}: {ray.get(reference, timeout=0)}", True
    except ray.exceptions.GetTimeoutError:
        return f"{host}: its GPUs are busy", True
    except Exception as error:
        return f"{host}: {unusable_gpu(str(error)) or type(error).__name__}", False


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
