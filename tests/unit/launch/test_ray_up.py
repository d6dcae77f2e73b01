"""Clusters of `ray up`, judged by Ray's own checks."""

import stat
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import yaml

from sweep.cli.launch import _job
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.launch.plan import Job, template
from sweep.launch.ray_up import _MACHINES, plan
from sweep.results.loading import load
from tests.helpers.hosts import hosts

OPTIONS = {
    "aws": dict(provider="aws", region="us-east-1", zone=None, project=None),
    "gcp": dict(provider="gcp", region="us-central1", zone="us-central1-a", project="lab"),
}
COMMON = dict(bucket="mine", image="r.example.org/sweep:1", machine_image="an-image", machine=None)


def made(tmp_path, provider, **changes):
    job = Job(**{**dict(name="first", out=str(tmp_path / "a b"), arguments=(), nodes=7, cpus=8, gpus=0), **changes})
    planned = plan(job, **OPTIONS[provider], **COMMON)
    return planned, {path.name: text for path, text in planned.files.items()}


def judged(config):
    """As `ray up` reads it, up to where it would ask the cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(config)
    validate_config(config)
    return config


@pytest.mark.parametrize("provider", OPTIONS)
@pytest.mark.parametrize("gpus", (0, 1))
def test_ray_accepts_it(tmp_path, provider, gpus):
    planned, files = made(tmp_path, provider, gpus=gpus)
    planned.files = dict(planned.files)
    for path, text in planned.files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    config = judged(yaml.safe_load(files["cluster.yaml"]))
    assert config["head_node_type"] == "head" and config["cluster_name"] == "first"
    head, worker = (config["available_node_types"][k] for k in ("head", "worker"))
    assert head["resources"] == {"CPU": 0}
    assert worker["resources"] == {"CPU": 8, **({"GPU": 1} if gpus else {})}
    assert (worker["min_workers"], worker["max_workers"], config["max_workers"]) == (0, 7, 7)
    assert config["docker"]["image"] == "r.example.org/sweep:1" and config["idle_timeout_minutes"] > 0
    with pytest.raises(Exception, match="(?i)additional properties|unexpected"):
        judged({**yaml.safe_load(files["cluster.yaml"]), "idle_timeout_minute": 5})


@pytest.mark.parametrize("provider", OPTIONS)
def test_templates_as_they_stand(provider):
    judged(yaml.safe_load(template(f"ray-up/{provider}.yaml").read_text()))


def test_spot_machines_for_workers_only(tmp_path):
    aws = yaml.safe_load(made(tmp_path, "aws")[1]["cluster.yaml"])["available_node_types"]
    assert aws["worker"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in aws["head"]["node_config"]
    assert aws["worker"]["node_config"]["InstanceType"] == "m7i.2xlarge"
    assert {n["node_config"]["ImageId"] for n in aws.values()} == {"an-image"}
    gcp = yaml.safe_load(made(tmp_path, "gcp", gpus=1)[1]["cluster.yaml"])["available_node_types"]
    assert {"preemptible": True} in gcp["worker"]["node_config"]["scheduling"]
    assert "scheduling" not in gcp["head"]["node_config"]
    assert gcp["worker"]["node_config"]["machineType"] == "g2-standard-8"
    images = {n["node_config"]["disks"][0]["initializeParams"]["sourceImage"] for n in gcp.values()}
    assert images == {"an-image"}
    assert _MACHINES["aws"][64, 0] == "m7i.16xlarge" and _MACHINES["aws"][192, 0] == "m7i.48xlarge"


@pytest.mark.parametrize("provider", OPTIONS)
def test_every_node_has_the_token_and_wants_it(tmp_path, provider):
    planned, files = made(tmp_path, provider)
    config = yaml.safe_load(files["cluster.yaml"])
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = [c for c in config[commands] if "ray start" in c]
        assert "RAY_AUTH_MODE=token ray start" in start
    (head,) = [c for c in config["head_start_ray_commands"] if "ray start" in c]
    assert "--dashboard-host=127.0.0.1" in head and "--num-cpus=0" in head
    mounted = config["file_mounts"]
    assert Path(mounted["~/.ray/auth_token"]) in {p.absolute() for p in planned.files}
    assert Path(mounted["~/run.sh"]).name == "run.sh"
    assert any("chmod 600 ~/.ray/auth_token" in c for c in config["setup_commands"])
    secret = files["auth_token"].strip()
    assert (
        len(secret) == 64 and secret not in planned.text() + planned.advice() + files["cluster.yaml"] + files["run.sh"]
    )
    planned.commands = [["true"]]
    planned.submit()
    for path in planned.files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "auth_token" not in made(tmp_path, provider)[1]  # that of the cluster which may be running stays


def test_script(tmp_path):
    planned, files = made(tmp_path, "gcp", arguments=("--points", "6"), again=("--points", "6"))
    assert subprocess.run(["sh", "-n"], input=files["run.sh"], text=True).returncode == 0
    run = files["run.sh"].splitlines()[-1]
    assert run == "exec sweep run --out /results/first --address auto --points 6 --storage gs://mine/first"
    assert "--storage s3://x/y" in made(tmp_path, "aws", arguments=("--storage", "s3://x/y"))[1]["run.sh"]
    assert "--storage s3://mine/first" in made(tmp_path, "aws")[1]["run.sh"]
    up, start = planned.commands
    assert up[:3] == ["ray", "up", "-y"] and start[:2] == ["ray", "exec"] and "--tmux" in start
    assert f"ray down -y '{tmp_path}/a b.launch/cluster.yaml'" == planned.stop


def test_a_data_set_travels(tmp_path):
    config = yaml.safe_load(made(tmp_path, "aws", dataset=Path("/home/me/x.npz"))[1]["cluster.yaml"])
    assert config["file_mounts"]["/home/ray/data/x.npz"] == "/home/me/x.npz"


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(SpecError, match="`machine` must be given with 5 cores"):
        made(tmp_path, "aws", cpus=5)
    job = Job("first", "out", (), nodes=1, cpus=4, gpus=0)
    for name in ("zone", "project"):
        with pytest.raises(SpecError, match=f"`{name}` must be given"):
            plan(job, **{**OPTIONS["gcp"], name: None}, **COMMON)


def test_a_driver_that_is_first_waits_for_the_machines(tmp_path):
    """The commands that start Ray and the sweep, on hosts of their own; a worker comes when the driver wants one."""
    points = "--points 6 --probe direct --images 256 --resize 6 --depth 3 6 --quiet --storage"
    with click.Context(main):
        job = _job((*points.split(), str(tmp_path / "bucket")), "first", 2, 1, 0, True)
    planned = plan(job, **OPTIONS["aws"], **{**COMMON, "machine": "one core"})
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
