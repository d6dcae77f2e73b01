"""Data of a user's own: arrays, functions in a file, and the fingerprint that tells data apart."""

import sys

import numpy as np
import pytest
import torch

from probes import images_of, load_images
from probes.datasets import Images
from probes.own_data import ARRAYS, DatasetError


def arrays(seed=0, dtype=np.uint8):
    random = np.random.default_rng(seed)
    images = [random.integers(0, 256, (n, 6, 6), dtype=np.uint8) for n in (20, 10)]
    labels = [random.integers(0, 3, n) for n in (20, 10)]
    images = [x if dtype is np.uint8 else (x / 255).astype(dtype) for x in images]
    return images[0], labels[0], images[1], labels[1]


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a Python file with a function, and gives its name as a data set."""

    def write(body, name="mine.py"):
        (tmp_path / name).write_text(f"import numpy as np\ndef data():\n    {body}\n")
        return f"{tmp_path / name}:data"

    return write


def test_arrays_are_a_data_set(tmp_path):
    np.savez(tmp_path / "a.npz", **dict(zip(ARRAYS, arrays(), strict=True)))
    given, loaded = images_of(*arrays(), name="mine"), load_images(str(tmp_path / "a.npz"))
    assert given.name == "mine" and torch.equal(given.train, loaded.train)
    assert torch.equal(given.test_labels, loaded.test_labels) and given.shape == (6, 6)
    assert torch.equal(images_of(*map(torch.as_tensor, arrays())).train, given.train)
    assert images_of(*arrays(), resize=3).shape == (3, 3)


def test_what_was_given_may_change_afterwards():
    mine = arrays(dtype=np.float32)
    made = images_of(*mine)
    before = made.train.clone()
    mine[0][...] = 0
    assert torch.equal(made.train, before)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ((np.zeros((20, 6, 6), int), None, None, None), "train_images of 'x' must be uint8 or float"),
        (([[1], [2, 3]], None, None, None), "train_images of 'x' is not an array"),
        ((None, np.zeros(19, int), None, None), "train_labels of 'x' must be 20 integers"),
        ((None, None, np.zeros((10, 5, 6), np.uint8), None), "differ in image shape"),
        ((None, None, None, -np.ones(10, int)), "test_labels of 'x' must be from 0 to 9999"),
    ],
)
def test_other_arrays_are_refused(changed, match):
    given = [old if new is None else new for old, new in zip(arrays(), changed, strict=True)]
    with pytest.raises(DatasetError, match=match):
        images_of(*given, name="x")


def test_a_fingerprint_is_of_the_content_not_of_the_name(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        np.savez(tmp_path / f"{name}.npz", **dict(zip(ARRAYS, arrays(seed), strict=True)))
    a, b, c = (load_images(str(tmp_path / f"{n}.npz")).fingerprint for n in "abc")
    assert a == b != c and len(a) == 32
    assert load_images(str(tmp_path / "a.npz"), resize=3).fingerprint == a  # the spec says how it is resized
    assert images_of(*arrays()).fingerprint == images_of(*arrays(dtype=np.float32)).fingerprint == a
    labels = arrays()[1].copy()
    labels[0] += 1
    assert images_of(arrays()[0], labels, *arrays()[2:]).fingerprint != a
    assert load_images("digits").fingerprint == load_images("digits").fingerprint != load_images("noise").fingerprint


def test_a_data_set_made_by_hand_has_a_fingerprint_of_its_own():
    made = images_of(*arrays())
    parts = made.train, made.train_labels, made.test, made.test_labels
    again = Images("mine", *parts, made.shape, made.classes)
    other = Images("mine", made.train + 1, *parts[1:], made.shape, made.classes)
    assert again.fingerprint != other.fingerprint and len(again.fingerprint) == 32


def test_a_function_returns_the_arrays(file, tmp_path):
    (tmp_path / "beside.py").write_text("COUNT = 12")
    name = file(
        "from beside import COUNT; x = np.random.default_rng(0).random((COUNT, 4, 4)); y = np.arange(COUNT) % 3\n"
        "    return x, y, x, y"
    )
    path = list(sys.path)
    images = load_images(name, run_code=True)
    assert "beside" not in sys.modules
    assert images.train.shape == (12, 16) and images.name == name and sys.path == path


def test_a_program_is_not_run_where_its_name_may_come_from_elsewhere(file, tmp_path):
    name = file(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    with pytest.raises(DatasetError, match="is a program, which is run only if you name it yourself"):
        load_images(name)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("return 1 / 0", "failed: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "failed: SystemExit: 3"),
        ("return 5", "must return four arrays .train_images, .*, got int"),
        ("return 1, 2", "must return four arrays .train_images, .*, got tuple"),
        ("return 1, 2, 3, 4", "train_images of .* must be uint8 or float"),
        ("return (", "failed: SyntaxError"),
    ],
)
def test_functions_that_fail(file, body, match):
    with pytest.raises(DatasetError, match=match):
        load_images(file(body), run_code=True)


def test_files_and_functions_that_are_not_there(file, tmp_path):
    with pytest.raises(DatasetError, match="there is no file"):
        load_images(f"{tmp_path / 'none.py'}:data", run_code=True)
    with pytest.raises(DatasetError, match="failed: AttributeError"):
        load_images(file("return 1").replace(":data", ":other"), run_code=True)
