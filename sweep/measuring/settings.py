"""The settings and the images that the probes get, made from the specification of a sweep."""

from typing import Any

from probes.custom.function import Custom
from probes.datasets import Images, images_of, load_images
from probes.errors import DatasetError
from probes.initialisations import NORMAL
from probes.networks import Architecture
from probes.npz import ARRAYS
from probes.settings import ProbeSettings
from probes.threads import safe_in_forks
from probes.training.settings import TrainingSettings
from sweep.errors import SpecError
from sweep.spec.experiment import Measuring
from sweep.spec.kinds import seconds_of
from sweep.spec.network import FUNCTION, Network
from sweep.text import printable


def probe_settings(spec: Measuring, network: Custom | None = None) -> ProbeSettings:
    """Return the settings of the probes and of the training, as the spec says.

    ``network`` is the function of the user that the spec names.

    Raises
    ------
    SpecError
        The spec asks for what cannot be measured of a user's network.
    """
    try:
        return _probe_settings(spec, network)
    except ValueError as error:
        raise SpecError(str(error)) from None


def _probe_settings(spec: Measuring, network: Custom | None) -> ProbeSettings:
    return ProbeSettings(
        probe=spec.probe,
        statistic=spec.statistic,
        threshold=spec.threshold,
        penalty=spec.penalty,
        architecture=spec.architecture,
        width=spec.width,
        widths=spec.widths,
        activation=spec.activation,
        initialise=NORMAL if spec.initialise == FUNCTION else spec.initialise,
        network=network,
        images=spec.images,
        decoded_layers=spec.decoded_layers,
        certainty=spec.certainty,
        probe_steps=spec.probe_steps,
        precision=spec.precision,
        definition=spec.definition,
        train=spec.train,
        timeout=seconds_of(spec.timeout) if spec.timeout is not None else None,
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


@safe_in_forks
def sweep_images(spec: Measuring, *, run_code: bool = False) -> Images:
    """Load the data set of a spec.

    ``run_code`` allows a data set ``FILE.py:FUNCTION``, which runs a program: set it only where the user has named it.

    Raises
    ------
    SpecError
        The data set cannot be loaded, does not suit the spec's architecture, or is not the one that the spec's sweep
        measured.
    """
    try:
        images = load_images(
            spec.dataset,
            data_dir=spec.data_dir,
            download=spec.download,
            resize=spec.resize,
            layout=spec.layout,
            run_code=run_code,
        )
    except DatasetError as error:
        raise SpecError(f"`dataset` {error}") from None
    _check_architecture(spec, images)
    _check_content(spec, images)
    return images


@safe_in_forks
def given_images(images: Any, spec: Measuring) -> Images:
    """Return data that a program gives, as a data set.

    ``images`` is a `probes.Images`, or a list or tuple of the four arrays that `probes.images_of` takes.

    Raises
    ------
    SpecError
        ``images`` is something else or not valid, does not suit the spec's architecture, or is not what the spec's
        sweep measured.
    """
    if isinstance(images, Images):
        if spec.resize is not None:
            raise SpecError(
                "`resize` must be left out where `images` is a probes.Images: resize the arrays that it is made of"
            )
    elif isinstance(images, list | tuple) and len(images) == len(ARRAYS):
        try:
            images = images_of(*images, resize=spec.resize, layout=spec.layout)
        except DatasetError as error:
            raise SpecError(f"`images` {error}") from None
    else:
        raise SpecError(f"`images` must be a probes.Images or {', '.join(ARRAYS)}, got {type(images).__name__}")
    _check_architecture(spec, images)
    _check_content(spec, images)
    return images


def _check_content(spec: Measuring, images: Images) -> None:
    """Refuse data that have changed since a sweep began, or that are others of the same name."""
    if spec.fingerprint not in (None, images.fingerprint):
        raise SpecError(
            f"`dataset` {printable(spec.dataset)!r} must hold the images and labels that this sweep measured, but "
            "holds others"
        )


def _check_architecture(spec: Network, images: Images) -> None:
    if spec.network is not None:
        return
    try:
        Architecture(spec.architecture, images.shape, images.classes, spec.width, spec.widths)
    except ValueError as error:
        raise SpecError(str(error)) from None
