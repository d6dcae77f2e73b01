"""A check that this machine has enough memory for the networks of a sweep."""

import os
from typing import TYPE_CHECKING

from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    from probes import Images


def check_memory(spec: Experiment, images: "Images") -> None:
    """Refuse a spec whose deepest network needs more memory than this machine has.

    Raises
    ------
    SpecError
        A single network of the largest depth does not fit into the physical memory.
    """
    from probes.memory import peak_bytes

    needed = peak_bytes(probe_settings(spec), images, spec.depth[1])
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > installed:
        raise SpecError(
            f"`width` {spec.width or images.pixels} with `depth` up to {spec.depth[1]} takes {needed / 2**30:.0f} GiB; "
            f"this machine has {installed / 2**30:.0f} GiB"
        )
