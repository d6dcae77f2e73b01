"""Writing figures to files, as PNG, PDF or SVG."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sweep.errors import SpecError
from sweep.results.results import Results
from sweep.spec.kinds import expanded
from sweep.storage.files import replaced
from sweep.text import one_line

_SUFFIXES = (".png", ".pdf", ".svg")


def check_picture(path: Path, argument: str) -> None:
    """Refuse a path that no picture can be written to, before any work is done for the picture.

    Parameters
    ----------
    path:
        The file to be written.
    argument:
        The name of the option or argument that gave the path, for the message.

    Raises
    ------
    SpecError
        The path does not end in .png, .pdf or .svg, or its folder does not exist.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise SpecError(f"`{argument}` must end in {', '.join(_SUFFIXES)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG, depending on the ending of the path."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=160, metadata=None)


def save_picture(figure: Figure, path: Path, argument: str) -> None:
    """Write a figure to a file, either completely or not at all. A link at the path is replaced, not followed.

    Parameters
    ----------
    figure, path:
        The figure and its file.
    argument:
        The name of the option or argument that gave the path, for the message.

    Raises
    ------
    SpecError
        The file cannot be written, or the figure cannot be drawn with the settings of matplotlib.
    """
    try:
        with replaced(path, hidden=True) as temporary:
            save(figure, temporary)
    except OSError as error:
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: {error.strerror or error}") from None
    except (RuntimeError, ValueError) as error:  # LaTeX is missing, or the picture would be too large
        raise SpecError(f"`{argument}` {str(path)!r} cannot be drawn: {one_line(error)[:300]}") from None


class Picture:
    """The file that a figure of a sweep is written to.

    It is checked when the object is made, before any work is done for the figure.

    Parameters
    ----------
    results:
        Those of the sweep.
    name:
        The name of the file in the sweep, if there is no ``output``.
    output:
        The path of the file.

    Raises
    ------
    SpecError
        The path does not end in .png, .pdf or .svg, or its folder does not exist.
    """

    def __init__(self, results: Results, name: str, output: str | Path | None) -> None:
        self._files = None if output else results.files
        self.path = Path(expanded(output)) if output else results.path / name
        check_picture(self.path, "output")

    def save(self, figure: Figure) -> Path:
        """Write the figure and return its path; the default file of a sweep at a URI is copied there, too.

        Raises
        ------
        SpecError
            The file cannot be written.
        StoreError
            The sweep is at a URI, which cannot be written to.
        """
        save_picture(figure, self.path, "output")
        if self._files is not None:
            self._files.publish(self.path)
        return self.path
