"""The layout of images with channels, which is recognised where it is clear and asked for where it is not."""

import numpy as np
import pytest
import torch

from probes import images_of, load_images
from probes.own_data import ARRAYS, DatasetError


def arrays(*shape):
    random = np.random.default_rng(0)
    train, test = (random.integers(0, 256, (n, *shape), dtype=np.uint8) for n in (20, 10))
    return train, np.arange(20) % 3, test, np.arange(10) % 3


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 8, 8), (1, 8, 8)),
        ((3, 32, 32), (3, 32, 32)),
        ((3, 32, 48), (3, 32, 48)),
        ((4, 8, 8), (4, 8, 8)),
        ((1, 3, 3), (1, 3, 3)),
        ((3, 4, 4), (3, 4, 4)),
    ],
)
def test_channels_first_is_recognised_and_told_of(shape, expected, caplog):
    images = images_of(*arrays(*shape), name="mine")
    assert images.shape == expected
    (record,) = caplog.records
    height, width = expected[1:]
    assert f"'mine', of shape [20, {', '.join(map(str, shape))}], are read as {height} x {width} pixels" in (
        record.getMessage()
    )
    assert "--layout channels-last" in record.getMessage() and record.levelname == "WARNING"


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (32, 48, 3), (6, 5, 4), (28, 28, 2)])
def test_channels_last_is_what_is_usual(shape, caplog):
    assert images_of(*arrays(*shape)).shape == (shape[2], *shape[:2])
    assert not caplog.records


def test_what_is_recognised_by_square_images_is_told_of(caplog):
    assert images_of(*arrays(3, 3, 1)).shape == (1, 3, 3)
    assert "are read as 3 x 3 pixels with 1 channel (channels-last)" in caplog.text


@pytest.mark.parametrize(
    "shape",
    [(3, 3, 3), (1, 8, 1), (3, 32, 3), (1, 28, 3), (3, 5, 4), (1, 1, 8), (4, 4, 8), (8, 4, 4)],
)
def test_a_layout_that_is_not_clear_is_asked_for(shape):
    with pytest.raises(DatasetError, match="'mine' has images of shape .*, whose layout is not clear") as caught:
        images_of(*arrays(*shape), name="mine")
    first, middle, last = shape
    assert f"--layout channels-last for {first} x {middle} pixels with {last} channel" in str(caught.value)
    assert f"--layout channels-first for {middle} x {last} pixels with {first} channel" in str(caught.value)
    assert images_of(*arrays(*shape), layout="channels-first").shape == shape
    assert images_of(*arrays(*shape), layout="channels-last").shape == (last, first, middle)


@pytest.mark.parametrize("shape", [(8, 8, 8), (16, 16, 10), (10, 16, 16), (5, 6, 7)])
def test_volumes_are_not_taken_for_images(shape):
    with pytest.raises(DatasetError, match="not clear: .*; volumes are not supported"):
        images_of(*arrays(*shape))


@pytest.mark.parametrize("shape", [(6, 6, 6, 1), (1, 6, 6, 6), (2, 2, 2, 2, 2)])
@pytest.mark.parametrize("layout", ["auto", "channels-first"])
def test_more_axes_are_refused(shape, layout):
    with pytest.raises(DatasetError, match=r"train_images of .* got shape .*; volumes are not supported"):
        images_of(*arrays(*shape), layout=layout)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("resize", [None, 3])
def test_both_layouts_of_the_same_images_are_the_same_data(tmp_path, channels, resize):
    first = arrays(channels, 8, 6)
    last = [np.moveaxis(a, 1, 3) if a.ndim == 4 else a for a in first]
    np.savez(tmp_path / "first.npz", **dict(zip(ARRAYS, first, strict=True)))
    one = images_of(*last, resize=resize)
    for other in (images_of(*first, resize=resize), load_images(str(tmp_path / "first.npz"), resize=resize)):
        assert torch.equal(one.train, other.train) and torch.equal(one.test, other.test)
        assert (one.shape, one.fingerprint) == (other.shape, other.fingerprint)


def test_a_layout_that_is_given_is_not_told_of(caplog):
    given = images_of(*arrays(3, 8, 8), layout="channels-first")
    assert not caplog.records and given.fingerprint == images_of(*arrays(3, 8, 8)).fingerprint
    assert images_of(*arrays(3, 8, 8), layout="channels-last").shape == (8, 3, 8)


@pytest.mark.parametrize("layout", ["channels-last", "channels-first"])
def test_images_without_channels_have_no_layout(layout):
    assert images_of(*arrays(6, 4), layout=layout).shape == (6, 4)
    assert images_of(*arrays(24), layout=layout).shape == (24,)
    assert load_images("digits", layout=layout).fingerprint == load_images("digits").fingerprint


@pytest.mark.parametrize("layout", ["NCHW", "", None])
def test_other_layouts_are_refused(layout):
    for load in (lambda: images_of(*arrays(3, 8, 8), layout=layout), lambda: load_images("digits", layout=layout)):
        with pytest.raises(DatasetError, match="`layout` must be one of auto, channels-last, channels-first, got"):
            load()


def test_layouts_that_differ_are_refused():
    first, last = arrays(3, 8, 8), arrays(8, 8, 3)
    with pytest.raises(DatasetError, match=r"differ in image shape or type: \[20, 3, 8, 8\] .* and \[10, 8, 8, 3\]"):
        images_of(*first[:2], *last[2:])
