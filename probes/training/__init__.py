"""Training of the networks of a pack, all at the same time, for ground truth."""

from probes.training.pack import Training, train_pack
from probes.training.settings import TrainingCurve, TrainingSettings

__all__ = ["Training", "TrainingCurve", "TrainingSettings", "train_pack"]
