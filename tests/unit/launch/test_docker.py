"""The Dockerfile and the Compose file: what they say."""

import json
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from sweep.errors import SpecError
from sweep.launch.docker import plan
from sweep.launch.job import Job
from tests.helpers import ROOT
from tests.helpers.containers import DOCKERFILE, composed, instructions

JOB = Job("first", "runs/a b", ("--points", "6"), nodes=2, cpus=3, gpus=0)


def test_image():
    assert len(instructions("FROM")) == 2
    assert re.fullmatch(r"RAY_IMAGE=rayproject/ray:\d+\.\d+\.\d+-py\d+", instructions("ARG")[0])
    assert instructions("USER")[-1] == "1000:100"
    assert json.loads(instructions("ENTRYPOINT")[0])[0].endswith("/tini")
    assert not re.search(r"(?i)token=|password=|secret=", DOCKERFILE)
    copied = {word for line in instructions("COPY") for word in line.split()[1:-1] if not word.startswith("--")}
    allowed = set((ROOT / ".dockerignore").read_text().replace("!", "").split())
    from_context = {word.partition("/")[0] for word in copied - {"/home/ray/wheels", "/home/ray/pinned"}}
    assert from_context <= allowed


def test_an_edit_of_the_code_leaves_the_layer_of_the_dependencies_as_it_is():
    last = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    installs = [line for line in last.splitlines() if line.startswith("RUN pip install")]
    assert len(installs) == 2 and "-r " in installs[0] and "-c " in installs[0] and "--no-deps" in installs[1]
    before = last[: last.index(installs[0])]
    assert "/home/ray/wheels" not in before and "sweep sweep" not in before


def test_every_dependency_is_pinned_within_its_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "cluster/docker/constraints.txt").read_text().splitlines()[1:]
    pinned = {r.name.lower(): next(iter(r.specifier)) for r in map(Requirement, lines)}
    needed = [Requirement(text) for text in project["dependencies"]]
    assert {r.name for r in needed} == set(pinned) and {p.operator for p in pinned.values()} == {"=="}
    for requirement in needed:
        assert pinned[requirement.name].version in requirement.specifier, requirement
    assert f"ray:{pinned['ray'].version}-" in instructions("ARG")[0]  # that of the image


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
    assert composed(JOB)["networks"]["ray"] == {"internal": True}
    assert [n for n, s in composed(JOB)["services"].items() if "outside" in s.get("networks", [])] == ["driver"]


def test_compose_follows_the_job():
    made = plan(JOB, image="r/x:1")
    assert made.commands == [
        ["docker", "compose", "-f", "runs/a b.launch/compose.yaml", "up", "-d", "--scale", "worker=2"]
    ]
    assert "'runs/a b.launch/compose.yaml' down" in made.stop
    assert "cp driver:/results/first/. 'runs/a b'" in made.fetch
    services = composed(JOB, image="r/x:1")["services"]
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


def test_more_cores_than_this_machine_has_are_told_of(monkeypatch, caplog):
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setattr("sweep.limits.cores", lambda: 6)
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    plan(Job("first", "out", (), nodes=3, cpus=3, gpus=0), image="r/x:1")
    monkeypatch.delenv("DOCKER_HOST")
    plan(JOB, image="r/x:1")
    assert not caplog.records
    plan(Job("first", "out", (), nodes=3, cpus=3, gpus=0), image="r/x:1")
    assert "--nodes 3 with --cpus 3 asks for 9 cores, of which this machine has 6" in caplog.text
