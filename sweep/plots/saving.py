"""Figures as files: PNG, PDF or SVG."""

from collections.abc import Callable
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


def save_beside(results: Results, name: str, output: str | Path | None, make: Callable[[], Figure]) -> Path:
    """Write the figure that ``make`` returns to ``output``, by default to ``name`` in the sweep; return the path.

    The path is checked before the figure is made. A figure in a sweep at a URI is copied there.

    Raises
    ------
    SpecError
        Another ending than PNG, PDF or SVG, or a file that cannot be written.
    StoreError
        The URI cannot be written.
    """
    path = Path(output) if output else results.path / name
    check_picture(path, "output")
    save_picture(make(), path, "output")
    if not output:
        results.home.publish(path)
    return path
