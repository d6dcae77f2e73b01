"""Trainings that go on after a fault."""

import numpy as np
import pytest
import torch

from probes import Point, ProbeSettings, TrainingSettings
from sweep.execution import trainable as trainable_module
from sweep.execution.trainable import PackTrainable
from sweep.storage.checkpoints import Checkpoints

A, B = Point(1.2, 0.2, 4, 0), Point(1.4, 0.2, 3, 1)
SETTINGS = ProbeSettings("direct", train="all", training=TrainingSettings(epochs=4, images=320, lr=(0.01, 0.03)))


def files(path):
    return sorted(p.name for p in path.rglob("*") if p.is_file())


def test_states_are_read_as_they_were_written_until_they_are_forgotten(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load([A]) == {}
    state = {0.1: {"accuracy": [0.5], "loss": [1.0], "tensors": [{1: [torch.ones(2)]}]}}
    checkpoints.save({A: state})
    assert len(files(tmp_path)) == 1
    states = Checkpoints(f"file://{tmp_path}").load([A, B])
    assert list(states) == [A] and states[A][0.1]["accuracy"] == [0.5]
    assert torch.equal(states[A][0.1]["tensors"][0][1][0], torch.ones(2))
    checkpoints.forget([A, B])
    assert checkpoints.load([A]) == {} and files(tmp_path) == []
    checkpoints.save({B: state})
    checkpoints.clear()
    assert list(tmp_path.iterdir()) == []
    checkpoints.clear()


def test_a_damaged_state_is_none(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({A: {}})
    next(tmp_path.rglob("*.pt")).write_bytes(b"half a f")
    assert checkpoints.load([A]) == {}


def trainable(images, storage, *points):
    pack = object.__new__(PackTrainable)  # without Tune
    config = {"points": [(p.sigma_w, p.sigma_b, p.depth, p.seed) for p in points]}
    pack.setup(config, images=images, settings=SETTINGS, storage=str(storage))
    return pack


def finish(pack):
    results = [pack.step()]
    while not results[-1].get("done"):
        results.append(pack.step())
    return results


@pytest.fixture
def always(monkeypatch):
    """A checkpoint after every epoch."""
    monkeypatch.setattr(trainable_module, "_MIN_CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(trainable_module, "_MIN_CHECKPOINT_INTERVAL_RATIO", 0.0)


def test_a_training_goes_on_where_another_process_left_it(digits, tmp_path, always):
    whole = finish(trainable(digits, tmp_path / "whole", A, B))
    killed = trainable(digits, tmp_path / "again", A)
    killed.step()
    killed.step()
    again = finish(trainable(digits, tmp_path / "again", B, A))
    a, b = whole[-1]["rows"]
    for one, other in ((a, again[-1]["rows"][1]), (b, again[-1]["rows"][0])):
        for name in ("epoch_lr", "epoch_epoch", "epoch_accuracy", "epoch_loss"):
            np.testing.assert_array_equal(one[name], other[name])
    assert len(a["epoch_epoch"]) == 8


def test_every_epoch_is_a_result_for_tune(digits, tmp_path):
    *epochs, last = finish(trainable(digits, tmp_path, A, B))
    assert [e["epoch"] for e in epochs] == [1, 2, 3, 4] and files(tmp_path) == []
    assert all(0 <= e["mean_accuracy"] <= e["best_accuracy"] <= 1 and e["mean_loss"] > 0 for e in epochs)
    assert len(epochs[0]["networks"]) == epochs[0]["in_training"] == 4
    assert last["done"] and [r["train_epochs"] for r in last["rows"]] == [8, 8]


def test_the_next_pack_begins_anew_and_forgets_the_last(digits, tmp_path, always):
    pack = trainable(digits, tmp_path, A)
    finish(pack)
    assert len(files(tmp_path)) == 1
    pack.reset_config({"points": [(B.sigma_w, B.sigma_b, B.depth, B.seed)]})
    assert files(tmp_path) == []
    assert finish(pack)[-1]["rows"][0]["seed"] == 1
