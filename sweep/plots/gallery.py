"""Figures of the images that networks reconstruct."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.plots.style import axes_or_new, without_mathtext

if TYPE_CHECKING:
    from probes.pictures import Gallery, State


def stretched(tiles: np.ndarray, axes: int) -> np.ndarray:
    """Return images ``[..., height, width(, 3)]``, each stretched from its own range to 0..1.

    ``axes`` is the number of leading axes, those that count the images.
    """
    inner = tuple(range(axes, tiles.ndim))
    low, high = tiles.min(inner, keepdims=True), tiles.max(inner, keepdims=True)
    return np.asarray((tiles - low) / np.where(high > low, high - low, 1))


def reconstructions(tiles: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw images in rows and columns, each stretched from its own range to black and white.

    Parameters
    ----------
    tiles:
        The images, ``[rows, columns, height, width]``, or ``[rows, columns, height, width, 3]`` in colour.
    rows, columns:
        The labels of the rows and columns.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    scaled = stretched(tiles, 2)
    h, w = tiles.shape[2:4]
    gap = max(1, min(h, w) // 12)
    sheet = np.full((len(rows) * (h + gap) - gap, len(columns) * (w + gap) - gap, *tiles.shape[4:]), np.nan)
    for r in range(len(rows)):
        for c in range(len(columns)):
            sheet[r * (h + gap) :, c * (w + gap) :][:h, :w] = scaled[r, c]
    shown = np.ma.masked_invalid(sheet) if sheet.ndim == 2 else np.nan_to_num(sheet, nan=1.0)
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1)
    ax.set_xticks(np.arange(len(columns)) * (w + gap) + (w - 1) / 2, columns)
    ax.set_yticks(np.arange(len(rows)) * (h + gap) + (h - 1) / 2, rows)
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def gallery_figure(gallery: "Gallery", dataset: str) -> Figure:
    """Draw the reconstructions from each layer and the favourite image of each class, before and after training."""
    point, count = gallery.point, len(gallery.originals)
    states = [("as drawn", gallery.before), (f"trained: accuracy {gallery.curve.accuracy.max():.2f}", gallery.after)]
    columns = max(len(gallery.layers) + 1, 0 if gallery.before is None else len(gallery.before.favourites) + 1)
    figure = Figure(figsize=(0.85 * columns + 0.4, 0.92 * 2 * (count + 1) + 1.6), layout="constrained")
    figure.suptitle(
        rf"{without_mathtext(dataset)}: $\sigma_w$ = {point.sigma_w:g}, "
        rf"$\sigma_b$ = {point.sigma_b:g}, {point.depth} layers, seed {point.seed}",
        fontsize=10,
    )
    parts = figure.subfigures(2, 1, squeeze=False, hspace=0.04)[:, 0]
    for part, (title, state) in zip(parts, states, strict=True):
        part.suptitle(title, fontsize=10, x=0.01, ha="left", weight="bold")
        cells = part.subplots(count + 1, columns, squeeze=False)
        for cell in cells.flat:
            cell.axis("off")
        if state is None:
            cells[0, 0].text(0, 0.5, "its activations leave the finite range: nothing to reconstruct", fontsize=9)
        else:
            _draw_state(cells, gallery, state)
    return figure


def _draw_state(cells: np.ndarray, gallery: "Gallery", state: "State") -> None:
    """Draw a row of reconstructions for each image, and a row with the favourite image of each class."""
    for row, original in enumerate(gallery.originals):
        for column, image in enumerate([original, *state.reconstructions[:, row]]):
            _draw_image(cells[row, column], image, gallery.shape)
    heads = ["image", *(f"layer {n}" if n <= gallery.point.depth else "classes" for n in gallery.layers)]
    for cell, head in zip(cells[0], heads, strict=False):
        cell.set_title(head, fontsize=8)
    cells[-1, 0].text(0.5, 0.5, "favourite\nimage of", fontsize=8, ha="center", va="center")
    for number, image in enumerate(state.favourites):
        _draw_image(cells[-1, number + 1], image, gallery.shape)
        cells[-1, number + 1].set_title(f"class {number}", fontsize=8)


def _draw_image(axes: Axes, flat: np.ndarray, shape: tuple[int, ...]) -> None:
    """Draw one image, stretched from its own range to black and white, since what counts is its shape."""
    from probes.pictures import as_shown

    image = stretched(as_shown(flat, shape), 0)
    axes.imshow(image, cmap="gray", interpolation="nearest", aspect="equal" if len(shape) > 1 else "auto")
