"""A check that a machine has enough memory for the networks of a sweep."""

import itertools
from typing import TYPE_CHECKING

from sweep.errors import SpecError
from sweep.limits import total_bytes
from sweep.spec.space import Space

if TYPE_CHECKING:
    from probes import Images, ProbeSettings


def largest(settings: "ProbeSettings", images: "Images", spec: Space) -> "ProbeSettings":
    """Return the settings of those networks of a sweep that take most memory, at the ends of axes of whole numbers."""
    from probes.memory import peak_bytes

    sizes = [axis for axis in spec.further_axes if axis.whole]
    corners = itertools.product(*[axis.ends for axis in sizes])
    several = [settings.at(tuple(zip((a.name for a in sizes), corner, strict=True))) for corner in corners]
    return max(several, key=lambda some: peak_bytes(some, images, spec.depth[1])) if sizes else settings


def check_memory(
    settings: "ProbeSettings",
    images: "Images",
    depth: int,
    pack: int = 1,
    memory: float | None = None,
    place: str = "memory that this process may use",
) -> None:
    """Refuse networks whose packs need more memory than there is.

    Parameters
    ----------
    settings, images:
        How networks are measured, and on which data.
    depth:
        The largest depth of the networks.
    pack:
        The number of points that are measured together.
    memory:
        The memory in bytes; by default all that this process may use.
    place:
        What has this memory, for the message.

    Raises
    ------
    SpecError
        A pack of networks of the largest depth does not fit. The message says how much is missing.
    """
    from probes.memory import peak_bytes

    memory = total_bytes() if memory is None else memory
    needed = peak_bytes(settings, images, depth, pack)
    if needed > memory:
        several = f"`pack` {pack} of " if pack > 1 else ""
        own = settings.network
        networks = f"`network` {own.name}" if own else f"`width` {settings.width or images.pixels}"
        raise SpecError(
            f"{several}{networks} with `depth` up to {depth} takes "
            f"{needed / 2**30:.1f} GiB, {(needed - memory) / 2**30:.1f} GiB more than the {memory / 2**30:.1f} GiB "
            f"of {place}"
        )
