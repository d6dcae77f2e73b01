"""The private names of rich that are touched: `Live._live_render` and its `_shape`, as in rich 13.0, 14.0 and 15.0.

`Live` moves the cursor up by the height of what it drew last, and has no public way to be told that this is gone.
Without these names the view goes on over what stands on the terminal.
"""

import contextlib

from rich.live import Live


def forget_drawn(live: Live) -> None:
    """Have a live display draw below what stands on the terminal, not over it."""
    with contextlib.suppress(AttributeError):
        live._live_render._shape = None
