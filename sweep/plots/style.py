"""Sizes, colours and labels that all figures share, and the styles that change them."""

import os
from typing import Any

from matplotlib import RcParams, colormaps, rc_context, rc_params_from_file, rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sweep.errors import SpecError

LABELS = {
    "sigma_w": r"weight standard deviation $\sigma_w$",
    "sigma_b": r"bias standard deviation $\sigma_b$",
    "depth": "depth (hidden layers)",
    "variance": r"weight variance $\sigma_w^2$",
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


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the axes, or those of a new figure."""
    return Figure(figsize=(5.2, 3.6), layout="constrained").add_subplot() if ax is None else ax


def use_plain_ticks(axis: Any) -> None:
    """Label a logarithmic axis with 1, 2, 5, 10 rather than powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def without_mathtext(text: str) -> str:
    """Escape dollars in the name of a file: matplotlib would read what stands between two of them as mathematics."""
    return text.replace("$", r"\$")


def legend(figure: Figure, axes: Axes) -> None:
    """Put a legend below the axes, in as many columns as there is room for; the figure grows by its rows."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        size = 0.9 * min(9.0, rcParams["font.size"])
        columns = max(1, min(4, int(figure.get_figwidth() / (0.23 * size))))
        figure.set_figheight(figure.get_figheight() + -(-len(handles) // columns) * 1.6 * size / 72)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=size, frameon=False)


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


def styled(file: str | None) -> Any:
    """Return a context of our style, and what a matplotlib style (a file, or the name of one) changes in it.

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
