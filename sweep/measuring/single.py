"""One point, here and now, without Ray."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.measuring.settings import probe_settings, sweep_images
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    from probes import Measurement
    from probes.pictures import Gallery

Steps = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


def probe(
    spec: Experiment, *, pictures: bool = False, steps: Steps = lambda label, count: nullcontext(lambda: None)
) -> "tuple[Measurement, Gallery | None]":
    """Measure the only point of a spec whose axes are all fixed; with ``pictures``, also train it for its gallery.

    The gallery is None where no pictures are wanted, or where the point failed. ``steps`` is told what begins and of
    how many steps it is (0 if it is none); what it returns is entered, and called after each step.

    Raises
    ------
    SpecError
        Bad input.
    """
    from probes import Point
    from probes.pictures import gallery
    from probes.prober import Prober
    from sweep.measuring.memory import check_memory

    images = sweep_images(spec, run_code=True)
    check_memory(spec, images)
    point = Point(spec.sigma_w[0], spec.sigma_b[0], spec.depth[0], spec.seed)
    settings = replace(probe_settings(spec), train="none" if pictures else spec.train)
    layers = point.depth if spec.probe != "direct" else 0
    with steps("cascade", layers) as progress:
        prober = Prober(images, settings, progress=progress)
        (measurement,) = prober.measure([point])
    if not pictures or measurement.status == "failed":
        return measurement, None
    with steps("training", settings.training.rounds(images)) as progress:
        seen = gallery(prober, point, progress)
    prober.record_training(measurement, seen.curve)
    return measurement, seen
