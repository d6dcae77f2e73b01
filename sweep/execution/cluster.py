"""Starting a private Ray, or joining a cluster."""

import contextlib
import logging
import math
import os
import secrets
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import SpecError
from sweep.execution.capacity import Capacity
from sweep.execution.nodes import alive
from sweep.execution.ray_patches import RAY_COMMAND
from sweep.limits import cores
from sweep.spec.experiment import Workload
from sweep.spec.parts import Resources

if TYPE_CHECKING:
    from probes import Images

_TRIALS_PER_CORE = 8  # each is a process of half a gigabyte
_OBJECT_STORE_BYTES = 80 * 2**20  # the smallest that Ray allows; images beside it are added
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def check_here(spec: Resources) -> None:
    """Refuse more than a private Ray on this machine should be asked for."""
    if not spec.is_here:
        return
    here = cores()
    if spec.cpus_per_trial > here:
        raise SpecError(f"`cpus_per_trial` must be at most {here}, the cores here, got {spec.cpus_per_trial:g}")
    if spec.concurrency and spec.concurrency > _TRIALS_PER_CORE * here:
        raise SpecError(
            f"`concurrency` must be at most {_TRIALS_PER_CORE * here} here, {_TRIALS_PER_CORE} a core, "
            f"got {spec.concurrency}"
        )


@contextlib.contextmanager
def on_ray(spec: Workload, images: "Images", verbose: bool = False) -> Iterator[Capacity]:
    """Use a private Ray, the cluster at ``spec.address``, or the Ray that this process has joined already.

    That one is left running. ``verbose`` shows what Ray and the workers say.

    Raises
    ------
    SpecError
        The cluster cannot be joined, or has less than one trial needs; another one is asked for than was joined.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    is_ours = "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
    if is_ours:
        _start_or_join(spec, images, verbose)
    elif spec.address not in (None, "auto"):
        raise SpecError(f"`address` must be left out where the program has joined a Ray, got {spec.address!r}")
    try:
        yield Capacity(spec, alive)
    finally:
        if is_ours:
            sys.modules["ray"].shutdown()


def _start_or_join(spec: Workload, images: "Images", verbose: bool) -> None:
    authenticate(None if spec.is_here else spec.address)
    import ray

    told: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.ERROR}
    with warnings.catch_warnings():
        if not verbose:
            warnings.simplefilter("ignore")
        if spec.is_here:
            bytes_of_images = sum(t.numel() * t.element_size() for t in (images.train, images.test))
            ray.init(
                address="local",
                num_cpus=max(cores(), math.ceil((spec.concurrency or 1) * spec.cpus_per_trial)),
                object_store_memory=_OBJECT_STORE_BYTES + 2 * bytes_of_images,
                include_dashboard=False,
                **told,
            )
            return
        check_reachable(str(spec.address))
        try:
            ray.init(address=spec.address, **told)
        except Exception as error:  # of many kinds, none of them ours
            reason = " ".join(str(error).split())
            raise SpecError(
                f"`address` {spec.address!r} cannot be joined: {reason[:300]} "
                "(driver and nodes must agree on RAY_AUTH_MODE, see cluster/README.md)"
            ) from None


def authenticate(address: str | None) -> None:
    """Use a token where one is asked for, and let nobody else read it. To be called before Ray is imported.

    For a private cluster (no address) Ray makes one, which everybody on the machine could read. It joins others without
    one, unless the environment says so; those that ask for it refuse that, and those that do not are no use with it.
    """
    token = Path.home() / ".ray" / "auth_token"
    elsewhere = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    with contextlib.suppress(OSError):
        if not address and not elsewhere and not token.exists():
            token.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        if token.exists():
            token.chmod(0o600)
    if address and "RAY_AUTH_MODE" not in os.environ and (elsewhere or token.exists()):
        command = [*RAY_COMMAND, "health-check"]
        command += [] if address == "auto" else ["--address", address]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if subprocess.run(command, capture_output=True, timeout=60).returncode:
                os.environ["RAY_AUTH_MODE"] = "token"


def check_reachable(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would go on trying for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`, or for Ray to judge
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise SpecError(f"`address` {address!r} cannot be joined: {error}") from None
