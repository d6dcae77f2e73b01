"""Files that a stranger may have left in a sweep: pickles that would betray that they were opened."""

import pickle
from pathlib import Path

import pytest

from sweep.storage.checkpoints import Checkpoints

__all__ = ["Trap", "plant", "plant_everywhere", "trap"]


class Trap:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A pickle, and the file that would be there if anybody had opened it."""
    sprung = tmp_path / "sprung"
    data = pickle.dumps(Trap(sprung), protocol=2)
    pickle.loads(data)
    assert sprung.exists()  # the trap works
    sprung.unlink()
    return data, sprung


def plant(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def plant_everywhere(path, data, points):
    """Under every name that a sweep, Tune or Optuna has ever given to a file that is read again."""
    for name in ("tuner.pkl", "trainer.pkl", "experiment_state-2026-01-01_00-00-00.json", "searcher-state-x.pkl"):
        plant(path / ".tune" / name, data)
    plant(path / ".tune" / "trial_x" / "checkpoint_000000" / ".metadata.pkl", data)
    plant(path / "study.journal", data)
    for name in ("x.pkl", "x.parquet", f"part-{'a' * 32}.parquet", f"{'b' * 32}.parquet"):
        plant(path / "parts" / name, data)
    checkpoints = Checkpoints(path)
    for point in points:
        plant(path / "checkpoints" / checkpoints._name(point), data)
    plant(path / "checkpoints" / "mine.pt", data)
