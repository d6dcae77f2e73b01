"""`sweep probe --network`: a network of the user, from a file."""

import json

import pytest

from tests.unit.cli.test_cli import invoke, refuses

FILE = """
import math
from torch import nn
from beside import drawn

def network(sigma_w, sigma_b, depth, shape, classes):
    pixels = math.prod(shape)
    import beside_too
    hidden = [nn.Sequential(drawn(nn.Linear(pixels, pixels), sigma_w, sigma_b), nn.Tanh()) for _ in range(depth)]
    return nn.Sequential(nn.Flatten(), nn.Sequential(*hidden), nn.Linear(pixels, classes))

def of_width(sigma_w, width):
    pass

number = 3
"""
BESIDE = """
from torch import nn

def drawn(layer, sigma_w, sigma_b):
    nn.init.normal_(layer.weight, std=sigma_w / layer.in_features**0.5)
    nn.init.normal_(layer.bias, std=sigma_b)
    return layer
"""
POINT = ("--sigma-w", 1.3, "--sigma-b", 0.2, "--depth", 6)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    (tmp_path / "beside.py").write_text(BESIDE)
    (tmp_path / "beside_too.py").write_text("")
    return tmp_path / "own.py"


def test_a_network_of_the_user_is_probed(file):
    options = ("--network", f"{file}:network", "--layers", r"1\.\d+", "--images", 128, "--json")
    result = invoke("probe", *POINT, *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["status"] == "ok" and len(found["profiles"]["direct_retained"]) == 6
    assert 0 < found["direct_retained"] < 1 and "xi_c" not in found
    other = json.loads(invoke("probe", *POINT, *options, "--seed", 1).stdout)
    assert other["direct_retained"] != found["direct_retained"]


def test_a_network_is_drawn_anew_where_it_is_asked_for(file):
    options = ("--network", f"{file}:network", "--layers", r"1\.\d+", "--images", 128, "--json")
    own, normal, orthogonal = (
        json.loads(invoke("probe", *POINT, *options, *more).stdout)["direct_retained"]
        for more in ((), ("--initialise", "normal"), ("--initialise", "orthogonal"))
    )
    assert own != normal and orthogonal > max(own, normal)  # orthogonal layers lose less


def test_a_network_of_the_user_is_trained(file):
    options = ("--network", f"{file}:network", "--layers", r"1\.\d+", "--images", 128, "--json")
    result = invoke("probe", *POINT, *options, "--train", "all", "--train-images", 320, "--epochs", 2)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["train_epochs"] == 2 and 0 < found["accuracy"] <= 1 and "train_flops" not in found


def test_a_network_without_enough_layers_is_a_failed_point(file):
    result = invoke("probe", *POINT, "--network", f"{file}:network")
    assert result.exit_code == 1 and "has 2 layers at depth 6: name more with `layers`" in result.output


@pytest.mark.parametrize(
    ("network", "more", "option", "message"),
    [
        ("missing.py:network", (), "--network", "there is no file"),
        ("{file}:nothing", (), "--network", "has no attribute 'nothing'"),
        ("{file}:number", (), "--network", "must be a function, got int"),
        ("{file}", (), "--network", "must have the form FILE.py:FUNCTION"),
        ("{file}:of_width", (), "--network", "of_width may have the arguments sigma_w, .*, got width"),
        ("{file}:network", ("--layers", "("), "--layers", "must be a regular expression"),
        ("{file}:network", ("--width", 5), "--width", "must be left out with `network`"),
        ("{file}:network", ("--activation", "relu"), "--activation", "must be left out with `network`"),
        ("{file}:network", ("--images-out", "x.png"), "--images-out", "must be left out with `network`"),
        (None, ("--layers", "x"), "--layers", "must be left out without `network`"),
    ],
)
def test_bad_networks_are_refused(file, network, more, option, message):
    import re

    own = ("--network", network.format(file=file)) if network else ()
    said = refuses(invoke("probe", *POINT, *own, *more))
    assert f"'{option}'" in said and re.search(message, said), said


def test_modules_beside_one_file_are_not_those_beside_another(file, tmp_path):
    import sys

    other = tmp_path / "other"
    other.mkdir()
    (other / "own.py").write_text(FILE)
    (other / "beside.py").write_text(BESIDE.replace("sigma_w / layer", "0 * sigma_w / layer"))
    (other / "beside_too.py").write_text("")
    options = ("--layers", r"1\.\d+", "--images", 64, "--json")
    found = [
        json.loads(invoke("probe", *POINT, "--network", f"{folder}/own.py:network", *options).stdout)
        for folder in (tmp_path, other)
    ]
    assert found[0]["direct_retained"] > 0.01 > found[1]["direct_retained"]
    assert "beside" not in sys.modules


TROUBLE = """
import math
import time
from torch import nn

class Trouble(nn.Module):
    def __init__(self, wait):
        super().__init__()
        self.wait = wait

    def forward(self, x):
        if not self.wait:
            raise RuntimeError("out of order")
        time.sleep(self.wait)
        return x

def raises(shape, classes):
    layers = [Trouble(0), nn.Tanh()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(math.prod(shape), classes)), layers

def never_ends(shape, classes):
    layers = [Trouble(3600), nn.Tanh()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(math.prod(shape), classes)), layers

def widening(shape, classes):
    layers = [nn.Linear(math.prod(shape), 17_000), nn.Linear(17_000, 8)]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(8, classes)), layers
"""


@pytest.mark.parametrize(("function", "error"), [("raises", "out of order"), ("never_ends", "than the 2 s that")])
def test_a_network_in_trouble_is_a_failed_point_whatever_the_probe(tmp_path, function, error):
    (tmp_path / "trouble.py").write_text(TROUBLE)
    options = ("--network", f"{tmp_path}/trouble.py:{function}", "--probe", "both", "--timeout", "2s")
    result = invoke("probe", "--sigma-w", 1, "--sigma-b", 0, "--depth", 2, *options)
    assert result.exit_code == 1 and error in result.output, result.output


def test_layers_that_the_cascade_of_a_point_leaves_out_are_named(tmp_path, caplog):
    (tmp_path / "trouble.py").write_text(TROUBLE)
    options = ("--network", f"{tmp_path}/trouble.py:widening", "--probe", "cascade", "--images", 64, "--probe-steps", 5)
    result = invoke("probe", "--sigma-w", 1, "--sigma-b", 0, "--depth", 2, *options)
    assert result.exit_code == 0, result.output
    assert caplog.messages == ["layers with more than 16384 values are left out of the cascade: 1"]
