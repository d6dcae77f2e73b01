"""Functions and modules of the user that are not as they should be: each is a row with one clear line, and no more."""

import os
import random
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from probes import Custom, Point, ProbeSettings, measure
from probes.custom.network import NetworkError
from tests.unit.probes.test_custom import CLASSES, network

TIMEOUT, LONG = 1.0, 60.0  # seconds: for what never ends, and for all else, on a busy machine
NO_GRADIENT = "has a layer that no gradient passes through"


class Wrong(nn.Module):
    """A module of three layers whose forward pass is given."""

    def __init__(self, forward, layers=None):
        super().__init__()
        self.layers = nn.ModuleList(layers or [nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)])
        self.readout = nn.Linear(64, CLASSES)
        self.wrong = forward

    def forward(self, x):
        return self.wrong(self, x.flatten(1))


def gives(forward, layers=None):
    return lambda depth: Wrong(forward, layers and layers())


def twice(module, x):
    for layer in module.layers:
        x = layer(x)
    return x


def right(module, x):
    return module.readout(twice(module, x))


def plain(*layers):
    return lambda depth: nn.Sequential(nn.Flatten(), *(layer() for layer in layers), nn.Linear(64, CLASSES))


class Layer(nn.Module):
    """A layer that gives what a function says."""

    def __init__(self, forward):
        super().__init__()
        self.linear, self.wrong = nn.Linear(64, 64), forward

    def forward(self, x):
        return self.wrong(self, x)


def layers(forward):
    return plain(*[lambda: Layer(forward)] * 3)


def scaled(factor):
    def made(depth):
        module = Wrong(right)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(factor)
        return module

    return made


def lets_others_run(depth):
    while True:
        time.sleep(0.01)


def counts(depth):
    while True:
        depth += 1


def catches_everything(depth):
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass


def waits(depth):
    threading.Event().wait()


def recursion(depth):
    return recursion(depth)


def changes_everything(depth):
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    torch.set_default_dtype(torch.float64)
    module = Wrong(right)
    return module.float()


def prints(depth):
    print("from the function")
    os.write(2, b"to standard error\n")
    return Wrong(right)


def warns(depth):
    warnings.simplefilter("ignore")  # tests take warnings for errors
    warnings.warn("of the function", stacklevel=1)
    return Wrong(right)


def exits(depth):
    sys.exit("the end")


def stops(depth):
    raise StopIteration


def long_story(depth):
    raise ValueError("line\n" * 200)


def of_text(depth):
    raise KeyError("\x1b[31mred\x1b[0m")


def a_generator(depth):
    yield Wrong(right)


async def a_coroutine(depth):
    return Wrong(right)


def needs_more(depth, *, shape):
    return Wrong(right, [nn.Linear(1000, 64), nn.Tanh(), nn.Linear(64, 64)])


def shared(depth):
    layer = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), layer, nn.Tanh(), layer, nn.Linear(64, CLASSES)), [layer]


def frozen(depth):
    return Wrong(right).requires_grad_(False)


def halves(depth):
    return Wrong(right).half()


def doubles(depth):
    return Wrong(right).double()


def on_meta(depth):
    return Wrong(right).to("meta")


def uninitialised(depth):
    return Wrong(right, [nn.LazyLinear(64), nn.Tanh(), nn.Linear(64, 64)])


def own_module_list(depth):
    return nn.ModuleList([nn.Linear(64, 64), nn.Linear(64, CLASSES)])


# What each is, and how its point ends: as ``failed`` with a line that has this in it, or as ``ok`` or ``diverged``.
MALFORMED = {
    "raises": (lambda depth: 1 / 0, "raised ZeroDivisionError: division by zero"),
    "a class": (lambda depth: nn.Linear, "must return a module, or a module and its layers, got the class Linear"),
    "nothing": (lambda depth: None, "got a NoneType"),
    "no layers": (lambda depth: nn.Linear(64, 10), "has no Sequential or ModuleList with more than one module"),
    "an empty list": (lambda depth: (nn.Linear(64, 10), []), "must have layers: it returned an empty list of them"),
    "layers that are none": (lambda depth: (nn.Linear(64, 10), [3]), "must return a list of modules as its layers"),
    "layers that are no list": (
        lambda depth: (nn.Linear(64, 10), 3),
        "must return a list of modules as its layers, got a int",
    ),
    "classes": (gives(lambda m, x: twice(m, x)), r"must give logits \[images, 10\], got the shape \[4, 64\]"),
    "no tensor": (gives(lambda m, x: {"logits": x}), r"must give logits \[images, 10\], got a dict"),
    "raises in forward": (gives(lambda m, x: x.no_such_method()), "raised AttributeError"),
    "never called": (gives(lambda m, x: x[:, :10]), "none of those found is called before the read-out"),
    "the axis of the images": (
        gives(lambda m, x: twice(m, x.T.reshape(-1, 64).repeat(2, 1))[: len(x), :10]),
        "do not begin with the axis of the images",
    ),
    "another shape of images": (lambda depth: nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 10)), "raised RuntimeError"),
    "a lazy layer of no use": (lambda depth: nn.Sequential(nn.Identity(), nn.Softmax(dim=9)), "raised IndexError"),
    "buffers only": (lambda depth: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, affine=False)), "must give logits"),
    "a module that needs a GPU": (
        lambda depth: nn.Sequential(nn.Flatten(), nn.Linear(64, 10, device="cuda")),
        "raised",
    ),
    "depth ignored": (
        lambda depth: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 10)),
        "has 2 layers at depth 3: name more with `layers`",
    ),
    "exits": (exits, "raised SystemExit: the end"),
    "stops an iteration": (stops, "raised StopIteration"),
    "an error of many lines": (long_story, "raised ValueError: line line line"),
    "an error that colours": (of_text, "raised KeyError"),
    "recursion": (recursion, "raised RecursionError"),
    "a generator": (a_generator, "got a generator"),
    "a coroutine": (a_coroutine, "got a coroutine"),
    "a number": (lambda depth: 3.0, "got a float"),
    "a tensor": (lambda depth: torch.zeros(3), "got a Tensor"),
    "a tuple of three": (lambda depth: (Wrong(right), [], 3), "got a tuple"),
    "a list": (lambda depth: [Wrong(right)], "got a list"),
    "a mapping": (lambda depth: {"module": Wrong(right)}, "got a dict"),
    "a list of modules that is no network": (own_module_list, "raised NotImplementedError"),
    "other inputs": (needs_more, "raised RuntimeError"),
    "half precision": (halves, "raised RuntimeError"),
    "double precision": (doubles, "raised RuntimeError"),
    "no data": (on_meta, "raised NotImplementedError"),
    "lazy layers": (uninitialised, "ok"),
    "the same layer twice": (shared, "has 2 layers at depth 3"),
    "frozen parameters": (frozen, "ok"),
    "no parameters": (plain(nn.Tanh, nn.Tanh, nn.Tanh), "ok"),
    "logits of an image in a column": (gives(lambda m, x: right(m, x)[..., None]), r"got the shape \[4, 10, 1\]"),
    "logits of a batch": (gives(lambda m, x: right(m, x).mean(0)), r"got the shape \[10\]"),
    "probabilities of two classes": (gives(lambda m, x: right(m, x)[:, :2]), r"got the shape \[4, 2\]"),
    "a tuple of logits": (gives(lambda m, x: (right(m, x), x)), "got a tuple"),
    "no output": (gives(lambda m, x: None), "got a NoneType"),
    "an array": (gives(lambda m, x: right(m, x).detach().numpy()), "got a ndarray"),
    "logits that are not numbers": (gives(lambda m, x: right(m, x) * float("nan")), "ok"),
    "layers without a tensor": (layers(lambda m, x: "text"), "has a layer that gives no tensor, but a str"),
    "layers that give nothing": (layers(lambda m, x: None), "has a layer that gives no tensor, but a NoneType"),
    "layers that give whole numbers": (layers(lambda m, x: m.linear(x).int().float()), NO_GRADIENT),
    "layers that are not numbers": (layers(lambda m, x: m.linear(x) * float("nan")), "diverged"),
    "layers that are infinite": (layers(lambda m, x: m.linear(x) / 0), "diverged"),
    "layers that are huge": (scaled(1e15), "diverged"),
    "layers that vanish": (scaled(0.0), "ok"),
    "layers that grow": (scaled(1e5), "ok"),
    "layers of one number": (plain(lambda: nn.Linear(64, 1), nn.Tanh, lambda: nn.Linear(1, 64)), "ok"),
    "layers without gradients": (layers(lambda m, x: m.linear(x).detach()), NO_GRADIENT),
    "layers that compute nothing": (layers(lambda m, x: x), "ok"),
    "changes what it is given": (layers(lambda m, x: m.linear(x.mul_(2.0))), "ok"),
    "takes the mode of evaluation": (layers(lambda m, x: m.eval().linear(x)), "ok"),
    "computes without gradients": (gives(torch.no_grad()(right)), NO_GRADIENT),
    "infers": (gives(torch.inference_mode()(right)), NO_GRADIENT),
    "another order of layers": (gives(lambda m, x: m.readout(m.layers[0](m.layers[2](m.layers[1](x))))), "ok"),
    "random layers": (layers(lambda m, x: m.linear(x) + torch.randn_like(x)), "ok"),
    "more calls for more images": (
        gives(lambda m, x: m.readout(twice(m, x) if len(x) <= 4 else twice(m, twice(m, x)))),
        "ok",
    ),
    "fewer calls for more images": (gives(lambda m, x: right(m, x) if len(x) <= 4 else m.readout(x)), "diverged"),
    "raises for more images": (gives(lambda m, x: right(m, x) if len(x) <= 4 else 1 / 0), "raised ZeroDivisionError"),
    "changes global seeds": (changes_everything, "ok"),
    "prints": (prints, "ok"),
    "warns": (warns, "ok"),
    "never returns": (lets_others_run, "took longer than the 1 s that `timeout` allows"),
    "never returns, and is busy": (counts, "took longer than the 1 s"),
    "never returns, and catches what it can": (catches_everything, "took longer than the 1 s"),
    "never returns, and waits": (waits, "took longer than the 1 s"),
    "never returns from forward": (gives(lambda m, x: lets_others_run(3)), "took longer than the 1 s"),
    "never returns from a layer": (layers(lambda m, x: counts(3)), "took longer than the 1 s"),
}


def state():
    """Return what a function could change of this process."""
    of_torch, of_numpy = torch.get_rng_state(), np.random.get_state()[1]
    settings = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), random.getstate()
    return [*settings, hash(of_torch.numpy().tobytes()), hash(np.asarray(of_numpy).tobytes())]


def test_there_are_enough():
    assert len(MALFORMED) >= 60


@pytest.mark.skipif(torch.cuda.is_available(), reason="one of the modules needs a GPU that is not there")
@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.filterwarnings("ignore:coroutine")
def test_each_is_one_row_with_one_clear_line(digits, name):
    function, expected = MALFORMED[name]
    settings = ProbeSettings("direct", images=64, timeout=TIMEOUT if name.startswith("never returns") else LONG)
    before = state()
    (m,) = measure([Point(1.0, 0.1, 3)], digits, settings, network=Custom(function))
    assert state() == before
    if expected in ("ok", "diverged"):
        assert (m.status, m.error) == (expected, "")
        return
    assert m.status == "failed" and "\n" not in m.error and len(m.error) < 700
    if "took longer" in expected:
        assert expected in m.error
        return
    with pytest.raises(NetworkError, match=expected):
        network(function).gradients(digits.train[:64])
