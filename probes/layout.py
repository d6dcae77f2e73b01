"""The layout of images with channels: whether the channels are the last axis of an array, or follow its first.

This module imports no numpy: it looks at shapes alone.
"""

import logging
from collections.abc import Sequence

from probes.errors import DatasetError

AUTO, CHANNELS_LAST, CHANNELS_FIRST = LAYOUTS = ("auto", "channels-last", "channels-first")
_MAX_CHANNELS = 4  # that an axis is recognised by: grey, grey and alpha, RGB, RGBA


def check_layout(layout: str) -> None:
    """Raise DatasetError if a layout is none of `LAYOUTS`."""
    if layout not in LAYOUTS:
        raise DatasetError(f"`layout` must be one of {', '.join(LAYOUTS)}, got {layout!r}")


def is_channels_first(dataset: str, shape: Sequence[int], layout: str) -> bool:
    """Return whether images of a shape ``[N, ., ., .]`` are ``[N, channels, height, width]``.

    With the layout ``auto``, it is recognised by an axis of at most 4 values, the channels, and by square images. One
    reading must be at least as good as the other by both, and better by one. What is not the usual layout, or may seem
    to be the other one, is logged as a warning.

    Raises
    ------
    DatasetError
        The layout is ``auto``, and the shape does not tell which it is, or may be that of volumes.
    """
    if layout != AUTO:
        return layout == CHANNELS_FIRST
    _, first, middle, last = shape
    is_small = {CHANNELS_LAST: last <= _MAX_CHANNELS, CHANNELS_FIRST: first <= _MAX_CHANNELS}
    is_square = {CHANNELS_LAST: first == middle, CHANNELS_FIRST: middle == last}
    meaning = {
        CHANNELS_LAST: f"{first} x {middle} pixels with {_channels(last)}",
        CHANNELS_FIRST: f"{middle} x {last} pixels with {_channels(first)}",
    }
    for one, other in ((CHANNELS_LAST, CHANNELS_FIRST), (CHANNELS_FIRST, CHANNELS_LAST)):
        better = (is_small[one], is_square[one]), (is_small[other], is_square[other])
        if is_small[one] and better[0] != better[1] and all(a >= b for a, b in zip(*better, strict=True)):
            if one == CHANNELS_FIRST or is_small[other]:
                logging.getLogger(__name__).warning(
                    "images of %r, of shape %s, are read as %s (%s); --layout %s reads %s",
                    *(dataset, list(shape), meaning[one], one, other, meaning[other]),
                )
            return one == CHANNELS_FIRST
    choices = ", or ".join(f"--layout {name} for {text}" for name, text in meaning.items())
    volumes = "" if any(is_small.values()) else "; volumes are not supported"
    raise DatasetError(
        f"{dataset!r} has images of shape {list(shape)}, whose layout is not clear: choose {choices}{volumes}"
    )


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count != 1)}"
