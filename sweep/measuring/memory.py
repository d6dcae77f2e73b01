"""Refusing what this machine has not the memory for."""

import os
from typing import TYPE_CHECKING

from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    from probes import Images


def check_memory(spec: Experiment, images: "Images") -> None:
    """Refuse what can only end in this machine's out-of-memory killer."""
    from probes.memory import peak_bytes

    needed = peak_bytes(probe_settings(spec), images, spec.depth[1])
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise SpecError(
            f"`width` {spec.width or images.pixels} with `depth` up to {spec.depth[1]} takes {needed / 2**30:.0f} GiB; "
            f"this machine has {there / 2**30:.0f} GiB"
        )
