"""A program may have changed the defaults of torch and numpy: its measurements are the same, and its defaults stay."""

import contextlib
import warnings

import numpy as np
import pytest
import torch

from probes import Images, Point, ProbeSettings, TrainingSettings, images_of, measure

TRAINING = TrainingSettings(epochs=1, images=64, batch=32)


@contextlib.contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    yield
    assert torch.get_default_dtype() == torch.float64
    torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def default_device():
    torch.set_default_device("meta")
    yield
    assert torch.empty(0).device.type == "meta"
    torch.set_default_device(None)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


STATES = {
    "float64": default_dtype,
    "meta device": default_device,
    "deterministic": deterministic,
    "without gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "numpy raises": lambda: np.errstate(all="raise"),
    "warnings are errors": warnings_as_errors,
}


def measured(images: Images, architecture: str) -> list[tuple]:
    settings = ProbeSettings(
        probe="both", architecture=architecture, images=128, probe_steps=10, train="all", training=TRAINING
    )
    points = [Point(1.2, 0.2, 2, 1), Point(2.5, 0.0, 3, 2)]
    out = []
    for m in measure(points, images, settings):
        assert m.status == "ok", m.error
        values = {n: v for n, v in m.values.items() if "seconds" not in n}
        curves = {n: v.tolist() for n, v in m.curves.items()}
        out.append((values, {n: v.tolist() for n, v in m.profiles.items()}, curves))
    return out


@pytest.mark.parametrize("architecture", ["mlp", "shrinking", "conv"])
def test_measurements_do_not_depend_on_defaults(architecture):
    rng = np.random.default_rng(0)
    arrays = [rng.random((128, 6, 6)), rng.integers(0, 3, 128), rng.random((40, 6, 6)), rng.integers(0, 3, 40)]
    expected = measured(images_of(*arrays), architecture)
    for name, state in STATES.items():
        with state():
            images = images_of(*arrays)
            assert measured(images, architecture) == expected, name
