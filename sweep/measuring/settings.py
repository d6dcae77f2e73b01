"""SweepSpec -> what the probes need: settings and images."""

from typing import Any

from probes.datasets import Images, images_of, load_images
from probes.networks import Architecture
from probes.own_data import ARRAYS, DatasetError
from probes.settings import ProbeSettings
from probes.training.settings import TrainingSettings
from sweep.errors import SpecError
from sweep.spec.experiment import Measuring
from sweep.spec.parts import Network


def probe_settings(spec: Measuring) -> ProbeSettings:
    """The part of a spec that the probes see."""
    return ProbeSettings(
        probe=spec.probe,
        statistic=spec.statistic,
        threshold=spec.threshold,
        penalty=spec.penalty,
        architecture=spec.architecture,
        width=spec.width,
        widths=spec.widths,
        activation=spec.activation,
        images=spec.images,
        decoded_layers=spec.decoded_layers,
        certainty=spec.certainty,
        probe_steps=spec.probe_steps,
        precision=spec.precision,
        definition=spec.definition,
        train=spec.train,
        training=TrainingSettings(
            epochs=spec.epochs,
            images=spec.train_images,
            optimizer=spec.optimizer,
            lr=spec.lr,
            batch=spec.batch,
            level=spec.level,
            patience=spec.patience,
        ),
    )


def sweep_images(spec: Measuring, *, run_code: bool = False) -> Images:
    """Load the data set of a spec; ``run_code``: also by running a Python file that the user has named.

    Raises
    ------
    SpecError
        It cannot be loaded, or is nothing for the spec's architecture.
    """
    try:
        images = load_images(
            spec.dataset, data_dir=spec.data_dir, download=spec.download, resize=spec.resize, run_code=run_code
        )
    except DatasetError as error:
        raise SpecError(f"`dataset` {error}") from None
    _check_architecture(spec, images)
    return images


def given_images(images: Any, spec: Measuring) -> Images:
    """Return images that a program gives: a `probes.Images`, or arrays as of `probes.images_of`, as a data set.

    Raises
    ------
    SpecError
        They are something else, or nothing for the spec's architecture.
    """
    if isinstance(images, Images):
        if spec.resize is not None:
            raise SpecError("`resize` must be left out where `images` are a data set that is made already")
    elif isinstance(images, list | tuple) and len(images) == len(ARRAYS):
        try:
            images = images_of(*images, resize=spec.resize)
        except DatasetError as error:
            raise SpecError(f"`images` {error}") from None
    else:
        raise SpecError(f"`images` must be a probes.Images or {', '.join(ARRAYS)}, got {type(images).__name__}")
    _check_architecture(spec, images)
    return images


def _check_architecture(spec: Network, images: Images) -> None:
    try:
        Architecture(spec.architecture, images.shape, images.classes, spec.width, spec.widths)
    except ValueError as error:
        raise SpecError(str(error)) from None
