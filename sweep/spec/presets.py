"""Protocols by name: options that a sweep begins with."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "train": "all",
        "optimizer": "sgd",
        "lr": (0.001,),
        "batch": 64,
        "epochs": 200,
        "train_images": 60_000,
        "level": 0.4,
    },
    # One deep network holds all shallower ones: a row of networks draws the paper's pictures of the cascade.
    "paper-probe": {
        "probe": "cascade",
        "dataset": "mnist",
        "images": 60_000,
        "search": "grid",
        "points": 40,
        "sigma_w": (0.7, 2.0),
        "sigma_b": (0.2236, 0.2236),
        "depth": (100, 100),
    },
}
