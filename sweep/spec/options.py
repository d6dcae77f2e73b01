"""The names, ranges and choices of the options of a sweep."""

from typing import Any

from sweep.spec.ranges import Range

RANGES = {
    "points": Range(1, 1_000_000),
    "until_boundary_error": Range(0, 0.5, whole=False, above=True),
    "sigma_w": Range(0, 20, whole=False, above=True),
    "sigma_b": Range(0, 20, whole=False),
    "depth": Range(1, 2000),
    "replicas": Range(1, 1000),
    "images": Range(16, 10_000_000),
    "train_images": Range(16, 10_000_000),
    "resize": Range(2, 512),
    "width": Range(1, 16_384),
    "decoded_layers": Range(2, 6000),
    "certainty": Range(1e-4, 0.5, whole=False),
    "threshold": Range(0.001, 0.999, whole=False),
    "penalty": Range(1e-9, 1e3, whole=False),
    "probe_steps": Range(1, 1_000_000),
    "epochs": Range(1, 100_000),
    "lr": Range(0, 100, whole=False, above=True),
    "batch": Range(1, 100_000),
    "level": Range(0, 1, whole=False, above=True),
    "patience": Range(1, 100_000),
    "concurrency": Range(1, 10_000),
    "pack": Range(1, 1024),
    "retries": Range(0, 100),
    "cpus_per_trial": Range(0.001, 1024, whole=False),
    "gpus_per_trial": Range(0, 64, whole=False),
    "seed": Range(0, 2**31 - 1),
}
CHOICES = {
    "architecture": ("mlp", "published", "shrinking", "conv", "resnet"),
    "activation": ("tanh", "relu", "erf", "arctan"),
    "precision": ("float32", "bfloat16"),
    "probe": ("both", "cascade", "direct"),
    "statistic": ("direct_horizon", "direct_retained", "cascade_horizon", "cascade_retained"),
    "search": ("boundary", "sobol", "grid", "random", "tpe"),
    "aim": ("boundary", "ridge", "both"),
    "prior": ("none", "theory"),
    "train": ("none", "boundary", "all"),
    "optimizer": ("sgd", "adam"),
}
# Protocols by name: options that a sweep begins with.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "train": "all",
        "optimizer": "sgd",
        "lr": (0.001,),
        "batch": 64,
        "epochs": 200,
        "train_images": 60_000,
        "level": 0.4,
    }
}
DEPTH = (5, 60)  # unless there are widths to count
MOST_RATES = 20
AXES = ("sigma_w", "sigma_b", "depth")
BENCHMARKS = ("cascade", "direct", "pack", "training", "memory", "gpu", "orchestration", "scale")
FIGURES = ("phase", "depth", "profiles", "reconstructions", "truth", "history", "roc", "paper")
TABLES = ("points", "profiles", "truth", "boundary")
TRACKERS = ("tensorboard", "mlflow", "wandb")
RESOURCES = ("concurrency", "pack", "cpus_per_trial", "gpus_per_trial", "retries", "address", "study")
# What defines a measurement: where points are taken, how many and by which machines does not.
MEASURED = (
    *("dataset", "images", "resize", "architecture", "width", "widths", "activation"),
    *("probe", "statistic", "threshold", "penalty", "decoded_layers", "certainty", "probe_steps", "precision"),
    *("train", "train_images", "epochs", "optimizer", "lr", "batch", "level", "patience"),
)
STUDY_FROM = "env:"  # NAME: where the study's URL stands
PLACES = ("dataset", "data_dir", "download", "storage")
CHANGEABLE = ("points", "until_boundary_error", *RESOURCES)  # of a sweep that has begun
