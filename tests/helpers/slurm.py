"""A private SLURM of two nodes on this machine: Debian's slurm-wlm and munge, run by whoever runs the tests."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sweep.launch import slurm as launcher
from sweep.launch.job import Job
from sweep.launch.plan import Plan

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))

# No cgroups, as on the plainest of clusters: SLURM loses sight of daemons that leave their process group.
_CONFIGURATION = """
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=20
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 Gres=gpu:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF
"""


def plan(
    out: object = "runs/x",
    arguments: Sequence[str] = ("--points", "8"),
    nodes: int = 2,
    cpus: int = 1,
    gpus: int = 0,
    **options: Any,
) -> Plan:
    """Return how a small sweep is submitted."""
    options = {"time": "10", "partition": None, "account": None, **options}
    return launcher.plan(Job("a-sweep", str(out), tuple(arguments), nodes, cpus, gpus), **options)


def missing() -> str:
    """The programs that are not here, as a reason to skip; empty if all are."""
    absent = [p for p in PROGRAMS if not shutil.which(p, path=_PATH)]
    return f"needs Debian's slurm-wlm and munge; not here: {', '.join(absent)}" if absent else ""


class Slurm:
    """Its configuration, and how to call its programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(folder / "slurm.conf")}

    def __call__(self, *arguments: object, seconds: float = 30) -> str:
        """Run one of its programs; what it printed."""
        done = subprocess.run(
            [str(a) for a in arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}{self.logs()}"
        return done.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` knows of a job."""
        words = self("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "".join(f"\n{f.name}\n{f.read_text()[-1500:]}" for f in sorted(self.folder.glob("*.log")))


@contextmanager
def private_slurm(folder: Path) -> Iterator[Slurm]:
    """The daemons, as long as the context lasts; ``folder`` has a short path, for the sockets in it."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        ports = [s.getsockname()[1] for s in sockets]
    slurm = Slurm(folder)
    host = socket.gethostname().split(".")[0]
    text = _CONFIGURATION.format(host=host, ports=ports, user=getpass.getuser(), folder=folder)
    (folder / "slurm.conf").write_text(text)
    for device in ("gpu0", "gpu1"):
        (folder / device).touch()
    (folder / "gres.conf").write_text(f"NodeName=n[1-2] Name=gpu File={folder}/gpu[0-1]\n")
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    munged = ("munged", "--foreground", "--force", "--key-file", key, "--socket", folder / "munge.socket")
    places = ("--pid-file", folder / "munge.pid", "--seed-file", folder / "munge.seed")
    with ExitStack() as stack:
        stack.enter_context(_daemon(slurm, *munged, *places))
        _wait(folder / "munge.socket")
        stack.enter_context(_daemon(slurm, "slurmctld", "-D"))
        for node in ("n1", "n2"):
            stack.enter_context(_daemon(slurm, "slurmd", "-D", "-N", node))
        deadline = time.monotonic() + 60
        while slurm("sinfo", "--noheader", "--partition=main", "--format=%T %D") != "idle 2":
            assert time.monotonic() < deadline, slurm.logs()
            time.sleep(0.2)
        try:
            yield slurm
        finally:  # jobs outlive the daemons
            slurm("scancel", "--user", getpass.getuser())
            deadline = time.monotonic() + 60
            while slurm("squeue", "--noheader") and time.monotonic() < deadline:
                time.sleep(0.2)


@contextmanager
def _daemon(slurm: Slurm, *arguments: object) -> Iterator[None]:
    with (slurm.folder / f"{arguments[0]}.out").open("ab") as output:
        process = subprocess.Popen(
            [str(a) for a in arguments], env=slurm.environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)
