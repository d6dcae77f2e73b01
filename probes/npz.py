"""Reading of ``.npz`` files, and what to say of a file that is none."""

from pathlib import Path

import numpy as np

from probes.errors import DatasetError
from probes.file_kinds import ZIP, kind_of

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def read_npz(path: Path) -> list[np.ndarray]:
    """Return the four arrays of an ``.npz`` file, in the order of `ARRAYS`.

    Raises
    ------
    DatasetError
        The file cannot be read, is something else or lacks an array.
    """
    try:
        kind = kind_of(path)
        if kind is None:
            path.open("rb").close()  # says why it cannot be read, if it cannot
        if kind != ZIP:
            raise ValueError(f"it is {kind or 'no archive of arrays'}; get the file itself, or write one with np.savez")
        with np.load(path, allow_pickle=False) as archive:
            if missing := [name for name in ARRAYS if name not in archive]:
                held = ", ".join(map(repr, archive.files))[:200] or "nothing"
                raise DatasetError(
                    f"{str(path)!r} has no array {missing[0]!r}; it must hold {', '.join(ARRAYS)}, and holds {held}"
                )
            return [_array(archive, name) for name in ARRAYS]
    except DatasetError:
        raise
    except Exception as error:  # numpy and zipfile raise errors of a dozen kinds on damaged files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{str(path)!r} is not a readable .npz file: {reason}") from error


def _array(archive: "np.lib.npyio.NpzFile", name: str) -> np.ndarray:
    try:
        array = archive[name]
    except Exception as error:
        if "allow_pickle" in str(error):
            raise ValueError(f"{name} holds Python objects, which are not loaded: save numbers") from error
        raise ValueError(f"{name}: {' '.join(str(error).split()) or type(error).__name__}") from error
    if not isinstance(array, np.ndarray):  # the bytes of another file
        raise ValueError(f"{name} is no array")
    return array
