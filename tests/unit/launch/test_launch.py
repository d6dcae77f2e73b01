"""`sweep launch` is a contract, too: what a job may not have is refused before anything is written or run."""

import re
import shlex

import click
import pytest
import yaml
from click.testing import CliRunner

from sweep.cli.launch import launch, parse_job
from sweep.cli.main import main
from sweep.spec.spec import SweepSpec
from tests.helpers import ROOT

AWS = ("--provider", "aws", "--region", "r", "--bucket", "b", "--image", "i", "--machine-image", "m")
GCP = ("--provider", "gcp", "--region", "r", "--zone", "z", "--project", "p", *AWS[4:])
LAUNCHERS = {"docker": (), "kuberay": ("--image", "i"), "ray": AWS}
NOBODY = {"concurrency": None, "data_dir": "data", "gpus_per_trial": None}


def invoke(*arguments):
    return CliRunner().invoke(main, ["launch", *map(str, arguments)])


def parsed(*arguments, in_container=True, nodes=1, cpus=4, gpus=0):
    with click.Context(main), click.Context(launch):
        return parse_job(list(map(str, arguments)), "first", nodes, cpus, gpus, in_container)


def spec_of(words):
    context = main.commands["run"].make_context("run", list(words))
    return SweepSpec(**{k: v for k, v in context.params.items() if k in SweepSpec.__dataclass_fields__})


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(
    ("ours", "theirs", "named"),
    (
        ((), ("--address", "auto"), "--address"),
        ((), ("--storage", "s3://key:secret@bucket/x"), "--storage"),
        ((), ("--points", "0"), "--points"),
        ((), ("--sigma-w", "3", "1"), "--sigma-w"),
        ((), ("--colour", "red"), "--colour"),
        ((), ("extra",), "extra"),
        ((), ("--dataset", "missing.npz"), "--dataset"),
        ((), ("--dataset", "mnist"), "--download"),
        ((), ("--config", "missing.toml"), "missing.toml"),
        ((), ("--cpus-per-trial", "8"), "--cpus"),
        ((), ("--gpus-per-trial", "0.5"), "--gpus"),
        (("--nodes", "0"), (), "--nodes"),
        (("--cpus", "x"), (), "--cpus"),
        (("--name", "Über"), (), "--name"),
        (("--name", "a" * 41), (), "--name"),
        (("--name", "-a"), (), "--name"),
        (("--name", "a b;c"), (), "--name"),
    ),
)
def test_bad_input(launcher, ours, theirs, named, empty_folder):
    result = invoke(launcher, *LAUNCHERS[launcher], *ours, "--", *theirs)
    assert result.exit_code == 2, (result.output, result.exception)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and named in errors[0] and not result.stdout
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    (
        (),
        ("--points", "9", "--sigma-w", "1", "1.5", "--depth", "3", "9", "--lr", "0.1,0.2", "--train", "all"),
        ("--widths", "8,7,6", "--decoded-layers", "all", "--probe-steps", "auto", "--seed", "5"),
        ("--preset", "paper", "--epochs", "3", "--storage", "s3://b/it's $x"),
        ("--dataset", "mnist", "--download", "--resize", "14", "--until-boundary-error", "0.01"),
        ("--config", "sweep.toml", "--points", "11"),
        ("--log", "tensorboard", "--log", "mlflow"),
        ("--dataset", "mnist", "--config", "sweep.toml", "--download", "--pack", "4", "--cpus-per-trial", "2"),
    ),
)
@pytest.mark.parametrize("in_container", (True, False))
def test_a_job_runs_the_sweep_that_was_asked_for(arguments, in_container, empty_folder):
    (empty_folder / "sweep.toml").write_text("points = 7\nsigma-b = [0.1, 0.2]\nlr = [0.5]\ndownload = false\n")
    asked, job = spec_of(arguments), parsed(*arguments, in_container=in_container)
    got = spec_of(job.arguments)
    moved = NOBODY if in_container else {}
    different = {k for k in vars(asked) if vars(asked)[k] != vars(got)[k]}
    assert different <= set(moved), different
    if in_container:
        assert (got.data_dir, got.concurrency) == ("/results/data", 4 // int(asked.cpus_per_trial))
    resume = main.commands["resume"].make_context("resume", ["out", *job.resume_arguments]).params
    assert resume["points"] in (None, asked.points) and resume["address"] is None
    assert resume["pack"] == asked.pack and resume["until_boundary_error"] == asked.until_boundary_error


def test_what_may_change_is_apart_from_what_may_not():
    job = parsed("--points", "9", "--pack", "2", "--dataset", "noise", "--storage", "s3://b/x", "--quiet", nodes=3)
    assert job.fixed_arguments == ("--dataset", "noise", "--data-dir", "/results/data", "--storage", "s3://b/x")
    assert sorted(job.fixed_arguments + job.resume_arguments) == sorted(job.arguments)
    assert (
        parsed("--points", "12", "--dataset", "noise", "--storage", "s3://b/x").fixed_arguments == job.fixed_arguments
    )


def test_out_is_taken_out():
    assert parsed("--out", "runs/x", "--quiet").out == "runs/x"
    job = parsed("--quiet")
    assert job.out == "runs/first" and "--out" not in job.arguments
    assert job.arguments[-1] == job.resume_arguments[-1] == "--quiet"


@pytest.mark.parametrize(
    ("sizes", "given", "concurrency", "share"),
    (
        (dict(nodes=3, cpus=4), (), 12, None),
        (dict(nodes=3, cpus=4), ("--cpus-per-trial", "1.5"), None, None),  # refused: whole above 1
        (dict(nodes=3, cpus=4), ("--cpus-per-trial", "3"), 3, None),
        (dict(nodes=3, cpus=4), ("--cpus-per-trial", "0.5"), 24, None),
        (dict(nodes=3, cpus=4), ("--concurrency", "5"), 5, None),
        (dict(nodes=10_000, cpus=1024), (), 10_000, None),
        (dict(nodes=2, cpus=8, gpus=1), (), 16, 1 / 8),
        (dict(nodes=2, cpus=8, gpus=3), (), 12, 1 / 2),  # 8 would take thirds of 3 devices; whole trials to a device: 6
        (dict(nodes=2, cpus=7, gpus=2), (), 12, 1 / 3),
        (dict(nodes=2, cpus=4, gpus=8), (), 8, 1),
        (dict(nodes=2, cpus=8, gpus=1), ("--gpus-per-trial", "0.5"), 4, 0.5),
        (dict(nodes=2, cpus=8, gpus=2), ("--gpus-per-trial", "2"), 2, 2),
        (dict(nodes=2, cpus=8, gpus=1), ("--gpus-per-trial", "0"), 16, 0),
    ),
)
def test_trials_of_nodes_that_are_not_there_yet(sizes, given, concurrency, share):
    if concurrency is None:
        with pytest.raises(ValueError, match="cpus_per_trial"):
            parsed(*given, **sizes)
        return
    spec = spec_of(parsed(*given, **sizes).arguments)
    assert spec.concurrency == concurrency and spec.gpus_per_trial == pytest.approx(share)


def test_a_data_set_of_this_machine_comes_along(empty_folder):
    (empty_folder / "x.npz").touch()
    job = parsed("--dataset", "x.npz")
    assert job.dataset == empty_folder / "x.npz" and spec_of(job.arguments).dataset == "/home/ray/data/x.npz"
    (file,) = yaml.safe_load(invoke("docker", "--dry-run", "--", "--dataset", "x.npz").stdout.split("$ docker")[0])[
        "services"
    ]["driver"]["volumes"][2:]
    assert file["source"] == str(empty_folder / "x.npz") and file["target"] == "/home/ray/data/x.npz"
    assert file["read_only"]
    there = parsed("--dataset", "/results/x.npz")
    assert there.dataset is None and spec_of(there.arguments).dataset == "/results/x.npz"
    assert parsed("--dataset", "x.npz", in_container=False).arguments == ("--dataset", "x.npz")


@pytest.mark.parametrize("name", (None, *launch.commands))
def test_help_ends_with_an_example_that_is_true(name):
    text = invoke(*([name] if name else []), "--help").stdout
    example = " ".join(re.search(r"Example: sweep launch (.*?)\n\n", text, re.DOTALL)[1].split())
    before, after = example.split(" -- ")
    result = invoke(*shlex.split(before), "--dry-run", "--", *shlex.split(after))
    assert result.exit_code == 0, result.output


def examples(document):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("sweep launch ")]


def test_every_launcher_is_in_the_readme():
    assert {line.split()[2] for line in examples("cluster/README.md")} == set(launch.commands)


@pytest.mark.parametrize("line", examples("cluster/README.md"))
def test_readme_examples(line, empty_folder):
    words = shlex.split(line.replace("$(", "'").replace(")", "'"))[2:]
    end = words.index("--")
    result = invoke(*words[:end], "--dry-run", *words[end:])
    assert result.exit_code == 0, result.output
