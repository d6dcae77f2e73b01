"""What launchers start, on hosts of their own: the image's steps, Docker's services, the machines of `ray up`.

SWEEP_LONG=1 installs all dependencies anew, as the image does (some minutes and gigabytes).
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import click
import yaml

from sweep.cli.launch import parse_job
from sweep.cli.main import main
from sweep.launch import ray_up
from sweep.launch.job import Job
from sweep.results.loading import load
from tests.helpers import ROOT
from tests.helpers.containers import composed, instructions
from tests.helpers.hosts import hosts


def test_install_steps_in_a_bare_environment(tmp_path):
    """The RUN lines that install the package; its dependencies are this environment's, or all anew."""
    build, dependencies, install = [line for line in instructions("RUN") if line.startswith("pip ")]
    environment, source, wheels = tmp_path / "environment", tmp_path / "source", tmp_path / "wheels"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    if not os.environ.get("SWEEP_LONG"):
        (packages,) = (environment / "lib").glob("python*/site-packages")
        here = dict.fromkeys(str(distribution(name).locate_file("")) for name in ("ray", "pip", "setuptools"))
        (packages / "here.pth").write_text("\n".join(here))
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "runs", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)

    def run(*command, folder=tmp_path):
        found = {**os.environ, "PATH": f"{environment}/bin:{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert dependencies == (
        "pip install --no-cache-dir -r /home/ray/pinned/requirements.txt -c /home/ray/pinned/constraints.txt"
    )
    if os.environ.get("SWEEP_LONG"):
        run("pip", "install", "--no-cache-dir", ".", "-c", "cluster/docker/constraints.txt", folder=source)
    for step in (build, install):
        run("sh", "-c", step.replace("/home/ray/wheels", str(wheels)), folder=source)
    (wheel,) = wheels.glob("*.whl")
    inside = {n.removeprefix("sweep/cluster/") for n in zipfile.ZipFile(wheel).namelist() if "/cluster/" in n}
    ours = {str(p.relative_to(source / "cluster")) for p in (source / "cluster").rglob("*") if p.is_file()}
    assert inside == ours and len(ours) > 10
    shutil.rmtree(source)
    for words in (["--help"], ["launch", "kuberay", "--image", "x", "--dry-run"], ["launch", "docker", "--dry-run"]):
        assert run(str(environment / "bin" / "sweep"), *words)
    (packages,) = (environment / "lib").glob("python*/site-packages")
    command = (str(environment / "bin" / "python"), "-c", "import sweep; print(sweep.__file__)")
    assert run(*command).strip() == str(packages / "sweep" / "__init__.py")
    shutil.rmtree(environment)  # gigabytes


def healthcheck():
    (line,) = instructions("HEALTHCHECK")
    return json.loads(line.split(" CMD ")[1])


def test_the_services_make_a_cluster_that_runs_and_resumes_a_sweep(tmp_path):
    """Every service's own command, on a host of its own in a network that leads nowhere."""
    points = ("--points", "6", "--probe", "direct", "--images", "256", "--resize", "6", "--depth", "3", "6")
    job = Job(
        *("first", "out", (*points, "--concurrency", "2", "--quiet")),
        nodes=2,
        cpus=1,
        gpus=0,
        resume_arguments=("--points", "9"),
    )
    compose = composed(job)
    for folder in ("token", "results"):
        (tmp_path / folder).mkdir()
    services = json.loads(
        re.sub(r"/(token|results)\b", lambda m: str(tmp_path / m[1]), json.dumps(compose["services"]))
    )
    programs = Path(sys.executable).parent

    def environment(name):
        path = f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {**services[name]["environment"], "PATH": path}

    def healthy(host, command, name):
        end = time.monotonic() + 90
        while host.run(command, environment(name), tmp_path / "health.log"):
            assert time.monotonic() < end, (tmp_path / f"{host.name}.log").read_text()[-3000:]
            time.sleep(1)

    with hosts(tmp_path, "head", "worker1", "worker2", "driver", "again") as found:
        start = services["token"]
        tokens = set()
        for _ in range(2):  # made once only
            assert found["driver"].run(start["command"], environment("token"), tmp_path / "token.log") == 0
            token = tmp_path / "token" / "auth_token"
            assert token.stat().st_mode & 0o777 == 0o600
            tokens.add(token.read_text().strip())
        assert [len(t) for t in tokens] == [64]
        found["head"].start(services["head"]["command"], environment("head"), tmp_path / "head.log")
        healthy(found["head"], services["head"]["healthcheck"]["test"][1:], "head")
        assert found["worker1"].run(healthcheck(), environment("worker"), tmp_path / "health.log") == 1  # nothing yet
        for name in ("worker1", "worker2"):
            found[name].start(services["worker"]["command"], environment("worker"), tmp_path / f"{name}.log")
        for name in ("worker1", "worker2"):
            healthy(found[name], healthcheck(), "worker")
        log = tmp_path / "driver.log"
        assert found["driver"].run(services["driver"]["command"], environment("driver"), log, 200) == 0, log.read_text()
        results = load(tmp_path / "results" / "first").points
        assert len(results) == 6 and set(results.status) == {"ok"}
        assert set(results.hostname) <= {"worker1", "worker2"}
        # Compose starts the container of a driver that failed again.
        assert found["again"].run(services["driver"]["command"], environment("driver"), log, 200) == 0, log.read_text()
        results = load(tmp_path / "results" / "first").points
        assert len(results) == 9 and not results.duplicated(["sigma_w", "sigma_b", "depth", "seed"]).any()
        keys = "from ray._raylet import GcsClient; print(GcsClient(address='head:6379').internal_kv_keys(b'', None))"
        stranger = [sys.executable, "-c", keys]
        assert found["driver"].run(stranger, environment("driver"), log) == 0
        for token in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
            log = tmp_path / f"stranger-{token['RAY_AUTH_MODE']}.log"
            assert found["driver"].run(stranger, {**token, "PATH": environment("driver")["PATH"]}, log) != 0
            assert "AuthenticationError" in log.read_text()


def test_a_driver_that_is_first_waits_for_the_machines(tmp_path):
    """The commands that start Ray and the sweep, on hosts of their own; a worker comes when the driver wants one."""
    points = "--points 6 --probe direct --images 256 --resize 6 --depth 3 6 --quiet --storage"
    with click.Context(main):
        job = parse_job((*points.split(), str(tmp_path / "bucket")), "first", 2, 1, 0)
    cloud = dict(provider="aws", region="us-east-1", zone=None, project=None, bucket="mine")
    planned = ray_up.plan(job, **cloud, image="i", machine_image="an-image", machine="one core")
    (tmp_path / "results").mkdir()
    config = yaml.safe_load(next(t for p, t in planned.files.items() if p.name == "cluster.yaml"))
    files = {p.name: text.replace("/results", str(tmp_path / "results")) for p, text in planned.files.items()}
    # There is no cloud to ask for machines; and `ray stop` is for machines that were used before.
    head, worker = (
        config[f"{part}_start_ray_commands"][-1].replace("--autoscaling-config=~/ray_bootstrap_config.yaml", "")
        for part in ("head", "worker")
    )
    path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    log = tmp_path / "run.log"
    with hosts(tmp_path, "head", "worker") as found:
        for host in found.values():
            (host.home / ".ray").mkdir()
            (host.home / ".ray" / "auth_token").write_text(files["auth_token"])
            (host.home / "run.sh").write_text(files["run.sh"])
            for command in config["setup_commands"]:
                assert host.run(["sh", "-c", command], {}, log) == 0
        assert stat.S_IMODE((found["head"].home / ".ray" / "auth_token").stat().st_mode) == 0o600
        assert found["head"].run(["bash", "-c", head], {"PATH": path}, log) == 0, log.read_text()
        driver = found["head"].start(["bash", "-c", "sh ~/run.sh"], {"PATH": path}, log)
        parts = tmp_path / "results" / "first" / "spec.json"
        end = time.monotonic() + 90
        while not parts.exists() and time.monotonic() < end:
            time.sleep(0.5)
        time.sleep(10)
        assert driver.poll() is None, log.read_text()
        assert found["worker"].run(["bash", "-c", worker], {"PATH": path, "RAY_HEAD_IP": "head"}, log) == 0
        assert driver.wait(150) == 0, log.read_text()
        results = load(tmp_path / "results" / "first").points
        assert len(results) == 6 and set(results.hostname) == {"worker"} and set(results.status) == {"ok"}
