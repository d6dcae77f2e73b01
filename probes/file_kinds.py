"""What a file is, by its first bytes: for messages about files that are not what their name says."""

import codecs
import zipfile
from pathlib import Path

GZIP, PICKLE, ZIP = "a gzip file", "a pickle, which is not loaded because it can run code", "a zip archive"
_HEAD = 1024  # bytes
_POINTERS = (  # what stands in place of a file that was not fetched
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, which `git lfs pull` replaces by the file"),
    (b"/annex/objects/", "a git-annex pointer, which `git annex get` replaces by the file"),
)
_SIGNATURES = (
    (b"\x93NUMPY", "a single NumPy array (.npy)"),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"\x1f\x8b", GZIP),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"MATLAB ", "a MATLAB file (.mat)"),
    *((b"CDF" + bytes([version]), "a NetCDF file") for version in (1, 2, 5)),
    (b"SIMPLE  =", "a FITS file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
    *((bytes([0x80, protocol]), PICKLE) for protocol in range(2, 6)),
)
_TAR = b"ustar"
_TAR_OFFSET = 257
# Beginnings of texts, in lower case and without white space before them.
_TEXTS = (
    ("<!doctype html", "a web page (HTML)"),
    ("<html", "a web page (HTML)"),
    ("<head", "a web page (HTML)"),
    ("<?xml", "an XML file"),
    ("<error", "an XML file"),
    ("{", "a JSON file"),
    ("[", "a JSON file"),
)


def kind_of(path: Path) -> str | None:
    """Return what a file is, as a noun with its article, by its first bytes; None if that is not known.

    A file that cannot be read is not known either.
    """
    try:
        if path.is_dir():
            return "a folder"
        if not path.exists():
            return "a link to a file that is not there" if path.is_symlink() else None
        if not path.is_file():
            return "no regular file"
        with path.open("rb") as file:
            kind = kind_of_bytes(file.read(_HEAD))
        return f"{kind} that was cut off" if kind == ZIP and not zipfile.is_zipfile(path) else kind
    except (OSError, ValueError):
        return None


def kind_of_bytes(head: bytes) -> str | None:
    """Return what a file with these first bytes is, as a noun with its article; None if that is not known."""
    if not head:
        return "an empty file"
    for signature, kind in (*_POINTERS, *_SIGNATURES):
        if head.startswith(signature):
            return kind
    if head[_TAR_OFFSET:].startswith(_TAR):
        return "a tar archive"
    return _kind_of_text(head)


def _kind_of_text(head: bytes) -> str | None:
    if not head.strip(b"\0"):
        return "a file of zeros"
    try:
        # The last character may be cut in two, where this is not the whole file.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=len(head) < _HEAD).strip()
    except UnicodeDecodeError:
        return None
    if not all(c.isprintable() or c.isspace() for c in text):
        return None
    for beginning, kind in _TEXTS:
        if text.lower().startswith(beginning):
            return kind
    return f"a text file that begins with {text.splitlines()[0][:40]!r}" if text else "a file of white space"
