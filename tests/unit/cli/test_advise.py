"""`sweep advise`: the text, the JSON, the picture and what is refused."""

import json

import pytest
import torch

import probes  # noqa: F401  # the lines that are printed import it
from probes.custom.redrawing import sigmas
from tests.unit.cli.test_cli import invoke, refuses

FILE = """
import math
from torch import nn

def network(depth, shape, classes):
    hidden = [nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(depth)]
    return nn.Sequential(nn.Flatten(), nn.Sequential(*hidden), nn.Linear(64, classes))

def fixed(shape, classes):
    return network(4, shape, classes)

def of_width(width):
    pass
"""
FEW = ("--points", 10, "--images", 64)
LAYERS = ("--layers", r"1\.\d+")


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return "own_networks.py"


def test_a_network_of_the_user_gets_advice_as_a_text_and_a_picture(file, tmp_path, monkeypatch):
    result = invoke("advise", f"{file}:network", "--depth", 12, *LAYERS, *FEW, "--picture", "advice.png")
    assert result.exit_code == 0, result.output
    text = result.stdout
    for part in ("recommended         sigma_w = ", "trainable band      sigma_w from ", "carries ", "without advice "):
        assert part in text, text
    assert ", orthogonal weights\n" in text and "\nnormal weights      " in text
    assert "12 random networks of 12 layers measured in " in text
    assert (tmp_path / "advice.png").stat().st_size > 10_000
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ") and line.strip()]
    lines = [line for line in lines if "the band" not in line]
    monkeypatch.syspath_prepend(tmp_path)
    scope = {}
    exec("\n".join(lines), scope)
    recommended = float(text.split("sigma_w = ")[1].split(",")[0])
    assert len(lines) == 3
    assert sigmas(scope["model"])[0][:-1] == pytest.approx([recommended] * 12, rel=0.05)
    assert scope["model"](torch.rand(2, 8, 8)).shape == (2, 10)


def test_json_has_the_advice_and_the_default(file):
    result = invoke("advise", f"{file}:fixed", *LAYERS, *FEW, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {"sigma_w", "sigma_b", "lower", "upper", "depth", "default"} <= set(found)
    assert found["depth"] == 4 and 0.5 <= found["sigma_w"] <= 2.5
    assert found["initialise"] == "orthogonal" and found["rival"]["initialise"] == "normal"
    assert found["default"]["sigma_w"] == pytest.approx(0.577, rel=0.05)


def test_what_is_said_where_the_choice_does_not_matter_and_where_nothing_helps(file):
    wide = invoke("advise", "--depth", 2, "--width", 16, "--sigma-w", 1, 1.5, "--sigma-b", 0, 0.1, *FEW).stdout
    assert "all of sigma_w from 1 to 1.5 and sigma_b from 0 to 0.1: at this depth the choice hardly matters" in wide
    narrow = invoke("advise", "--depth", 30, "--width", 16, "--sigma-w", 0.3, 0.6, *FEW).stdout
    assert "none for certain: sigma_w from 0.3 to 0.6 was searched, and this place comes nearest" in narrow
    assert "outside the band: carries " in narrow and "networks of 30 train with probability < 0.01" in narrow


@pytest.mark.parametrize(
    ("network", "more", "message"),
    [
        (None, (), "Invalid value for '--depth': must be given"),
        ("{file}:network", (), "Invalid value for '--depth': must be given: `network` network takes it as an argument"),
        ("{file}:fixed", ("--depth", 5), "Invalid value for '--depth': must be 2, the number of layers of `network`"),
        ("{file}:network", ("--depth", 0), "Invalid value for '--depth': '0' is not a whole number from 1 to 2000"),
        ("missing.py:network", ("--depth", 5), "Invalid value for 'FILE.py:FUNCTION': 'missing.py:network': there is"),
        ("{file}:nothing", ("--depth", 5), "Invalid value for 'FILE.py:FUNCTION': '{file}:nothing' failed: Attribute"),
        (
            "{file}",
            ("--depth", 5),
            "Invalid value for 'FILE.py:FUNCTION': '{file}' must have the form FILE.py:FUNCTION",
        ),
        ("{file}:of_width", (), "Invalid value for 'FILE.py:FUNCTION': of_width may have the arguments"),
        ("{file}:network", ("--depth", 9), "Invalid value for 'FILE.py:FUNCTION': network has 2 layers at depth 9"),
        ("{file}:network", ("--depth", 2, "--layers", "("), "Invalid value for '--layers': must be a regular expr"),
        ("{file}:network", ("--depth", 2, "--width", 5), "Invalid value for '--width': must be left out with a `netw"),
        (None, ("--depth", 2, "--layers", "x"), "Invalid value for '--layers': must be left out without a `network`"),
        (None, ("--depth", 2, "--sigma-w", 2, 1), "Invalid value for '--sigma-w': must be LO HI with LO <= HI"),
        (None, ("--depth", 2, "--sigma-w", 1, 1), "Invalid value for '--sigma-w': must be LO HI with LO < HI, got 1 1"),
        (None, ("--depth", 2, "--points", 3), "Invalid value for '--points': '3' is not a whole number from 10"),
        (None, ("--depth", 2, "--picture", "x.gif"), "Invalid value for '--picture': must end in .png, .pdf, .svg"),
        (None, ("--depth", 2, "--picture", "no/x.png"), "there is no folder 'no'"),
        (None, ("--depth", 2, "--dataset", "none.npz"), "Invalid value for '--dataset':"),
        (None, ("--depth", 2, "--initialise", "xavier"), "Invalid value for '--initialise': 'xavier' is not one of"),
    ],
)
def test_bad_input_is_refused_in_one_line(file, network, more, message):
    own = (network.format(file=file),) if network else ()
    said = refuses(invoke("advise", *own, *more))
    assert message.format(file=file) in said, said
