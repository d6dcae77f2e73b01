"""What launchers write and run: by a shell, kubectl, Redis, hadolint, and Ray's own checks."""

import shutil
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.launch import kuberay, ray_up
from sweep.launch.job import Job, script
from sweep.launch.plan import Plan, template
from tests.helpers import ROOT
from tests.helpers.containers import composed
from tests.helpers.nodes import children, kill

WORDS = {"watch": "w", "fetch": "f", "stop": "s"}
CLOUDS = {
    "aws": dict(provider="aws", region="us-east-1", zone=None, project=None),
    "gcp": dict(provider="gcp", region="us-central1", zone="us-central1-a", project="lab"),
}


def test_submit_writes_privately_then_runs_in_order(tmp_path):
    path = tmp_path / "deep" / "x"
    path.parent.mkdir()
    path.write_text("old and open to all")
    path.chmod(0o644)
    commands = [["sh", "-c", f"cat '{path}'"], ["cat"]]
    assert Plan(commands, **WORDS, stdin="in", files={path: "new"}).submit() == "new\nin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = tmp_path / "deeper" / "y"
    Plan([], **WORDS, files={other: ""}).submit()
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_what_fails_is_named_and_ends_it(tmp_path):
    never = tmp_path / "never"
    for first, message in (
        (["sh", "-c", "echo no such partition >&2; exit 3"], "'sh' failed with exit code 3: no such partition"),
        (["no-such-program"], "'no-such-program' cannot be run here: No such file"),
    ):
        with pytest.raises(SpecError, match=message):
            Plan([first, ["touch", str(never)]], **WORDS).submit()
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="cannot be written"):
        Plan([["touch", str(never)]], **WORDS, files={tmp_path / "file" / "x": ""}).submit()
    assert not never.exists()


def test_script_runs_or_resumes_but_only_what_was_begun(tmp_path):
    fixed = ("--dataset", "it's $HOME.npz")
    job = Job(
        *("first", "out", (*fixed, "--points", "6")),
        nodes=1,
        cpus=1,
        gpus=0,
        resume_arguments=("--points", "9"),
        fixed_arguments=fixed,
    )
    (tmp_path / "results" / "first").mkdir(parents=True)
    program = tmp_path / "sweep"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$RAY_AUTH_MODE" "$@"; exit 7\n')
    program.chmod(0o755)

    def ran(job):
        text = script(job).replace("/results", str(tmp_path / "results"))
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines(), done.stderr

    out = str(tmp_path / "results" / "first")
    for _ in range(2):  # as long as it was not begun
        assert ran(job) == (7, ["token", "run", "--out", out, "--address", "auto", *job.arguments], "")
    (tmp_path / "results" / "first" / "spec.json").touch()
    assert ran(job) == (7, ["token", "resume", out, "--address", "auto", "--points", "9"], "")
    code, printed, error = ran(replace(job, fixed_arguments=("--dataset", "mnist")))
    assert (code, printed) == (2, []) and "another --name" in error and "HOME.npz" in error
    assert ran(job)[0] == 7


@pytest.mark.parametrize("launcher", ("docker", "kuberay"))
def test_dry_runs_do_nothing_and_submissions_say_how_to_go_on(launcher, tmp_path, monkeypatch):
    def invoke(*arguments):
        return CliRunner().invoke(main, ["launch", *arguments])

    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("docker", "kubectl"):
        (programs / name).write_text('#!/bin/sh\necho "$0" "$@" >> log; cat > stdin\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    words = (launcher, *(["--image", "i"] if launcher == "kuberay" else []), "--name", "first", "--nodes", "2")
    dry = invoke(*words, "--dry-run", "--", "--points", "9")
    assert dry.exit_code == 0 and [p.name for p in tmp_path.iterdir()] == ["programs"]
    commands = [line[2:] for line in dry.stdout.splitlines() if line.startswith("$ ")]
    done = invoke(*words, "--", "--points", "9")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "log").read_text().replace(f"{programs}/", "").splitlines() == commands
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["watch", "fetch", "stop"]
    if launcher == "kuberay":
        documents = list(yaml.safe_load_all((tmp_path / "stdin").read_text()))
        (secret,) = [d["stringData"]["password"] for d in documents if d["kind"] == "Secret"]
        assert secret not in done.output + (tmp_path / "log").read_text() and not (tmp_path / "runs").exists()
    (programs / ("docker" if launcher == "docker" else "kubectl")).write_text("#!/bin/sh\necho denied >&2; exit 1\n")
    failed = invoke(*words, "--", "--points", "9")
    assert failed.exit_code == 2 and "denied" in failed.stderr and "watch" not in failed.stdout


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from click.testing import CliRunner; from sweep.cli.main import main; "
        "r = CliRunner().invoke(main, 'launch kuberay --image x --dry-run'.split()); "
        "assert r.exit_code == 0, r.output; "
        "print({'torch', 'ray', 'pandas', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_dockerfile_is_lint_clean():
    program = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    bad = subprocess.run([program, "-"], input="FROM a\nRUN apt-get install b\n", capture_output=True, text=True)
    assert bad.returncode  # it would have said so


def test_compose_leaves_the_arguments_as_they_are():
    arguments = ("--storage", 's3://it\'s/$HOME "x" $$', "--points", "6")
    driver = composed(Job("first", "out", arguments, nodes=1, cpus=1, gpus=0))["services"]["driver"]
    text = driver["command"][-1].splitlines()[-1].replace("exec sweep", "printf '%s\\n'")
    printed = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed == ["run", "--out", "/results/first", "--address", "auto", *arguments]


@pytest.mark.parametrize("overlay", ("cpu", "gpu"))
def test_kustomize_builds_the_same(overlay):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    built = subprocess.run(
        ["kubectl", "kustomize", ROOT / "cluster" / "kuberay" / "overlays" / overlay],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert built.returncode == 0, built.stderr
    order = lambda d: (d["kind"], d["metadata"]["name"])  # noqa: E731
    assert sorted(yaml.safe_load_all(built.stdout), key=order) == sorted(kuberay.manifests(overlay), key=order)


def test_redis_wants_its_password_and_keeps_it_off_the_command_line(tmp_path):
    """The container's own command, with Debian's Redis."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    job = Job("first", "out", (), nodes=1, cpus=1, gpus=0)
    planned = kuberay.plan(job, image="i", namespace="n", memory=2, storage_size=1)
    documents = yaml.safe_load_all(planned.stdin)
    (deployment,) = [d for d in documents if (d["kind"], d["metadata"]["name"]) == ("Deployment", "first-redis")]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = container["command"][2].replace("6379", str(port)).replace("/data", str(tmp_path))
    text = text.replace("bind * -::*", "bind 127.0.0.1").replace("appendonly yes", "appendonly no")
    server = subprocess.Popen(
        ["sh", "-c", text], env={"PASSWORD": "hunter2", "PATH": "/usr/bin:/bin"}, stdout=subprocess.DEVNULL
    )
    try:
        answers = []
        for words in (b"PING", b"AUTH wrong", b"AUTH hunter2"):
            for _ in range(100):
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                        connection.sendall(words + b"\r\n")
                        answers.append(connection.recv(100))
                        break
                except OSError:
                    time.sleep(0.1)
        assert [a.split()[0] for a in answers] == [b"-NOAUTH", b"-WRONGPASS", b"+OK"]
        lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
        assert any(b"redis-server" in line and str(port).encode() in line for line in lines)
        assert not any(b"hunter2" in line for line in lines)
    finally:
        kill([*children(server.pid), server.pid])  # Redis is not the shell
        server.wait()


def judged(config):
    """Return a cluster's configuration as `ray up` reads it, up to where it would ask the cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(config)
    validate_config(config)
    return config


@pytest.mark.parametrize("provider", CLOUDS)
@pytest.mark.parametrize("gpus", (0, 1))
def test_ray_accepts_it(tmp_path, provider, gpus):
    job = Job("first", str(tmp_path / "a b"), (), nodes=7, cpus=8, gpus=gpus)
    options = dict(bucket="mine", image="r.example.org/sweep:1", machine_image="an-image", machine=None)
    planned = ray_up.plan(job, **CLOUDS[provider], **options)
    planned.commands = []
    planned.submit()
    document = yaml.safe_load((tmp_path / "a b.launch" / "cluster.yaml").read_text())
    assert subprocess.run(["sh", "-n", tmp_path / "a b.launch" / "run.sh"]).returncode == 0
    config = judged(document)
    assert config["head_node_type"] == "head" and config["cluster_name"] == "first"
    head, worker = (config["available_node_types"][k] for k in ("head", "worker"))
    assert head["resources"] == {"CPU": 0}
    assert worker["resources"] == {"CPU": 8, **({"GPU": 1} if gpus else {})}
    assert (worker["min_workers"], worker["max_workers"], config["max_workers"]) == (0, 7, 7)
    assert config["docker"]["image"] == "r.example.org/sweep:1" and config["idle_timeout_minutes"] > 0
    with pytest.raises(Exception, match="(?i)additional properties|unexpected"):
        judged({**document, "idle_timeout_minute": 5})


@pytest.mark.parametrize("provider", CLOUDS)
def test_templates_as_they_stand(provider):
    judged(yaml.safe_load(template(f"ray-up/{provider}.yaml").read_text()))
