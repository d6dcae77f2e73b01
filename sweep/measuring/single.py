"""Measurement of a single point in this process, without Ray."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sweep.measuring.own_network import own_network, tell_left_out
from sweep.measuring.settings import probe_settings, sweep_images
from sweep.model.calibration import default_of, expected
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    from probes import Measurement
    from probes.pictures import Gallery

Steps = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


def probe(
    spec: Experiment,
    *,
    pictures: bool = False,
    steps: Steps = lambda label, count: nullcontext(lambda: None),
) -> "tuple[Measurement, Gallery | None]":
    """Measure the single point of a spec whose axes are all fixed.

    Parameters
    ----------
    spec:
        The specification; of each axis, the lower end is used.
    pictures:
        Also train the network, whatever ``spec.train`` says, and make its gallery.
    steps:
        Function that is called with a label and the number of steps of the work that begins (0 for none). It returns a
        context manager for the time of that work, which gives a function to be called after each step.

    Returns
    -------
    measurement
        What was measured, and ``p_trainable`` by the default calibration.
    gallery
        The pictures; None if none are wanted, or if the point failed.

    Raises
    ------
    SpecError
        The data set cannot be loaded, the network is too large for this machine, or the spec asks for what cannot be
        measured of a user's network.
    """
    from probes import Point
    from probes.pictures import gallery
    from probes.prober import Prober
    from sweep.measuring.memory import check_memory

    images = sweep_images(spec, run_code=True)
    point = Point(spec.sigma_w[0], spec.sigma_b[0], spec.depth[0], spec.seed, spec.middle_extra)
    layers = point.depth if spec.probe != "direct" else 0
    with own_network(spec) as custom:
        settings = replace(probe_settings(spec, custom), train="none" if pictures else spec.train)
        if custom is None:  # a network of the user that is not valid is a failed point
            check_memory(settings.at(point.extra), images, point.depth)
        with steps("cascade", layers) as progress:
            prober = Prober(images, settings, progress=progress)
            (measurement,) = prober.measure([point])
    if "cascade_retained" in measurement.profiles:
        unknown = np.isnan(measurement.profiles["cascade_retained"])
        tell_left_out([int(n) + 1 for n in np.flatnonzero(unknown)])
    if measurement.status != "failed":
        margin = expected(measurement.values["margin"], measurement.values["margin_censored"])
        measurement.values["p_trainable"] = float(default_of(spec).probability(margin))
    if not pictures or measurement.status == "failed":
        return measurement, None
    with steps("training", settings.training.max_epochs(images)) as progress:
        drawn = gallery(prober, point, progress)
    prober.record_training(measurement, drawn.curve)
    return measurement, drawn
