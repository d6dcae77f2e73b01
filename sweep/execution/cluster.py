"""Starting a private Ray on this machine, or joining a cluster."""

import contextlib
import logging
import math
import os
import secrets
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sweep.errors import SpecError, UnavailableError
from sweep.execution.capacity import Capacity
from sweep.execution.nodes import live_nodes
from sweep.execution.private_ray import private_ray, token_file
from sweep.execution.ray_patches import RAY_COMMAND, job_config, pickled_by_value
from sweep.limits import available_bytes, cores
from sweep.processes import safe_path
from sweep.spec.experiment import Workload
from sweep.spec.kinds import Address
from sweep.spec.parts import Resources
from sweep.text import one_line

if TYPE_CHECKING:
    from probes import Images

_MAX_TRIALS_PER_CORE = 8  # each trial is a process of half a gigabyte
_CONNECTION_TIMEOUT_S, _HEALTH_TIMEOUT_S = 10.0, 25.0
_OBJECT_STORE_BYTES = 80 * 2**20  # the smallest that Ray allows; the images come on top
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def check_local_resources(spec: Resources) -> None:
    """Refuse trials that are too large or too many for a private Ray on this machine.

    Raises
    ------
    SpecError
        ``cpus_per_trial`` or ``concurrency`` is too high. Sweeps on a cluster are never refused.
    """
    if not spec.is_here:
        return
    local_cores = cores()
    if spec.cpus_per_trial > local_cores:
        raise SpecError(
            f"`cpus_per_trial` must be at most {local_cores}, the cores of this machine, got {spec.cpus_per_trial:g}"
        )
    if spec.concurrency and spec.concurrency > _MAX_TRIALS_PER_CORE * local_cores:
        raise SpecError(
            f"`concurrency` must be at most {_MAX_TRIALS_PER_CORE * local_cores} on this machine, "
            f"{_MAX_TRIALS_PER_CORE} per core, "
            f"got {spec.concurrency}"
        )


@contextlib.contextmanager
def connected_ray(spec: Workload, images: "Images", verbose: bool = False) -> Iterator[Capacity]:
    """Provide Ray within a ``with`` block, and yield the capacity of its cluster.

    A process that has joined a Ray already goes on using it, and stays connected afterwards. Otherwise a private Ray
    is started, or the cluster at ``spec.address`` is joined, and left at the end of the block; its workers import
    nothing from the working directory. ``verbose`` shows the output of Ray and of its workers.

    Raises
    ------
    SpecError
        No node of the cluster has the resources of a trial, or ``spec.address`` names one although the process has
        joined a Ray.
    UnavailableError
        The cluster cannot be joined, or Ray does not start.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.update(safe_path())
    starts_here = "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
    memory = available_bytes()  # before Ray takes some; Ray does not see the limits of all control groups
    with contextlib.ExitStack() as stack:
        if starts_here:
            with warnings.catch_warnings():
                if not verbose:
                    warnings.simplefilter("ignore")
                stack.enter_context(_private_ray(spec, images, verbose) if spec.is_here else _joined_ray(spec, verbose))
            stack.enter_context(pickled_by_value())
        elif spec.address not in (None, "auto"):
            raise SpecError(f"`address` must be left out where the program has joined a Ray, got {spec.address!r}")
        is_private = starts_here and spec.is_here
        yield Capacity(spec, lambda: [n._replace(memory=memory) for n in live_nodes()] if is_private else live_nodes())


def _private_ray(spec: Workload, images: "Images", verbose: bool) -> contextlib.AbstractContextManager[None]:
    protect_token(make=True)
    bytes_of_images = sum(t.numel() * t.element_size() for t in (images.train, images.test))
    return private_ray(
        num_cpus=max(cores(), math.ceil((spec.concurrency or 1) * spec.cpus_per_trial)),
        object_store_memory=_OBJECT_STORE_BYTES + 2 * bytes_of_images,
        include_dashboard=False,
        **_options(verbose),
    )


@contextlib.contextmanager
def _joined_ray(spec: Workload, verbose: bool) -> Iterator[None]:
    address = str(spec.address)
    check_reachable(address)
    authenticate(address)
    import ray

    try:
        ray.init(address=address, **_options(verbose))
    except Exception as error:  # Ray raises exceptions of many types here
        raise UnavailableError(
            f"`address` {address!r} cannot be joined: {one_line(error)[:300]} "
            "(driver and nodes must agree on RAY_AUTH_MODE, see cluster/README.md)"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _options(verbose: bool) -> dict[str, Any]:
    level = logging.INFO if verbose else logging.ERROR
    return {"log_to_driver": verbose, "logging_level": level, "job_config": job_config()}


def protect_token(make: bool = False) -> bool:
    """Keep Ray's token from other users, and return whether there is one.

    With ``make``, it is made if there is none: Ray itself would write one that everybody on the machine can read. Where
    there is no home directory to write it to, it is in the environment of this process alone.
    """
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return True
    try:
        token = token_file()
        if make and not token.exists():
            token.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        if token.exists():
            token.chmod(0o600)
        return token.exists()
    except (OSError, RuntimeError):
        if make:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        return make


def authenticate(address: str) -> None:
    """Ask a cluster whether it is well, and make Ray use a token where it requires one.

    Has to be called before Ray is imported. A cluster is joined with the token only if it refuses a connection without
    it, since those that use none do not work with it. ``RAY_AUTH_MODE`` in the environment takes precedence.

    Raises
    ------
    UnavailableError
        No cluster answers at the address. (Ray itself would go on trying for minutes.)
    """
    has_token, mode = protect_token(), os.environ.get("RAY_AUTH_MODE")
    modes = [mode] if mode is not None or not has_token else [None, "token"]
    processes = {mode: _health_check(address, mode) for mode in modes}
    end = time.monotonic() + _HEALTH_TIMEOUT_S
    try:
        for mode, process in processes.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                if process.wait(max(0.0, end - time.monotonic())) == 0:
                    os.environ |= {} if mode is None else {"RAY_AUTH_MODE": mode}
                    return
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    if address == "auto":
        raise UnavailableError("`address` 'auto' finds no Ray cluster on this machine: start one by `ray start --head`")
    raise UnavailableError(
        f"`address` {address!r} cannot be joined: no Ray cluster answers there; is this the port of the head's GCS "
        "(6379 unless it was given another), and have driver and nodes the same token (see cluster/README.md)?"
    )


def _health_check(address: str, mode: str | None) -> "subprocess.Popen[bytes]":
    command = [*RAY_COMMAND, "health-check", "--skip-version-check"]  # Ray says itself which versions differ
    command += [] if address == "auto" else ["--address", address]
    environment = os.environ | ({} if mode is None else {"RAY_AUTH_MODE": mode})
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, env=environment)


def check_reachable(address: str) -> None:
    """Refuse an address at which no server listens.

    Ray itself would go on trying for minutes. For ``auto``, that is the address in ``RAY_ADDRESS``, if there is one.

    Raises
    ------
    SpecError
        ``RAY_ADDRESS`` is malformed.
    UnavailableError
        The connection fails, or takes more than 10 seconds.
    """
    name = "address"
    if address == "auto":
        name, address = "RAY_ADDRESS", os.environ.get("RAY_ADDRESS", "auto")
        if Address().check(name, address) == "auto":
            return  # Ray looks for a cluster on this machine
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECTION_TIMEOUT_S).close()
    except OSError as error:
        raise UnavailableError(
            f"`{name}` {address!r} cannot be joined: {one_line(error)}; does the cluster's head run there, "
            "and is this the port of its GCS (6379 unless it was given another)?"
        ) from None
