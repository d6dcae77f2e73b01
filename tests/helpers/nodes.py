"""A Ray cluster on this machine whose nodes can be killed: each a raylet with all of its workers."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sweep.execution.cluster import protect_token
from sweep.execution.ray_patches import RAY_COMMAND

RAY = [*RAY_COMMAND]
_ports = itertools.count(10_000 + 11_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), 1500)


def _is_free(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def clusters():
    """Makes them; all end with it."""
    made, folders = [], []

    def make():
        folders.append(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # sockets need a short path
        made.append(Nodes(folders[-1], next(p for p in _ports if _is_free(p))))
        return made[-1]

    try:
        yield make
    finally:
        for cluster in made:
            cluster.close()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def children(pid):
    """Return all descendants of a process."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Nodes:
    """A head without cores, and as many nodes as are added.

    Parameters
    ----------
    folder:
        For Ray's temporary files; a short path.
    port:
        Of the head; the next 2000 are used, too.
    """

    def __init__(self, folder, port):
        self.folder, self._ports = Path(folder), itertools.count(port, 100)
        protect_token(make=True)  # makes this user's token, which all of the cluster read
        self.environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
        self.nodes = []
        self.address = f"127.0.0.1:{port}"
        more = ["--port", port, "--num-cpus", 0, "--temp-dir", self.folder / "ray", "--include-dashboard", "false"]
        self.head = self._start("--head", *more)

    def _start(self, *arguments):
        """One node; a busy machine may need a second try."""
        for _ in range(2):
            first = next(self._ports)
            ports = ["--min-worker-port", first + 10, "--max-worker-port", first + 99]
            common = ["--block", "--disable-usage-stats", "--object-store-memory", 100 * 2**20]
            command = [str(a) for a in (*RAY, "start", *arguments, *ports, *common)]
            log = self.folder / f"{first}.log"
            with log.open("wb") as out:
                node = subprocess.Popen(command, env=self.environment, stdout=out, stderr=out, start_new_session=True)
            while node.poll() is None:
                if b"Ray runtime started" in log.read_bytes():
                    return node
                time.sleep(0.1)
        raise AssertionError(log.read_text())

    def add(self, cpus=1, gpus=0):
        self.nodes.append(self._start("--address", self.address, "--num-cpus", cpus, "--num-gpus", gpus))
        return self.nodes[-1]

    def lose(self, node):
        """As if its machine were gone."""
        self.nodes.remove(node)
        kill([*children(node.pid), node.pid])
        node.wait(30)

    def _workers(self):
        """Return the title of each worker process, by its number."""
        titles = {pid: _title(pid) for node in self.nodes for pid in children(node.pid)}
        return {pid: title for pid, title in titles.items() if title.startswith(b"ray::")}

    def workers(self):
        """Processes that run trials."""
        return [pid for pid, title in self._workers().items() if b".train" in title]

    def hold(self):
        """Stop all workers where they are: no trial gets any further."""
        for pid in self._workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def close(self):
        for node in [*self.nodes, self.head]:
            kill([*children(node.pid), node.pid])
            node.wait(30)
