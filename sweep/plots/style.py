"""Sizes, colours and labels of all figures, and matplotlib styles that change them."""

import os
from typing import Any

from matplotlib import RcParams, colormaps, rc_context, rc_params_from_file, rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sweep.errors import SpecError
from sweep.spec.kinds import expanded

LABELS = {
    "sigma_w": r"weight standard deviation $\sigma_w$",
    "sigma_b": r"bias standard deviation $\sigma_b$",
    "depth": "depth (hidden layers)",
    "variance": r"weight variance $\sigma_w^2$",
}
_FURTHER_LABELS = {"lr": "learning rate", "width": "width (hidden layers)", "residual_scale": "residual scale"}
VALUE_LABELS = {
    "direct_retained": "retained information (direct)",
    "cascade_retained": "retained information (cascade)",
    "cascade_correlation": "squared correlation (cascade)",
    "cascade_relative_entropy": "relative entropy (nats)",
    "differential_entropy": "differential entropy (nats)",
    "gradient_norm": "log of the gradient's norm",
}
LINE_STYLES = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
# From dark to light in grey too, and readable with every common colour vision deficiency.
COLOURS = colormaps["cividis"]
# The palette of Okabe and Ito, distinguishable with every common colour vision deficiency.
RED, _BLUE = "#d55e00", "#0072b2"
PALETTE = ("#000000", RED, _BLUE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "0.5")
WHITE_OUTLINE = (withStroke(linewidth=2.6, foreground="0.25"),)
DASHED = (0, (4, 2))


def axis_label(name: str) -> str:
    """Return the label of an axis of a sweep, or of sigma_w^2."""
    return LABELS.get(name) or without_mathtext(_FURTHER_LABELS.get(name, name))


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the axes given, or for None the axes of a new figure."""
    return Figure(figsize=(5.2, 3.6), layout="constrained").add_subplot() if ax is None else ax


def use_plain_ticks(axis: Any) -> None:
    """Label a logarithmic axis with 1, 2, 5, 10 rather than powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def without_mathtext(text: str) -> str:
    """Escape the dollar signs in a text, which matplotlib would take for the delimiters of a formula."""
    return text.replace("$", r"\$")


def legend(figure: Figure, axes: Axes) -> None:
    """Put a legend below the axes, in up to four columns, and make the figure higher by the height of the legend."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        size = 0.9 * min(9.0, rcParams["font.size"])
        columns = max(1, min(4, int(figure.get_figwidth() / (0.23 * size))))
        figure.set_figheight(figure.get_figheight() + -(-len(handles) // columns) * 1.6 * size / 72)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=size, frameon=False)


STYLE: dict[str, Any] = {  # the user's style is applied on top
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "image.cmap": "cividis",
    "pdf.fonttype": 42,  # TrueType: text can be searched and edited
    "ps.fonttype": 42,
    "savefig.dpi": 300,
    "text.usetex": False,  # LaTeX may be missing, and names of files are no valid LaTeX
}
WIDTH = 5.2  # inches, unless a kind of figure says otherwise


def styled(file: str | None) -> Any:
    """Return a context manager that applies our style and, on top of it, a style of matplotlib.

    Parameters
    ----------
    file:
        A file with a matplotlib style, or the name of a style; None: our style alone.

    Raises
    ------
    SpecError
        The style does not exist or cannot be read.
    """
    settings = RcParams(STYLE)
    if file is not None:
        try:
            settings.update(style.library[file] if file in style.library else _read_style_file(file))
        except (OSError, ValueError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
            raise SpecError(
                f"`style` must be a matplotlib style file or a style's name, got {file!r}: {reason}"
            ) from None
    return rc_context(settings)


def _read_style_file(file: str) -> RcParams:
    file = expanded(file)
    if not os.path.isfile(file):  # matplotlib would try it as a URL
        raise FileNotFoundError(2, "there is no such file")
    return rc_params_from_file(file, use_default_template=False)
