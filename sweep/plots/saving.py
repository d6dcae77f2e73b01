"""Figures as files: PNG, PDF or SVG."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sweep.errors import SpecError
from sweep.results.results import Results
from sweep.storage.files import replaced

_ENDINGS = (".png", ".pdf", ".svg")


def check_picture(path: Path, argument: str) -> None:
    """Refuse a file that would be no picture, before any work is done for it."""
    if path.suffix.lower() not in _ENDINGS:
        raise SpecError(f"`{argument}` must end in {', '.join(_ENDINGS)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure, as PNG, PDF or SVG by the path's ending."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=160, metadata=None)


def save_picture(figure: Figure, path: Path, argument: str) -> None:
    """Write a figure, whole or not at all: a link that stands there is replaced, not followed.

    Raises
    ------
    SpecError
        It cannot be written; ``argument`` says whose fault that is.
    """
    try:
        with replaced(path, hidden=True) as beside:
            save(figure, beside)
    except OSError as error:
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: {error.strerror or error}") from None


class Picture:
    """The file that a figure of a sweep is written to: ``output``, by default ``name`` in the sweep.

    Raises
    ------
    SpecError
        Another ending than PNG, PDF or SVG, or no such folder: before any work is done for the figure.
    """

    def __init__(self, results: Results, name: str, output: str | Path | None) -> None:
        self._files = None if output else results.files
        self.path = Path(output) if output else results.path / name
        check_picture(self.path, "output")

    def save(self, figure: Figure) -> Path:
        """Write the figure, also to the URI that a sweep is at; return the path.

        Raises
        ------
        SpecError
            The file cannot be written.
        StoreError
            The URI cannot be written.
        """
        save_picture(figure, self.path, "output")
        if self._files is not None:
            self._files.publish(self.path)
        return self.path
