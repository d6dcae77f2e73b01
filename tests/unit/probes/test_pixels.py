"""Values that images may not have, because they would squeeze nearly all others."""

import numpy as np
import pytest

from probes import images_of
from probes.own_data import DatasetError

LABELS = np.arange(20) % 3, np.arange(10) % 3


def of(train, test):
    return images_of(train, LABELS[0], test, LABELS[1], name="mine")


def pixels(n=20, high=16.0, seed=0):
    return np.random.default_rng(seed).random((n, 8, 8)) * high


@pytest.mark.parametrize("value", [1e30, -1e30, -9999, -999, 65535, 1e5])
@pytest.mark.parametrize("where", [np.s_[3, 2, 2], np.s_[3], np.s_[3:, :4], np.s_[3:19, 0, 0]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fill_value_is_refused_with_its_image(value, where, dtype):
    train = pixels().astype(dtype)
    train[where] = value
    with pytest.raises(DatasetError, match=r"^train_images\[3\] of 'mine' holds (\S+), but nearly all") as caught:
        of(train, pixels(10))
    assert float(str(caught.value).split()[4].rstrip(",")) == value


def test_a_fill_value_among_test_images():
    test = pixels(10)
    test[7, 0, 0] = 1e30
    with pytest.raises(DatasetError, match=r"^test_images\[7\] of 'mine' holds 1e\+30"):
        of(pixels(), test)


def test_fill_values_on_both_sides():
    train = pixels()
    train[2, 0, 0], train[2:, 4:] = -1e30, 1e30
    with pytest.raises(DatasetError, match=r"^train_images\[2\] of 'mine' holds -?1e\+30"):
        of(train, pixels(10))


def test_a_fill_value_among_images_of_two_values():
    train = (pixels() > 8) * 5.0
    assert of(train, train[:10]).pixels == 64
    train[4, 1, 1] = -9999
    with pytest.raises(DatasetError, match=r"train_images\[4\] of 'mine' holds -9999, .* from 0 to 5"):
        of(train, train[5:15])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_image(value):
    test = pixels(10)
    test[7, 0, 0] = value
    with pytest.raises(DatasetError, match=rf"must be finite, got {value} in test_images\[7\]"):
        of(pixels(), test)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(20, 8, 8)),
        np.random.default_rng(0).lognormal(0, 2, (20, 8, 8)),
        np.random.default_rng(0).integers(-1, 2, (20, 8, 8)).astype(float),
        np.random.default_rng(0).integers(0, 17, (20, 8, 8)).astype(float),
        np.random.default_rng(0).normal(size=(20, 8, 8)) + np.arange(20)[:, None, None] % 2 * 100,  # dark and bright
        np.random.default_rng(0).normal(size=(20, 8, 8)) + (pixels() > 15) * 100,  # few strokes
        np.eye(64).reshape(64, 8, 8)[:20] * 255,
    ],
    ids=["normal", "lognormal", "ternary", "17 levels", "dark and bright", "strokes", "one pixel each"],
)
def test_images_of_many_kinds_are_no_fill_values(values, caplog):
    images = of(values, values[10:])
    assert float(images.train.min()) == 0 and float(images.train.max()) == 1 and not caplog.records


def test_training_and_test_images_of_different_scales_are_refused():
    with pytest.raises(DatasetError, match="'mine' has train_images from .* and test_images from .*: scale both"):
        of(pixels(high=1), pixels(10, high=255))


@pytest.mark.parametrize("train", [pixels(high=0.06), pixels().astype(np.uint8)])
def test_images_that_use_little_of_their_range_are_told_of(train, caplog):
    of(train, train[:10])
    told = [r.getMessage().partition(" of 'mine' use only ") for r in caplog.records]
    assert [name for name, _, rest in told if rest] == ["train_images", "test_images"]


def test_masked_values_are_refused():
    with pytest.raises(DatasetError, match="train_images of 'mine' must have no masked values"):
        of(np.ma.masked_greater(pixels(), 15), pixels(10))
