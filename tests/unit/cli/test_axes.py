"""Further axes on the command line, in files, and from the first point to the last picture."""

import json

import click
import pytest
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.launch.job import Job
from sweep.spec.spec import SweepSpec

SMALL = ("--images", 64, "--resize", 4, "--depth", 2, 5, "--probe", "direct")


def invoke(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def axes_of(*arguments):
    """Return the axes of a sweep with these arguments."""
    context = main.commands["run"].make_context("run", [*map(str, arguments)], parent=click.Context(main))
    return SweepSpec(**{k: v for k, v in context.params.items() if k in SweepSpec.__dataclass_fields__}).axis


@pytest.mark.parametrize(
    "words",
    [
        ["--axis", "width", 16, 256, "log", "int"],
        ["--axis", "width", 16, 256, "log", "--points", 9],
        ["--axis", "width 16 256 log"],
        ["--axis=width 16 256 log"],
        ["--points", 9, "--axis", "width", "16", "256", "int", "log"],
        ["--axis=width", 16, 256, "log", "--points", 9],
    ],
)
def test_an_axis_is_three_words_to_five_or_one(words):
    assert axes_of(*words) == ("width 16 256 log int",)


def test_two_axes_and_negative_numbers():
    both = axes_of("--axis", "width", 16, 256, "--axis", "lr", 0.001, 1, "log", "--train", "all")
    assert both == ("lr 0.001 1 log", "width 16 256 int")
    assert axes_of("--network", "net.py:f", "--axis", "shift", -1, "-0.5") == ("shift -1 -0.5",)


def test_axes_in_a_file(tmp_path):
    (tmp_path / "c.toml").write_text('axis = ["width 16 256 log", "lr 0.001 1"]\ntrain = "all"\n')
    assert axes_of("--config", tmp_path / "c.toml") == ("lr 0.001 1", "width 16 256 log int")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--axis"], "'--axis': must be NAME LO HI [log] [int], got ''"),
        (["--axis", "width"], "'--axis': must be NAME LO HI [log] [int], got 'width'"),
        (["--axis", "width", "8", "--points", "9"], "got 'width 8'"),
        (["--axis", "width", "8", "16", "exp"], "'--axis': must be NAME LO HI [log] [int], got 'width 8 16 exp'"),
        (["--axis", "lr", "0.1", "1"], "'--axis': lr must be left out where no network is trained"),
    ],
)
def test_what_is_no_axis(words, says, tmp_path):
    refused = invoke("run", "--out", tmp_path / "no", *words)
    assert refused.exit_code == 2 and says in refused.stderr and not (tmp_path / "no").exists()


def test_a_job_has_its_axes():
    from sweep.cli.launch import launch, parse_job

    with click.Context(launch):
        job = parse_job(["--axis", "width", "16", "256", "log", "--points", "9"], "first", 1, 1, 0, False)
    assert isinstance(job, Job) and job.arguments[job.arguments.index("--axis") + 1] == "width 16 256 log"
    assert axes_of(*job.arguments) == ("width 16 256 log int",)


def test_a_sweep_from_its_first_point_to_its_picture(without_ray, tmp_path):
    path, axis = tmp_path / "sweep", ("--axis", "width", 8, 32, "log")
    done = invoke("run", "--out", path, *SMALL, *axis, "--points", 12)
    assert done.exit_code == 0, done.output
    points = sweep.load(path).points
    assert len(points) == 12 and points["width"].between(8, 32).all() and points["width"].nunique() > 2
    assert invoke("resume", path, "--points", 14).exit_code == 0
    again = sweep.load(path)
    assert len(again.points) == 14
    first = again.points.iloc[0]
    (row,) = [p for p in json.loads(invoke("results", path, "--format", "json").stdout) if p["seed"] == first["seed"]]
    place = (x for a in ("sigma_w", "sigma_b", "depth", "seed") for x in (f"--{a.replace('_', '-')}", first[a]))
    probed = invoke("probe", *place, *SMALL[:4], *SMALL[-2:], "--at", f"width={first['width']}", "--json")
    assert json.loads(probed.stdout)["gradient_norm"] == pytest.approx(row["gradient_norm"], rel=1e-6)
    table = invoke("results", path, "--table", "boundary", "--at", "width=16", "--depths", "3", "--format", "json")
    assert {line["width"] for line in json.loads(table.stdout)} == {16}
    for options in (["--x", "width"], ["--x", "width", "--y", "depth"], ["--at", "width=20", "--depth", 3]):
        assert invoke("plot", path, *options, "-o", tmp_path / "p.png").exit_code == 0
    assert "width = 16" in invoke("run", "--out", tmp_path / "b", *SMALL, *axis, "--points", 12).stdout
    assert invoke("status", path).exit_code == 0 and invoke("compare", path).exit_code == 2


NETWORK = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width, sigma_w, scale):
        super().__init__()
        self.linear, self.scale = nn.Linear(width, width), scale
        nn.init.normal_(self.linear.weight, std=sigma_w / width**0.5)

    def forward(self, x):
        return x + self.scale * torch.tanh(self.linear(x))

def network(sigma_w, depth, classes, width, scale=1.0):
    blocks = nn.Sequential(*[Block(width, sigma_w, scale) for _ in range(depth)])
    return nn.Sequential(nn.Flatten(), nn.Linear(16, width), blocks, nn.Linear(width, classes)), list(blocks)
"""


def test_arguments_of_a_function_in_a_file(without_ray, tmp_path):
    file, path = tmp_path / "net.py", tmp_path / "sweep"
    file.write_text(NETWORK)
    named = ("--network", f"{file}:network", *SMALL)
    axes = ("--axis", "width", 8, 16, "int", "--axis", "scale", 0.1, 2, "log")
    done = invoke("run", "--out", path, *named, *axes, "--points", 12, "--pack", 3, "--train", "all", "--epochs", 1)
    assert done.exit_code == 0, done.output
    points = sweep.load(path).points
    assert (points["status"] == "ok").all() and points["accuracy"].notna().all()
    assert points["scale"].between(0.1, 2).all() and points["width"].between(8, 16).all()
    refused = invoke("run", "--out", tmp_path / "no", *named, "--axis", "scale", 0.1, 2)
    assert refused.exit_code == 2 and "got width" in refused.stderr
    refused = invoke("run", "--out", tmp_path / "no", *named, "--axis", "width", 8, 9, "--axis", "heads", 1, 2)
    assert refused.exit_code == 2 and "must take heads as an argument" in refused.stderr
    place = ("--sigma-w", 1, "--sigma-b", 0, "--depth", 3)
    one = invoke("probe", *named[:6], *place, "--at", "width=8", "--at", "scale=0.5")
    assert one.exit_code == 0 and "scale = 0.5, width = 8: ok" in one.stdout
    refused = invoke("probe", *named[:6], *place, "--at", "width")
    assert refused.exit_code == 2 and "'width' is not NAME=VALUE" in refused.stderr


DIVISIBLE = """
from torch import nn

def network(sigma_w, depth, classes, heads):
    if 24 % heads:
        raise ValueError(f"24 cannot be divided by {heads}")
    blocks = nn.Sequential(*[nn.Sequential(nn.Linear(24, 24), nn.Tanh()) for _ in range(depth)])
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 24), blocks, nn.Linear(24, classes)), list(blocks)
"""


def test_values_for_which_there_is_no_network_are_failed_points(without_ray, tmp_path):
    """Even if there is none in the middle of the range, with which the function is tried first."""
    (tmp_path / "net.py").write_text(DIVISIBLE)
    named = (
        "--network",
        f"{tmp_path / 'net.py'}:network",
        *SMALL,
        "--initialise",
        "normal",
        "--points",
        24,
        "--search",
        "random",
    )
    done = invoke("run", "--out", tmp_path / "sweep", *named, "--points", 24, "--axis", "heads", 1, 8, "int")
    points = sweep.load(tmp_path / "sweep").points
    assert done.exit_code == 1 and len(points) == 24, done.output
    good = points["heads"].isin([1, 2, 3, 4, 6, 8])
    assert (points["status"][good] == "ok").all() and (points["status"][~good] == "failed").all() and (~good).any()
    refused = invoke("run", "--out", tmp_path / "no", *named, "--axis", "heads", 9, 11, "int")
    assert refused.exit_code == 2 and "divided by 10 (at heads = 10, and for other values)" in refused.stderr
