"""A check that a machine has enough memory for the networks of a sweep."""

from typing import TYPE_CHECKING

from sweep.errors import SpecError
from sweep.limits import total_bytes
from sweep.measuring.settings import probe_settings
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    from probes import Images


def check_memory(
    spec: Experiment,
    images: "Images",
    pack: int = 1,
    memory: float | None = None,
    place: str = "memory that this process may use",
) -> None:
    """Refuse a spec whose packs need more memory than there is.

    Parameters
    ----------
    spec, images:
        The specification of the sweep, and its data.
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
    needed = peak_bytes(probe_settings(spec), images, spec.depth[1], pack)
    if needed > memory:
        several = f"`pack` {pack} of " if pack > 1 else ""
        raise SpecError(
            f"{several}`width` {spec.width or images.pixels} with `depth` up to {spec.depth[1]} takes "
            f"{needed / 2**30:.1f} GiB, {(needed - memory) / 2**30:.1f} GiB more than the {memory / 2**30:.1f} GiB "
            f"of {place}"
        )
