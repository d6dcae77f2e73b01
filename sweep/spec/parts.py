"""The parts of a spec, and the declaration of every option. A new option is one field here, and its use.

A `SweepSpec` is all parts in one, so that it may be given wherever one of them is asked for.
"""

import re
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from probes.definition import (
    CURRENT_DEFINITION,
    DEFAULT_STATISTICS,
    DEPTHS,
    GRADIENTS,
    STATISTICS,
    TRAINABLE_DEPTH,
    Definition,
    is_threshold_of,
    statistics_of,
)
from sweep.errors import SpecError
from sweep.spec.kinds import Address, Choice, Duration, Flag, Numbers, Range, Text
from sweep.spec.options import AUTO, NONE, Part, option
from sweep.spec.ranges import (
    CONCURRENCY,
    IMAGES,
    LOGARITHM,
    POINTS,
    RESIZE,
    RETAINED,
    SEQUENCE,
    SHARE,
    VERSION,
)
from sweep.spec.secrets import holds_secret

STUDY_FROM = "env:"  # NAME: where the study's URL stands
# Versions of what a sweep writes down, that are known here.
_DEFINITIONS, _SEQUENCES, _CALIBRATIONS = (1, 2, 3), (0, 1), (0, 1)
_NOT_KNOWN = (
    "the sweep's definition of {} is of version {}, which is not known here: install a newer version of this tool"
)


@dataclass(frozen=True, kw_only=True)
class Data(Part):
    """The data set."""

    title = "Data"

    dataset: str = option(
        "digits",
        Text("NAME|FILE.npz|FILE.py:FUNCTION"),
        "Data set: digits, mnist, fashion-mnist, cifar10 (grey), cifar10-rgb, noise, an .npz file with train_images, "
        "train_labels, test_images and test_labels, or a function that returns these four arrays.",
        measured=True,
        is_location=True,
        local=True,
    )
    data_dir: str = option("data", Text("DIR"), "Folder of torchvision's data sets.", is_location=True, local=True)
    download: bool = option(False, Flag(), "Download the data set if it is not there.", is_location=True, local=True)
    layout: str = option(
        "auto",
        Choice(("auto", "channels-last", "channels-first")),
        "Order of the axes of your own images that have channels: [N, height, width, channels], or "
        "[N, channels, height, width]; auto: recognised by their shape.",
        is_location=True,
        local=True,
    )
    images: int = option(4096, IMAGES, "Number of training images that the probes use.", measured=True)
    resize: int | None = option(None, RESIZE, "Pool or enlarge images to N x N pixels.", measured=True)
    fingerprint: str | None = None  # of the images and labels; None: not loaded yet, or a sweep of before there was one

    def _refuse(self) -> None:
        if self.fingerprint is not None and not re.fullmatch("[0-9a-f]{32}", str(self.fingerprint)):
            raise SpecError("`fingerprint` must be 32 hexadecimal digits")

    @property
    def data(self) -> str:
        """The data set as messages name it: with its fingerprint, where that is known."""
        return self.dataset + (f" ({self.fingerprint})" if self.fingerprint else "")

    def has_data_of(self, other: "Data") -> bool:
        """Return whether two specs have the same data, by its content or, where that is unknown, by its name."""
        if self.fingerprint and other.fingerprint:
            return self.fingerprint == other.fingerprint
        return Path(self.dataset).name == Path(other.dataset).name


@dataclass(frozen=True, kw_only=True)
class Probing(Part):
    """The probes of a random network, and the statistic that predicts whether it can be trained."""

    title = "Probe"

    probe: str = option("both", Choice(("both", "cascade", "direct")), "Probes to measure.", measured=True)
    statistic: str = option(
        None,
        Choice(STATISTICS),
        "Statistic that drives the search; default: trainable_depth, or cascade_correlation_horizon with --probe "
        "cascade.",
        measured=True,
    )
    threshold: float | None = option(
        None,
        LOGARITHM,
        "Retained information, or squared correlation, below which a signal counts as lost, or how far the logarithm "
        "of a gradient may be from 0; default: "
        + ", ".join(f"{CURRENT_DEFINITION.threshold(s):g} ({s})" for s in STATISTICS if s != TRAINABLE_DEPTH)
        + ".",
        measured=True,
    )
    penalty: float = option(
        3e-2,
        Range(1e-9, 1e3, whole=False),
        "Ridge penalty of the direct probe: its noise floor, as a variance of activations.",
        measured=True,
    )
    decoded_layers: int = option(
        16,
        Range(2, 6000),
        "Number of layers up to the depth that the direct probe decodes; it finds the horizon in any case.",
        word="all",
        measured=True,
    )
    certainty: float | None = option(
        None,
        Range(1e-4, 0.5, whole=False),
        "Let the direct probe begin with 512 images and double them until its horizon (as a share) and its last "
        "retained information change by less than this; default: 0.02 for convolutions, otherwise all images at once.",
        measured=True,
    )
    probe_steps: int | None = option(
        None,
        Range(1, 1_000_000),
        "Number of Adam steps of the cascade, with batches of 64; auto: one epoch of the images, but at least 300.",
        word=AUTO,
        measured=True,
    )
    precision: str = option(
        "float32", Choice(("float32", "bfloat16")), "Precision of the products that train the cascade.", measured=True
    )
    timeout: str | None = option(
        None,
        Duration(),
        "Longest time that probing a network, or an epoch of its training, may take; one that takes longer is a failed "
        "point. Default: no limit.",
        changeable=True,
    )

    definition: Definition = CURRENT_DEFINITION  # of the margin

    def _resolve(self) -> None:
        chosen = [s for probe, s in DEFAULT_STATISTICS.items() if probe == self.probe]  # none: it is refused later
        self._default("statistic", (chosen or STATISTICS)[0], by=self.probe)
        object.__setattr__(self, "definition", _definition(self.definition))

    def _refuse(self) -> None:
        if self.definition.version not in _DEFINITIONS:
            raise SpecError(_NOT_KNOWN.format("the margin", self.definition.version))
        if self.threshold is not None:
            (LOGARITHM if self.statistic in GRADIENTS else RETAINED).check("threshold", self.threshold)
        if self.statistic not in statistics_of(self.probe):
            raise SpecError(f"`statistic` must be one that probe {self.probe!r} measures, got {self.statistic!r}")

    @property
    def by_horizon(self) -> bool:
        """Whether the margin is that of a horizon, rather than a score minus its threshold."""
        return self.statistic in DEPTHS

    def threshold_of(self, statistic: str) -> float:
        """Return the threshold of a statistic; the option is that of all statistics of the same kind."""
        if self.threshold is None or not is_threshold_of(self.statistic, statistic):
            return self.definition.threshold(statistic)
        return self.threshold


def _definition(data: Any) -> Definition:
    """Return the definition of a margin, which a file has as a table."""
    if isinstance(data, Definition):
        return data
    names = {f.name: f.default is MISSING for f in fields(Definition)}  # and whether all definitions have it
    if not isinstance(data, dict) or not {n for n, needed in names.items() if needed} <= set(data) <= set(names):
        raise SpecError("`definition` must be a definition of the margin that is known here")
    version = VERSION.check("definition", data["version"])
    kinds = dict.fromkeys(GRADIENTS, LOGARITHM)
    given = {n: kinds.get(n, SHARE).check(f"definition of {n}", v) for n, v in data.items() if n != "version"}
    return Definition(version, **given)


@dataclass(frozen=True, kw_only=True)
class Search(Part):
    """The number of points, and how they are chosen."""

    title = "Search"

    points: int = option(
        64,
        POINTS,
        "Number of different places (sigma_w, sigma_b, depth, and further axes); a grid is the largest balanced one "
        "within it.",
        changeable=True,
    )
    search: str = option(
        "boundary", Choice(("boundary", "sobol", "grid", "random", "tpe")), "Method that chooses points."
    )
    aim: str = option(
        "both",
        Choice(("boundary", "ridge", "both")),
        "Target of the boundary search: the boundary at all depths, the ridge where information travels deepest (the "
        "critical line), or both.",
    )
    prior: str = option(
        "none",
        Choice(("none", "theory")),
        "With theory, the model of the search may resemble mean field's depth scale, as far as the points agree.",
    )
    until_boundary_error: float | None = option(
        None,
        Range(0, 0.5, whole=False, above=True),
        "Stop as soon as this share of the range is expected to lie on the wrong side of the boundary; default: "
        "measure all points.",
        changeable=True,
    )
    first_points: int | None = None  # the budget that the sweep began with: a grid is refined, not redrawn
    sequence: int = 1  # version of the places and seeds of `sweep.spec.design`

    def _refuse(self) -> None:
        if SEQUENCE.check("sequence", self.sequence) not in _SEQUENCES:
            raise SpecError(_NOT_KNOWN.format("the points", self.sequence))
        if self.sequence == 0 and self.search != "sobol":
            raise SpecError(f"`search` must be sobol with sequence 0, got {self.search!r}")
        if self.first_points is None:
            object.__setattr__(self, "first_points", self.points)
        POINTS.check("first_points", self.first_points)


@dataclass(frozen=True, kw_only=True)
class Training(Part):
    """The training of networks for ground truth."""

    title = "Training"

    train: str = option(
        "none",
        Choice(("none", "boundary", "all")),
        "Networks to train for ground truth; boundary: those with an uncertain prediction, and a few others.",
        measured=True,
    )
    train_images: int = option(6400, IMAGES, "Number of training images that training uses.", measured=True)
    epochs: int | None = option(
        None,
        Range(1, 100_000),
        "Number of epochs of training; auto: as many as show 96,000 images (15 with 6,400 images).",
        word=AUTO,
        measured=True,
    )
    optimizer: str = option("sgd", Choice(("sgd", "adam")), "Optimizer of training: plain SGD or Adam.", measured=True)
    lr: tuple[float, ...] = option(
        (0.01,),
        Numbers(Range(0, 100, whole=False, above=True), 20, different=True),
        "Learning rates; with several, each network is trained with each, and the best one counts.",
        measured=True,
    )
    batch: int = option(64, Range(1, 100_000), "Number of images per training step.", measured=True)
    level: float | None = option(
        None,
        Range(0, 1, whole=False, above=True),
        "Test accuracy above which a network counts as trained, and training ends; auto: half way from chance to the "
        "best accuracy of the sweep, and all networks are trained to the end.",
        word=AUTO,
        measured=True,
    )
    patience: int | str | None = option(
        None,
        Range(1, 100_000, word=AUTO),
        "Number of epochs without progress after which training ends; auto: hopeless trainings end, by a rule "
        "for any number of epochs; default: never.",
        measured=True,
    )
    calibration: int = 1  # version of the default in `sweep.model.calibration`; 0: before trainings moved the boundary

    def _refuse(self) -> None:
        if SEQUENCE.check("calibration", self.calibration) not in _CALIBRATIONS:
            raise SpecError(_NOT_KNOWN.format("the calibration", self.calibration))


@dataclass(frozen=True, kw_only=True)
class Resources(Part):
    """The resources that measure."""

    title = "Resources"

    concurrency: int | None = option(
        None,
        CONCURRENCY,
        "Number of trials that run at the same time; auto: as many as the cores and GPUs allow.",
        word=AUTO,
        changeable=True,
    )
    pack: int | None = option(
        None,
        Range(1, 1024),
        "Number of points per trial; auto: chosen by their cost and the memory.",
        word=AUTO,
        changeable=True,
    )
    cpus_per_trial: float = option(1.0, Range(0.001, 1024, whole=False), "Number of cores per trial.", changeable=True)
    gpus_per_trial: float | None = option(
        None,
        Range(0, 64, whole=False),
        "GPUs per trial, fractions allowed; auto: a share of a GPU if there are any, otherwise none.",
        word=AUTO,
        changeable=True,
    )
    retries: int = option(
        2,
        Range(0, 100),
        "Number of times that a failing point is measured again; losing a node does not use up retries.",
        changeable=True,
    )
    address: str | None = option(
        None,
        Address(),
        "Address of a Ray cluster to join: HOST:PORT of its head's GCS; auto: the one on this machine.",
        changeable=True,
    )
    time_limit: str | None = option(
        None,
        Duration(),
        "Stop after this time, with everything measured stored; `sweep resume` continues. Default: no limit, or that "
        "of the SLURM job.",
        changeable=True,
    )

    @property
    def is_here(self) -> bool:
        """Whether a private Ray on this machine measures."""
        return self.address in (None, "local")

    def _refuse(self) -> None:
        for name in ("cpus_per_trial", "gpus_per_trial"):
            value = getattr(self, name)
            if value is not None and value > 1 and value != int(value):
                raise SpecError(f"`{name}` must be a whole number where it is above 1, got {value:g}")
        if self.gpus_per_trial and self.gpus_per_trial < 0.001:
            raise SpecError(f"`gpus_per_trial` must be 0 or at least 0.001, got {self.gpus_per_trial:g}")


@dataclass(frozen=True, kw_only=True)
class Storage(Part):
    """The locations of results and study."""

    title = "Storage"

    storage: str | None = option(
        None, Text("URI"), "Location of the results; default: the sweep's directory.", is_location=True
    )
    study: str | None = option(
        None,
        Text("URL|env:NAME|none"),
        "Server for the Optuna study (PostgreSQL, MySQL, Redis), so that others can look at it; put a URL with a "
        "password into the environment variable NAME. Default: none, only a journal in the sweep's directory.",
        word=NONE,
        changeable=True,
    )

    def _refuse(self) -> None:
        if self.study is not None and not (self.study.startswith(STUDY_FROM) or "://" in self.study):
            raise SpecError("`study` must be a URL, scheme://..., or env:NAME")  # whatever it is may hold a password
        if self.study is not None and holds_secret(self.study):
            raise SpecError("`study` must hold no password; put the URL in an environment variable and say env:NAME")
        if self.storage and holds_secret(self.storage):
            raise SpecError("`storage` must hold no key or password: they belong in the environment")
