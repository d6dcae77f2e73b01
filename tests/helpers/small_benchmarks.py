"""The benchmarks of the probes, so small that they take seconds."""

from dataclasses import replace

from probes import Images
from sweep.bench import figure, memory, probes, training


def make_small(patch) -> None:
    """Let the sections measure small networks, by `setattr` of a fixture like pytest's monkeypatch."""
    sizes = dict(WIDTH=16, CASCADE_DEPTH=4, CASCADE_STEPS=12, DIRECT_DEPTH=30, PLAIN_STEPS=4)
    for name, value in sizes.items():
        patch.setattr(probes, name, value)
    trained = {"dense": {"depth": 3, "pack": 2}, "conv": {"architecture": "conv", "width": 2, "depth": 2, "pack": 2}}
    for name, value in dict(NETWORKS=2, TRAINED_DEPTH=3, TRAINED_STEPS=4, STEPS=2, PACKS=trained).items():
        patch.setattr(training, name, value)
    patch.setattr(training, "OWN_NETWORKS", 3)
    patch.setattr(training, "OWN_DEPTH", 2)
    patch.setattr(figure, "ROUNDS", 1)
    packs = {"small": {"probe": "direct", "resize": 4, "depth": 3, "pack": 1, "images": 64}}
    patch.setattr(memory, "PACKS", packs)


def few(images: Images) -> Images:
    """Return as many of the images as small benchmarks need."""
    train, test = slice(1024), slice(512)
    labels = {"train_labels": images.train_labels[train], "test_labels": images.test_labels[test]}
    return replace(images, train=images.train[train], test=images.test[test], **labels)
