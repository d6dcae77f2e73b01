"""The private names of rich that the live view uses: `Live._live_render` and its `_shape` (rich 13.0, 14.0, 15.0).

`Live` moves the cursor up by the height of what it drew last, and has no public method to forget that. If a
version of rich lacks these names, a view that is continued after Ctrl-Z overwrites the lines above it.
"""

import contextlib

from rich.live import Live


def forget_drawn(live: Live) -> None:
    """Make a live display draw its next picture below the text on the terminal, not over it."""
    with contextlib.suppress(AttributeError):
        live._live_render._shape = None
