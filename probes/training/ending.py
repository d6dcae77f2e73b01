"""When the training of a network ends."""

import math
from collections.abc import Sequence

from probes.training.settings import AUTO_PATIENCE, TrainingSettings

MIN_ACCURACY_RISE = 0.005
MIN_LOSS_FALL = 1e-3  # relative; less may be a fluctuation
# With patience "auto":
AUTO_PARTS = 5  # of a training: the patience is one of them, so the rule is the same whatever an epoch is
MIN_AUTO_PATIENCE = 3  # epochs; one or two may be bad ones
AUTO_LOSS_FALL = 3e-3


def is_over(accuracy: Sequence[float], loss: Sequence[float], settings: TrainingSettings, epochs: int) -> bool:
    """Return whether a training has reached its level or its last epoch, diverged or stalled.

    It has stalled if it made no progress during as many epochs as `TrainingSettings.patience` says: progress is a rise
    of the best accuracy by more than 0.005, or a fall of the lowest loss by more than 0.1 %.

    With patience ``auto`` it is a fifth of all ``epochs``, rounded up, but at least 3, and the loss must fall by more
    than 0.3 %. A network that cannot be trained answers with the frequencies of the classes after an epoch or two, and
    from then on its loss falls by less. A network that trains late shows it in its loss first: it falls by more in a
    fifth of the time while the accuracy is still that of chance. The three numbers were chosen on the study's sets for
    selection; `sweep/analysis/README.md` has the outcome.

    Parameters
    ----------
    accuracy, loss:
        Test accuracy and training loss (nats) after each epoch so far.
    settings:
        The settings of the training: its level and its patience.
    epochs:
        The largest number of epochs.
    """
    if not accuracy:
        return False
    if len(accuracy) >= epochs or not math.isfinite(loss[-1]):
        return True
    if settings.level is not None and accuracy[-1] > settings.level:
        return True
    if settings.patience == AUTO_PATIENCE:
        return has_stalled(accuracy, loss, max(MIN_AUTO_PATIENCE, math.ceil(epochs / AUTO_PARTS)), AUTO_LOSS_FALL)
    return settings.patience is not None and has_stalled(accuracy, loss, int(settings.patience), MIN_LOSS_FALL)


def has_stalled(accuracy: Sequence[float], loss: Sequence[float], patience: int, min_loss_fall: float) -> bool:
    """Return whether neither accuracy nor loss made progress in the last ``patience`` epochs; see `is_over`."""
    before = len(accuracy) - patience
    if before < 1:
        return False
    rose = max(accuracy[before:]) > max(accuracy[:before]) + MIN_ACCURACY_RISE
    fell = min(loss[before:]) < min(loss[:before]) * (1 - min_loss_fall)
    return not (rose or fell)
