"""Hosts with addresses, names and processes of their own, from network namespaces of this machine."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

_IN = """
hostname "$1" && mount --bind "$2" /etc/hosts &&
mkdir -p /tmp/ray && mount -t tmpfs tmpfs /tmp/ray && mount -t tmpfs tmpfs /dev/shm && shift 2 && exec "$@"
"""


class Host:
    """One of them; what it starts ends with it."""

    def __init__(self, name, namespace, names, home):
        self.name, self.home = name, home
        self._started = []
        home.mkdir()
        # The first process holds the host's mounts and process numbers; others join it.
        unshare = "unshare -m -p -u --fork --kill-child --mount-proc"
        self._first = subprocess.Popen(
            [*f"ip netns exec {namespace} {unshare} sh -c".split(), _IN, "sh", name, names]
            + ["sh", "-c", "echo up; exec sleep 100000"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._first.stdout.readline() == "up\n"
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()
        self._inside = children[0]

    def start(self, command, environment, log):
        """A process here; ``log`` takes what it prints."""
        with open(log, "ab") as file:
            process = subprocess.Popen(
                ["nsenter", f"--target={self._inside}", "--mount", "--net", "--uts", "--pid", *command],
                env={"PATH": os.environ["PATH"], "HOME": str(self.home), "OMP_NUM_THREADS": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def run(self, command, environment, log, timeout=120):
        """The exit code of a process here."""
        process = self.start(command, environment, log)
        try:
            return process.wait(timeout)
        finally:
            process.kill()

    def stop(self):
        """Kill all that runs here."""
        if self._first.poll() is None:
            os.kill(int(self._inside), signal.SIGKILL)  # the first of its process numbers: the kernel ends the others
        for process in (self._first, *self._started):
            process.wait(30)
        self._first.stdout.close()


@contextmanager
def hosts(folder, *names):
    """Name -> `Host`, on one network that nothing else is on."""
    if os.geteuid():
        pytest.skip("network namespaces can be made by root only")
    if missing := [p for p in ("ip", "unshare", "nsenter") if not shutil.which(p)]:
        pytest.skip(f"{missing[0]} is not installed")
    prefix = f"sweep{os.getpid()}"
    hub = f"{prefix}-hub"
    spaces = [hub, *(f"{prefix}-{n}" for n in names)]
    made: list[str] = []
    found: dict[str, Host] = {}
    listed = folder / "hosts"
    addresses = {name: f"10.251.0.{i}" for i, name in enumerate(names, 2)}
    listed.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in addresses.items()))
    try:
        for space in spaces:
            if subprocess.run(["ip", "netns", "add", space], capture_output=True).returncode:
                pytest.skip("network namespaces cannot be made here")
            made.append(space)
            _ip(space, "link set lo up")
        _ip(hub, "link add hub type bridge")
        _ip(hub, "link set hub up")
        for i, name in enumerate(names):
            space = f"{prefix}-{name}"
            _ip(space, f"link add eth0 type veth peer name port{i} netns {hub}")
            _ip(hub, f"link set port{i} master hub up")
            _ip(space, f"addr add {addresses[name]}/24 dev eth0")
            _ip(space, "link set eth0 up")
            found[name] = Host(name, space, str(listed), folder / f"home-{name}")
        yield found
    finally:
        for host in found.values():
            host.stop()
        for space in made:
            subprocess.run(["ip", "netns", "delete", space], check=False)


def _ip(space, command):
    subprocess.run(["ip", "-n", space, *command.split()], check=True)
