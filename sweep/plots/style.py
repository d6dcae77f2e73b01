"""Sizes, colours, labels and helpers that all figures share."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import RcParams, colormaps, rc_context, rc_params_from_file, rcParams, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sweep.errors import SpecError
from sweep.storage.files import replaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DASHED",
    "LINE_STYLES",
    "PALETTE",
    "RED",
    "STYLE",
    "VALUE_LABELS",
    "WHITE_OUTLINE",
    "WIDE",
    "at_most",
    "axes_or_new",
    "check_picture",
    "draw_points",
    "draw_surface",
    "legend",
    "save",
    "save_picture",
    "styled",
    "use_plain_ticks",
    "without_mathtext",
]

PICTURE = "phase_diagram.png"
_ENDINGS = (".png", ".pdf", ".svg")


def check_picture(path: Path, argument: str) -> None:
    """Refuse a file that would be no picture, before any work is done for it."""
    if path.suffix.lower() not in _ENDINGS:
        raise SpecError(f"`{argument}` must end in {', '.join(_ENDINGS)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")


def save_picture(figure: "Figure", path: Path, argument: str) -> None:
    """Write a picture, whole or not at all: a link that stands there is replaced, not followed."""
    try:
        with replaced(path, hidden=True) as beside:
            save(figure, beside)
    except OSError as error:
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: {error.strerror or error}") from None


LABELS = {
    "sigma_w": r"weight standard deviation $\sigma_w$",
    "sigma_b": r"bias standard deviation $\sigma_b$",
    "depth": "depth (hidden layers)",
}
VALUE_LABELS = {
    "direct_retained": "retained information (direct)",
    "cascade_retained": "retained information (cascade)",
    "cascade_relative_entropy": "relative entropy (nats)",
    "differential_entropy": "differential entropy (nats)",
}
LINE_STYLES = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
# Dark to light in grey, and told apart by every common colour vision.
COLOURS = colormaps["cividis"]
# Okabe and Ito's, which every common colour vision tells apart.
RED, _BLUE = "#d55e00", "#0072b2"
PALETTE = ("#000000", RED, _BLUE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "0.5")
WHITE_OUTLINE = (withStroke(linewidth=2.6, foreground="0.25"),)
DASHED = (0, (4, 2))


def save(figure: Figure, path: Path) -> None:
    """Write PNG, PDF or SVG by the path's ending."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=160, metadata=None)


def axes_or_new(ax: Axes | None) -> Axes:
    return Figure(figsize=(5.2, 3.6), layout="constrained").add_subplot() if ax is None else ax


def use_plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10 rather than powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def without_mathtext(text: str) -> str:
    """The name of a file is text, not mathematics: matplotlib would read what stands between two dollars."""
    return text.replace("$", r"\$")


def draw_surface(
    axes: Axes, x: np.ndarray, y: np.ndarray, z: np.ndarray, norm: Normalize, label: str, bar: bool = True
) -> None:
    mesh = axes.pcolormesh(x, y, z, cmap=rcParams["image.cmap"], norm=norm, shading="gouraud", rasterized=True)
    if not bar:
        return
    drawn = axes.figure.colorbar(mesh, ax=axes, label=label)
    if isinstance(norm, LogNorm):  # plain numbers: nobody reads 3 x 10^1 layers
        low, high = mesh.get_clim()
        ticks = [m * 10.0**e for e in range(-1, 6) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
        drawn.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        drawn.ax.minorticks_off()


def legend(figure: Figure, axes: Axes) -> None:
    """Below the axes, where it hides nothing, in as many columns as there is room for; the figure grows by its rows."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        size = 0.9 * min(9.0, rcParams["font.size"])
        columns = max(1, min(4, int(figure.get_figwidth() / (0.23 * size))))
        figure.set_figheight(figure.get_figheight() + -(-len(handles) // columns) * 1.6 * size / 72)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=size, frameon=False)


def draw_points(axes: Axes, points: pd.DataFrame, x: str, y: str, truth: bool = False) -> None:
    """Measured points: white where predicted trainable at their own depth, black where not; failed ones crossed.

    With ``truth``, by what training gave. Of more than a thousand, a thousand are drawn.
    """
    failed = points[points["status"] == "failed"]
    measured = points[points["trainable"].notna() if truth else points["status"] != "failed"]
    good = measured["trainable"].astype(bool) if truth else measured["margin"] >= 0
    shown = at_most(measured)
    few = "" if len(shown) == len(measured) else f" ({len(shown):,} of {len(measured):,} shown)"
    yes, no = ("trained" + few, "not trained") if truth else ("trainable at its own depth" + few, "not trainable")
    size = 20 if len(shown) <= 300 else 7
    for chosen, face, edge, label in ((good, "white", "black", yes), (~good, "black", "white", no)):
        part = shown[chosen.loc[shown.index]]
        axes.scatter(
            part[x],
            part[y],
            s=size,
            c=face,
            edgecolors=edge,
            linewidths=0.8 if size == 20 else 0.4,
            zorder=3,
            clip_on=False,
            label=label,
        )
    if len(failed):
        failed = at_most(failed)
        axes.scatter(failed[x], failed[y], s=30, c=RED, marker="x", zorder=4, clip_on=False, label="failed")


def at_most(rows: pd.DataFrame, most: int = 1000) -> pd.DataFrame:
    """As many as can be told apart."""
    return rows if len(rows) <= most else rows.sample(most, random_state=0)


STYLE: dict[str, Any] = {  # what a style file may change
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "image.cmap": "cividis",
    "pdf.fonttype": 42,  # text stays text
    "ps.fonttype": 42,
    "savefig.dpi": 300,
}
WIDTH = 5.2  # inches, but where there are several panels
WIDE = {"depth": 7.2, "reconstructions": 6.8, "truth": 6.2}


def styled(file: str | None) -> Any:
    """A context of our style, and what a matplotlib style file (or the name of one of its styles) changes in it.

    Raises
    ------
    SpecError
        There is no such style, or it cannot be read.
    """
    mine = RcParams(STYLE)
    if file is not None:
        try:
            mine.update(style.library[file] if file in style.library else _read(file))
        except (OSError, ValueError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
            raise SpecError(
                f"`style` must be a matplotlib style file or a style's name, got {file!r}: {reason}"
            ) from None
    return rc_context(mine)


def _read(file: str) -> RcParams:
    if not os.path.isfile(file):  # or it would be taken for a URL
        raise FileNotFoundError(2, "there is no such file")
    return rc_params_from_file(file, use_default_template=False)
