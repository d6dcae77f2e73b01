"""SweepSpec -> what the probes need: settings and images."""

from probes.datasets import DatasetError, Images, load_images
from probes.networks import Architecture
from probes.settings import ProbeSettings
from probes.training.settings import TrainingSettings
from sweep.errors import SpecError
from sweep.spec.experiment import Measuring


def probe_settings(spec: Measuring) -> ProbeSettings:
    """The part of a spec that the probes see."""
    return ProbeSettings(
        probe=spec.probe,
        statistic=spec.statistic or "",
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


def sweep_images(spec: Measuring) -> Images:
    """Load the data set of a spec.

    Raises
    ------
    SpecError
        It cannot be loaded, or is nothing for the spec's architecture.
    """
    try:
        images = load_images(spec.dataset, data_dir=spec.data_dir, download=spec.download, resize=spec.resize)
    except DatasetError as error:
        raise SpecError(f"`dataset` {error}") from None
    try:
        Architecture(spec.architecture, images.shape, images.classes, spec.width, spec.widths)
    except ValueError as error:
        raise SpecError(str(error)) from None
    return images
