"""The Dockerfile and the Compose file: what they say, and their own commands run as they stand."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sweep.errors import SpecError
from sweep.launch.docker import plan
from sweep.launch.plan import Job
from sweep.results.loading import load
from tests.helpers import ROOT
from tests.helpers.hosts import hosts

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
JOB = Job("first", "runs/a b", ("--points", "6"), nodes=2, cpus=3, gpus=0)


def composed(job=JOB, image="trainability-sweep"):
    """The Compose file, with its variables resolved as Compose would."""
    (text,) = plan(job, image=image).files.values()
    found = yaml.safe_load(text)
    driver = found["services"]["driver"]["command"]
    assert not re.search(r"(?<!\$)\$(?!\$)", text), "a variable of Compose"
    driver[-1] = driver[-1].replace("$$", "$")
    return found


def instructions(name):
    return re.findall(rf"^{name} (.*)", DOCKERFILE, re.MULTILINE)


def healthcheck():
    (line,) = instructions("HEALTHCHECK")
    return json.loads(line.split(" CMD ")[1])


def test_dockerfile_is_lint_clean():
    program = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    bad = subprocess.run([program, "-"], input="FROM a\nRUN apt-get install b\n", capture_output=True, text=True)
    assert bad.returncode  # it would have said so


def test_image():
    assert len(instructions("FROM")) == 2
    assert re.fullmatch(r"RAY_IMAGE=rayproject/ray:\d+\.\d+\.\d+-py\d+", instructions("ARG")[0])
    assert instructions("USER")[-1] == "1000:100"
    assert json.loads(instructions("ENTRYPOINT")[0])[0].endswith("/tini")
    assert not re.search(r"(?i)token=|password=|secret=", DOCKERFILE)
    copied = {word for line in instructions("COPY") for word in line.split()[1:-1] if not word.startswith("--")}
    allowed = set((ROOT / ".dockerignore").read_text().replace("!", "").split())
    assert copied - {"/home/ray/wheels"} <= allowed


def test_install_steps_in_a_bare_environment(tmp_path):
    """The RUN lines that install the package, in a virtual environment that holds nothing."""
    steps = [line for line in instructions("RUN") if line.startswith("pip ")]
    assert len(steps) == 2
    environment, source = tmp_path / "environment", tmp_path / "source"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "runs", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    for step in steps:
        step = step.replace("/home/ray/wheels", str(tmp_path / "wheels"))
        command = f'. "{environment}/bin/activate" && {step}'
        done = subprocess.run(["sh", "-c", command], cwd=source, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr[-2000:]
    for words in (["--help"], ["launch", "kuberay", "--image", "x", "--dry-run"], ["launch", "docker", "--dry-run"]):
        done = subprocess.run([environment / "bin" / "sweep", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    shutil.rmtree(environment)  # gigabytes


def test_compose_is_closed():
    for job in (JOB, Job("first", "out", (), nodes=1, cpus=3, gpus=2)):
        services = composed(job)["services"]
        assert set(services) == {"token", "head", "worker", "driver"}
        for name, service in services.items():
            assert not service.get("ports"), name
            assert "privileged" not in service and service.get("network_mode", "none") == "none"
            assert service["user"].split(":")[0] not in ("0", "root", "")
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["environment"]["RAY_AUTH_MODE"] == "token"
            mounts = {v.split(":")[1]: v for v in service["volumes"] if isinstance(v, str)}
            assert service["environment"]["RAY_AUTH_TOKEN_PATH"].startswith("/token/")
            assert mounts["/token"] == ("token:/token" if name == "token" else "token:/token:ro")
            assert ("/results" in mounts) == (name == "driver")
    assert composed()["networks"]["ray"] == {"internal": True}
    assert [n for n, s in composed()["services"].items() if "outside" in s.get("networks", [])] == ["driver"]


def test_compose_follows_the_job():
    made = plan(JOB, image="r/x:1")
    assert made.commands == [
        ["docker", "compose", "-f", "runs/a b.launch/compose.yaml", "up", "-d", "--scale", "worker=2"]
    ]
    assert "'runs/a b.launch/compose.yaml' down" in made.stop
    assert "cp driver:/results/first/. 'runs/a b'" in made.fetch
    services = composed(image="r/x:1")["services"]
    assert {s["image"] for s in services.values()} == {"r/x:1"}
    assert "--num-cpus=3" in services["worker"]["command"] and "--num-gpus=0" in services["worker"]["command"]
    assert services["worker"]["cpus"] == 3 and "deploy" not in services["worker"]
    for name in ("head", "driver"):
        assert "--num-cpus=0" in " ".join(services[name]["command"])
    gpus = composed(Job("first", "out", (), nodes=1, cpus=3, gpus=2))["services"]["worker"]
    (device,) = gpus["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}
    with pytest.raises(SpecError, match="`nodes` must be 1"):
        plan(Job("first", "out", (), nodes=2, cpus=3, gpus=2), image="x")


def test_keys_are_in_no_file(monkeypatch):
    monkeypatch.setenv("A_KEY", "hunter2")
    planned = plan(JOB, image="x", env=("A_KEY",))
    assert "hunter2" not in planned.text()
    services = yaml.safe_load(next(iter(planned.files.values())))["services"]
    assert [n for n, s in services.items() if "A_KEY" in s["environment"]] == ["driver"]
    assert services["driver"]["environment"]["A_KEY"] is None  # Compose takes it from its own environment


def test_compose_leaves_the_arguments_as_they_are():
    arguments = ("--storage", 's3://it\'s/$HOME "x" $$', "--points", "6")
    driver = composed(Job("first", "out", arguments, nodes=1, cpus=1, gpus=0))["services"]["driver"]
    text = driver["command"][-1].splitlines()[-1].replace("exec sweep", "printf '%s\\n'")
    printed = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed == ["run", "--out", "/results/first", "--address", "auto", *arguments]


def test_the_services_make_a_cluster_that_runs_and_resumes_a_sweep(tmp_path):
    """Every service's own command, on a host of its own in a network that leads nowhere."""
    points = ("--points", "6", "--probe", "direct", "--images", "256", "--resize", "6", "--depth", "3", "6")
    job = Job(
        *("first", "out", (*points, "--concurrency", "2", "--quiet")), nodes=2, cpus=1, gpus=0, again=("--points", "9")
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
