"""Files that are not what their names say: each is named for what it is."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from probes import load_images
from probes.own_data import ARRAYS, DatasetError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>"
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 6), dtype=np.uint8)
LABELS = np.arange(20) % 3
SET = dict(zip(ARRAYS, (IMAGES, LABELS, IMAGES, LABELS), strict=True))


def made(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def tarred(buffer):
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))


def zipped(content):
    def write(buffer):
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)

    return made(write)


NPZ = made(lambda buffer: np.savez(buffer, **SET))
DAMAGED = NPZ.replace(IMAGES.tobytes(), bytes(IMAGES.size), 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LFS, "it is a Git LFS pointer, which `git lfs pull` replaces by the file"),
        (b"/annex/objects/SHA256E-s12--ab.npz\n", "it is a git-annex pointer"),
        (PAGE, "it is a web page .HTML."),
        (b"\xef\xbb\xbf<HTML>", "it is a web page .HTML."),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "it is an XML file"),
        (b"", "it is an empty file"),
        (b" \n", "it is a file of white space"),
        (bytes(2000), "it is a file of zeros"),
        (NPZ[:1000], "it is a zip archive that was cut off"),
        (NPZ[:-10], "it is a zip archive that was cut off"),
        (DAMAGED, "train_images: Bad CRC-32"),
        (gzip.compress(NPZ, mtime=0), "it is a gzip file"),
        (bz2.compress(NPZ), "it is a bzip2 file"),
        (lzma.compress(NPZ), "it is an xz file"),
        (made(tarred), "it is a tar archive"),
        (made(lambda buffer: np.save(buffer, IMAGES)), r"it is a single NumPy array \(.npy\)"),
        (pickle.dumps(SET), "it is a pickle, which is not loaded because it can run code"),
        (made(lambda b: np.savez(b, **SET | {"train_labels": np.array([{}] * 20)})), "train_labels holds Python obj"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "it is an HDF5 file"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(99), "it is a MATLAB file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "it is a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "it is a JPEG image"),
        (b"PAR1\x15\x04" + bytes(99), "it is a Parquet file"),
        (json.dumps({"train_images": [1]}).encode(), "it is a JSON file"),
        (b"label,pixel0\n1,2\n" * 100, "it is a text file that begins with 'label,pixel0'"),
        (b"x" + "ä".encode() * 2001, "it is a text file that begins with 'xä"),  # the last one read is cut in two
        (b"\x1b[2J\x07", "it is no archive of arrays"),
        (b"\xe9t\xe9", "it is no archive of arrays"),
        (zipped({}), "has no array 'train_images'; .*, and holds nothing"),
        (zipped({"word/document.xml": "x"}), "has no array 'train_images'; .*, and holds 'word/document.xml'"),
        (zipped({f"{n}.npy": "x" for n in ARRAYS}), "train_images is no array"),
        (made(lambda b: np.savez(b, x_train=IMAGES, y_train=LABELS)), "no array .*, and holds 'x_train', 'y_train'"),
    ],
)
def test_a_file_that_is_no_npz_is_named_for_what_it_is(content, says, tmp_path):
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=says) as caught:
        load_images(str(path))
    text = str(caught.value)
    assert text.startswith(f"{str(path)!r} ") and text.isprintable() and "allow_pickle" not in text


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "link.npz").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.npz")
    for name, says in (
        ("folder", "it is a folder"),
        ("link", "it is a link to a file that is not there"),
        ("pipe", "it is no regular file"),
        ("missing", "No such file or directory"),
        ("folder.npz/missing", "No such file or directory"),
    ):
        with pytest.raises(DatasetError, match=f"is not a readable .npz file: {says}"):
            load_images(str(tmp_path / f"{name}.npz"))


def test_a_name_that_is_a_file_of_another_kind(tmp_path):
    (tmp_path / "set.npy").write_bytes(made(lambda buffer: np.save(buffer, IMAGES)))
    for name, says in (("set.npy", "which is a single NumPy array"), (".", "which is a folder"), ("set", "set'$")):
        with pytest.raises(DatasetError, match=f"must be one of digits, .*, got .*{says}"):
            load_images(str(tmp_path / name))


def save_mnist(folder, *, packed):
    folder.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        for name, array in (("images-idx3", np.zeros((count, 28, 28))), ("labels-idx1", np.zeros(count))):
            data = np.array([0x800 + array.ndim, *array.shape], ">i4").tobytes() + array.astype(np.uint8).tobytes()
            path = folder / (f"{part}-{name}-ubyte" + ".gz" * packed)
            path.write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize(
    ("content", "says"), [(LFS, "a Git LFS pointer"), (PAGE, "a web page"), (b"", "an empty file"), (NPZ, "a zip arch")]
)
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("which", ["train-images-idx3", "t10k-labels-idx1"])
def test_a_file_in_the_place_of_mnists(content, says, name, folder, packed, which, tmp_path):
    raw = tmp_path / folder / "raw"
    save_mnist(raw, packed=packed)
    foreign = raw / (f"{which}-ubyte" + ".gz" * packed)
    foreign.write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name} cannot be read from .*{foreign.name}' is {says}") as caught:
        load_images(name, data_dir=tmp_path)
    assert "without that file, --download fetches it" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PAGE, "holds a web page"),
        (b"", "holds an empty file"),
        (b"\0\0\x08\x03", "is not complete"),
        (b"\0\0\x08\x03" + np.array([20, 28, 28], ">i4").tobytes(), "is not complete"),
    ],
)
def test_a_packed_file_of_something_else(content, says, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    save_mnist(raw, packed=True)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DatasetError, match=f"t10k-images-idx3-ubyte.gz {says}"):
        load_images("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "says"), [(LFS, "a Git LFS pointer"), (PAGE, "a web page"), (b"", "an empty file")]
)
@pytest.mark.parametrize("name", ["cifar10", "cifar10-rgb"])
def test_a_file_in_the_place_of_cifars(content, says, name, tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "readme.html").write_bytes(PAGE)  # this one belongs there
    (folder / "batches.meta").write_bytes(pickle.dumps({}))
    (folder / "data_batch_1").write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name} cannot be read from .*data_batch_1' is {says}"):
        load_images(name, data_dir=tmp_path)
