"""Images that networks reconstruct."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.plots.style import axes_or_new, without_mathtext

if TYPE_CHECKING:
    from probes.pictures import Gallery

__all__ = ["gallery_figure", "reconstructions"]


def stretched(tiles: np.ndarray, axes: int) -> np.ndarray:
    """Images ``[..., height, width(, 3)]`` behind so many axes, each over its own range: from 0 to 1."""
    inner = tuple(range(axes, tiles.ndim))
    low, high = tiles.min(inner, keepdims=True), tiles.max(inner, keepdims=True)
    return np.asarray((tiles - low) / np.where(high > low, high - low, 1))


def reconstructions(tiles: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Images in rows and columns: ``[rows, columns, height, width]`` or ``[..., height, width, 3]``.

    Each is stretched over its own range: reconstructions are read for their shapes.
    """
    ax = axes_or_new(ax)
    scaled = stretched(tiles, 2)
    h, w = tiles.shape[2:4]
    gap = max(1, min(h, w) // 12)
    sheet = np.full((len(rows) * (h + gap) - gap, len(columns) * (w + gap) - gap, *tiles.shape[4:]), np.nan)
    for r in range(len(rows)):
        for c in range(len(columns)):
            sheet[r * (h + gap) :, c * (w + gap) :][:h, :w] = scaled[r, c]
    ax.imshow(
        np.ma.masked_invalid(sheet) if sheet.ndim == 2 else np.nan_to_num(sheet, nan=1.0), cmap="gray", vmin=0, vmax=1
    )
    ax.set_xticks(np.arange(len(columns)) * (w + gap) + (w - 1) / 2, columns)
    ax.set_yticks(np.arange(len(rows)) * (h + gap) + (h - 1) / 2, rows)
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def gallery_figure(gallery: "Gallery", dataset: str) -> Figure:
    """Reconstructions layer by layer and the favourites of the classes, before and after training."""
    depth, count = gallery.point.depth, len(gallery.originals)
    states = [("as drawn", gallery.before), (f"trained: accuracy {gallery.curve.accuracy.max():.2f}", gallery.after)]
    columns = max(len(gallery.layers) + 1, 0 if gallery.before is None else len(gallery.before.favourites) + 1)
    figure = Figure(figsize=(0.85 * columns + 0.4, 0.92 * 2 * (count + 1) + 1.6), layout="constrained")
    p = gallery.point
    figure.suptitle(
        rf"{without_mathtext(dataset)}: $\sigma_w$ = {p.sigma_w:g}, "
        rf"$\sigma_b$ = {p.sigma_b:g}, {depth} layers, seed {p.seed}",
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
            continue
        for row, original in enumerate(gallery.originals):
            for column, image in enumerate([original, *state.reconstructions[:, row]]):
                _image(cells[row, column], image, gallery.shape)
        heads = ["image", *(f"layer {n}" if n <= depth else "classes" for n in gallery.layers)]
        for cell, head in zip(cells[0], heads, strict=False):
            cell.set_title(head, fontsize=8)
        cells[count, 0].text(0.5, 0.5, "favourite\nimage of", fontsize=8, ha="center", va="center")
        for number, image in enumerate(state.favourites):
            _image(cells[count, number + 1], image, gallery.shape)
            cells[count, number + 1].set_title(f"class {number}", fontsize=8)
    return figure


def _image(axes: Axes, flat: np.ndarray, shape: tuple[int, ...]) -> None:
    """One image, stretched over its own range: reconstructions are read for their shapes."""
    low, high = float(flat.min()), float(flat.max())
    image = ((flat - low) / (high - low or 1.0)).reshape(shape if len(shape) > 1 else (1, -1))
    if image.ndim == 3:  # channels first; two or four of them are no colours
        image = image.transpose(1, 2, 0) if image.shape[0] == 3 else image.mean(0)
    axes.imshow(image, cmap="gray", interpolation="nearest", aspect="equal" if len(shape) > 1 else "auto")
