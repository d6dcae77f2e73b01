"""Clusters of `ray up`: machines, keys, files."""

import stat
from pathlib import Path

import pytest
import yaml

from sweep.errors import SpecError
from sweep.launch.job import Job
from sweep.launch.ray_up import _MACHINE_TYPES, plan

OPTIONS = {
    "aws": dict(provider="aws", region="us-east-1", zone=None, project=None),
    "gcp": dict(provider="gcp", region="us-central1", zone="us-central1-a", project="lab"),
}
COMMON = dict(bucket="mine", image="r.example.org/sweep:1", machine_image="an-image", machine=None)


def made(tmp_path, provider, **changes):
    job = Job(**{**dict(name="first", out=str(tmp_path / "a b"), arguments=(), nodes=7, cpus=8, gpus=0), **changes})
    planned = plan(job, **OPTIONS[provider], **COMMON)
    return planned, {path.name: text for path, text in planned.files.items()}


def test_spot_machines_for_workers_only(tmp_path):
    aws = yaml.safe_load(made(tmp_path, "aws")[1]["cluster.yaml"])["available_node_types"]
    assert aws["worker"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in aws["head"]["node_config"]
    assert aws["worker"]["node_config"]["InstanceType"] == "m7i.2xlarge"
    assert {n["node_config"]["ImageId"] for n in aws.values()} == {"an-image"}
    gcp = yaml.safe_load(made(tmp_path, "gcp", gpus=1)[1]["cluster.yaml"])["available_node_types"]
    # An object, by the API of Compute Engine (Instance.scheduling).
    assert gcp["worker"]["node_config"]["scheduling"] == {"preemptible": True, "onHostMaintenance": "TERMINATE"}
    assert "scheduling" not in gcp["head"]["node_config"]
    assert gcp["worker"]["node_config"]["machineType"] == "g2-standard-8"
    images = {n["node_config"]["disks"][0]["initializeParams"]["sourceImage"] for n in gcp.values()}
    assert images == {"an-image"}
    assert _MACHINE_TYPES["aws"][64, 0] == "m7i.16xlarge" and _MACHINE_TYPES["aws"][192, 0] == "m7i.48xlarge"


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
    planned.commands = []
    planned.submit()
    for path in planned.files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "auth_token" not in made(tmp_path, provider)[1]  # that of the cluster which may be running stays


def test_script(tmp_path):
    planned, files = made(tmp_path, "gcp", arguments=("--points", "6"), resume_arguments=("--points", "6"))
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
