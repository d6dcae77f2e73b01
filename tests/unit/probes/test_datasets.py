import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from probes.datasets import DatasetError, load_images


def arrays(n=20, m=10, shape=(6, 6), dtype=np.uint8):
    random = np.random.default_rng(0)
    make = {np.uint8: lambda s: random.integers(0, 256, s, dtype=np.uint8)}.get(
        dtype, lambda s: random.random(s).astype(dtype)
    )
    return {
        "train_images": make((n, *shape)),
        "train_labels": random.integers(0, 3, n),
        "test_images": make((m, *shape)),
        "test_labels": random.integers(0, 3, m),
    }


@pytest.fixture
def saved(tmp_path):
    def save(**changes):
        path = tmp_path / "set.npz"
        np.savez(path, **{k: v for k, v in {**arrays(), **changes}.items() if v is not None})
        return str(path)

    return save


def test_digits(digits):
    assert digits.train.shape == (1437, 64) and digits.test.shape == (360, 64)
    assert digits.shape == (8, 8) and digits.classes == 10
    assert 0 <= float(digits.train.min()) and float(digits.train.max()) == 1
    assert len(set(digits.train_labels[:200].tolist())) == 10  # shuffled: the first images are a fair sample


def test_loading_twice_gives_the_same(digits):
    assert torch.equal(digits.train, load_images("digits").train)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_resize_keeps_the_mean(digits, size):
    resized = load_images("digits", resize=size)
    assert resized.shape == (size, size) and resized.pixels == size**2
    assert float(resized.train.mean()) == pytest.approx(float(digits.train.mean()), rel=0.03)


def test_pooling_is_the_mean_of_blocks(saved):
    path = saved()
    blocks = load_images(path).test.view(-1, 3, 2, 3, 2).mean((2, 4))
    torch.testing.assert_close(load_images(path, resize=3).test.view(-1, 3, 3), blocks)


def test_noise_is_uniform_and_needs_no_file():
    noise = load_images("noise")
    assert noise.pixels == 256
    assert float(noise.train.var()) == pytest.approx(1 / 12, rel=0.01)
    assert load_images("noise", resize=5).shape == (5, 5)


@pytest.mark.parametrize("shape", [(36,), (6, 6), (6, 4), (6, 6, 1), (6, 6, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16])
def test_npz_of_any_shape(saved, shape, dtype):
    images = load_images(saved(**arrays(shape=shape, dtype=dtype)))
    channels_first = (shape[2], *shape[:2]) if len(shape) == 3 else shape
    assert images.shape == channels_first and images.pixels == np.prod(shape)
    assert images.train.dtype == torch.float32 and 0 <= float(images.train.min()) <= float(images.train.max()) <= 1


def test_npz_outside_the_unit_interval_is_mapped_there(saved):
    x = np.linspace(-3, 5, 20 * 36).reshape(20, 6, 6)
    images = load_images(saved(train_images=x, test_images=x[:10]))
    assert (float(images.train.min()), float(images.train.max())) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test_labels": None}, "no array 'test_labels'"),
        ({"train_images": np.zeros((20, 6, 6), np.int64)}, "uint8 or float"),
        ({"train_images": np.zeros(20)}, r"got shape \[20\]"),
        ({"train_images": np.zeros((20, 5, 5), np.uint8)}, "differ in image shape"),
        ({"train_images": np.zeros((20, 6, 6), np.uint8)}, "all the same"),
        ({"train_images": np.full((20, 6, 6), np.nan), "test_images": np.ones((10, 6, 6))}, "finite"),
        ({"train_images": np.full((20, 6, 6), 1e308), "test_images": -np.ones((10, 6, 6))}, "all the same"),
        ({"train_images": np.resize([1.7e308, -1.7e308], (20, 6, 6)), "test_images": np.ones((10, 6, 6))}, "span"),
        ({"train_labels": np.zeros(19, int)}, "20 integers"),
        ({"train_labels": np.zeros(20)}, "20 integers"),
        ({"train_labels": np.full(20, -1)}, "from 0 to 9999"),
        (
            {"train_images": arrays()["train_images"][:1], "train_labels": np.zeros(1, int)},
            "1 training images",
        ),
        ({"train_images": np.empty((0, 6, 6), np.uint8), "train_labels": np.zeros(0, int)}, "shape"),
        ({"train_labels": np.array([{}] * 20, object)}, "not a readable"),
    ],
)
def test_bad_npz_says_what_is_wrong(saved, changes, says):
    with pytest.raises(DatasetError, match=says) as caught:
        load_images(saved(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 30, 200, 1000])
def test_a_truncated_npz_says_so(saved, tmp_path, cut):
    data = Path(saved()).read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(data[:cut])
    with pytest.raises(DatasetError, match="not a readable"):
        load_images(str(path))


@pytest.mark.parametrize("name", ["nonsense", "", "missing.npz", "/dev/null/x.npz"])
def test_unknown_names(name):
    with pytest.raises(DatasetError):
        load_images(name)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar10-rgb"])
def test_a_missing_download_says_how_to_get_it(tmp_path, name):
    with pytest.raises(DatasetError, match="--download fetches it"):
        load_images(name, data_dir=tmp_path)


def test_mnist_as_downloaded(mnist):
    assert mnist.train.shape == (60_000, 784) and mnist.test.shape == (10_000, 784)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(mnist.train_labels).tolist() == counts
    assert float(mnist.train.mean()) == pytest.approx(0.1307, abs=1e-4)


@pytest.fixture
def raw(tmp_path):
    """Files in the format of MNIST's, packed: 20 training and 10 test images."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        images, labels = random.integers(0, 256, (count, 28, 28)), random.integers(0, 10, count)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = np.array([0x800 + array.ndim, *array.shape], ">i4").tobytes()
            packed = gzip.compress(header + array.astype(np.uint8).tobytes())
            (raw / f"{part}-{name}-ubyte.gz").write_bytes(packed)
    return raw


def test_torchvision_reads_the_same_as_we_do_from_the_packed_files(raw, tmp_path):
    ours = load_images("mnist", data_dir=tmp_path)
    for packed in raw.glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    torchvisions = load_images("mnist", data_dir=tmp_path)
    for name in ("train", "train_labels", "test", "test_labels"):
        assert torch.equal(getattr(ours, name), getattr(torchvisions, name))
    assert ours.train.shape == (20, 784) and ours.test.shape == (10, 784) and float(ours.train.max()) > 0.9


def test_a_download_with_the_wrong_labels_says_so(raw, tmp_path):
    (raw / "train-labels-idx1-ubyte.gz").write_bytes((raw / "t10k-labels-idx1-ubyte.gz").read_bytes())
    with pytest.raises(DatasetError, match="20 training images and 10 labels"):
        load_images("mnist", data_dir=tmp_path)


def test_a_truncated_download_says_so(raw, tmp_path):
    for packed in raw.glob("*.gz"):
        packed.write_bytes(packed.read_bytes()[:5000])
    with pytest.raises(DatasetError, match="cannot be read"):
        load_images("mnist", data_dir=tmp_path)


def test_cifar_grey(shared):
    images = load_images(str(shared / "data" / "cifar10_gray.npz"), resize=16)
    assert images.train.shape == (12_000, 256) and images.classes == 10
