"""Points with values of their own for settings, and for arguments of a user's function."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from probes import Point, ProbeSettings, images_of, measure
from probes.custom.function import Custom, NetworkError
from probes.training.custom import JointStack
from probes.training.settings import TrainingSettings

TRAINING = TrainingSettings(epochs=2, images=128, batch=32)
losses = JointStack.losses
SETTINGS = ProbeSettings("direct", images=128, train="all", training=TRAINING)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (192,), generator=generator)
    pixels = torch.rand(192, 8, 8, generator=generator) + labels[:, None, None] / 4
    return images_of(pixels[:128].numpy(), labels[:128].numpy(), pixels[128:].numpy(), labels[128:].numpy())


def curves(measurement):
    return measurement.curves["loss"]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("fixed", "extra"),
    [
        ({"architecture": "mlp"}, {"width": 12, "lr": 0.1}),
        ({"architecture": "resnet", "width": 3}, {"residual_scale": 0.3, "lr": 0.1}),
    ],
)
def test_a_value_of_a_points_own_is_that_of_the_setting(images, fixed, extra, optimizer):
    training = replace(TRAINING, optimizer=optimizer)
    settings = replace(SETTINGS, **fixed, training=training)
    (own,) = measure([Point(1.2, 0.1, 4, 0, tuple(extra.items()))], images, settings)
    given = {name: value for name, value in extra.items() if name != "lr"}
    as_setting = replace(settings, **given, training=replace(training, lr=(extra["lr"],)))
    (set_for_all,) = measure([Point(1.2, 0.1, 4, 0)], images, as_setting)
    assert own.values["gradient_norm"] == set_for_all.values["gradient_norm"]
    assert own.values["lr"] == 0.1 and own.values["direct_flops"] == set_for_all.values["direct_flops"]
    np.testing.assert_allclose(curves(own), curves(set_for_all), rtol=1e-5)
    (other,) = measure([Point(1.2, 0.1, 4, 0)], images, settings)
    assert other.values["gradient_norm"] != own.values["gradient_norm"]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_network_is_the_same_in_a_pack_of_others(images, optimizer):
    settings = replace(SETTINGS, training=replace(TRAINING, optimizer=optimizer))
    points = [
        Point(1.2, 0.1, 4, 0, (("lr", 0.1), ("width", 12))),
        Point(1.4, 0.2, 6, 1, (("lr", 0.01), ("width", 12))),
        Point(1.3, 0.2, 3, 2, (("lr", 0.3), ("width", 20))),
        Point(1.3, 0.2, 5, 3, (("width", 20),)),
    ]
    together = measure(points, images, settings)
    for point, measured in zip(points, together, strict=True):
        (alone,) = measure([point], images, settings)
        assert measured.values["gradient_norm"] == alone.values["gradient_norm"]
        np.testing.assert_allclose(curves(measured), curves(alone), rtol=1e-5)
    assert [m.values["lr"] for m in together] == [0.1, 0.01, 0.3, 0.01]


class Scaled(nn.Module):
    def __init__(self, inputs, outputs, factor):
        super().__init__()
        self.linear, self.factor = nn.Linear(inputs, outputs), factor

    def forward(self, x):
        return torch.tanh(self.factor * self.linear(x))


def narrow(sigma_w, depth, classes, heads, factor=1.0):
    sizes = [64, *[8 * heads] * depth]
    layers = nn.Sequential(*[Scaled(a, b, factor) for a, b in zip(sizes, sizes[1:], strict=False)])
    for layer in layers:
        nn.init.normal_(layer.linear.weight, std=sigma_w / layer.linear.in_features**0.5)
    return nn.Sequential(nn.Flatten(), layers, nn.Linear(sizes[-1], classes)), list(layers)


def test_arguments_of_a_users_function(images):
    points = [Point(1.2, 0.1, 3, 0, (("factor", f), ("heads", h))) for f, h in ((1.0, 2), (0.1, 2), (1.0, 4))]
    measured = measure(points, images, SETTINGS, network=narrow)
    assert [m.status for m in measured] == ["ok"] * 3
    assert len({m.values["gradient_norm"] for m in measured}) == 3
    (default,) = measure([Point(1.2, 0.1, 3, 0, (("heads", 2),))], images, SETTINGS, network=narrow)
    assert default.values["gradient_norm"] == measured[0].values["gradient_norm"]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_networks_of_a_user_train_together_with_rates_of_their_own(images, optimizer, monkeypatch):
    joint = []
    monkeypatch.setattr(JointStack, "losses", lambda self, *batch: joint.append(len(self.runs)) or losses(self, *batch))
    settings = replace(SETTINGS, training=replace(TRAINING, optimizer=optimizer))
    points = [Point(1.2, 0.1, 3, seed, (("heads", 2), ("lr", 0.02 * (seed + 1)))) for seed in range(4)]
    together = measure(points, images, settings, network=narrow)
    assert joint and joint[0] == 4
    for point, measured in zip(points, together, strict=True):
        (alone,) = measure([point], images, settings, network=narrow)
        assert measured.values["lr"] == dict(point.extra)["lr"]
        np.testing.assert_allclose(curves(measured), curves(alone), rtol=1e-3)


def test_arguments_that_are_missing_or_too_many_are_named(images):
    with pytest.raises(NetworkError, match="may have the arguments .* got heads"):
        Custom(narrow)
    with pytest.raises(NetworkError, match="must take bias as an argument to have it as an axis"):
        Custom(narrow, extra=(("heads", 2), ("bias", 1)))
    custom = Custom(narrow, extra=(("heads", 2),))
    assert custom.arguments == ("sigma_w", "depth", "classes", "heads")
    assert custom.with_extra({"heads": 2}) is custom and custom.with_extra({"heads": 3}).extra == (("heads", 3),)


def test_values_that_mean_nothing_are_refused(images):
    point = Point(1.2, 0.1, 3, 0, (("heads", 4),))
    with pytest.raises(ValueError, match="values of lr, width, residual_scale only, got 'heads'"):
        measure([point], images, SETTINGS)
    with pytest.raises(ValueError, match="must have values of the same further axes"):
        measure(iter([Point(1.2, 0.1, 3), point]), images, SETTINGS, network=narrow)
    for extra, says in (
        (("width", 0), "`width` must be a positive whole number, got 0"),
        (("width", 8.0), "`width` must be a positive whole number, got 8.0"),
        (("lr", 0.0), "`lr` must be positive, got 0.0"),
        (("residual_scale", 0.5), "`residual_scale` must be left out with architecture 'mlp'"),
    ):
        (failed,) = measure([Point(1.2, 0.1, 3, 0, (extra,))], images, SETTINGS)
        assert failed.status == "failed" and says in failed.error
    (whole,) = measure([Point(1.2, 0.1, 3, 0, (("lr", 1),))], images, SETTINGS)
    assert whole.status == "ok" and whole.values["lr"] == 1


def test_the_text_of_a_point_names_its_values():
    assert repr(Point(1.0, 0.1, 3)) == "Point(sigma_w=1.0, sigma_b=0.1, depth=3, seed=0)"  # names of checkpoints
    point = Point(1.0, 0.1, 3, 0, [["width", 4], ["lr", 0.1]])
    assert point == Point(1.0, 0.1, 3, 0, (("lr", 0.1), ("width", 4))) and "('width', 4)" in repr(point)
    with pytest.raises(ValueError, match="`lr` must be finite"):
        Point(1.0, 0.1, 3, 0, (("lr", float("nan")),))
