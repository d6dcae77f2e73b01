"""The columns of every table: their names, meanings, types and units."""

import pandas as pd

__all__ = [
    "BOOLEAN",
    "COLUMNS",
    "CURVES",
    "DTYPES",
    "KINDS",
    "LIST_PREFIX",
    "POINT",
    "PROFILES",
    "TEXT",
    "UNITS",
    "WHOLE",
    "described",
]

POINT = {
    "sigma_w": "standard deviation of the weights, times sqrt(fan_in)",
    "sigma_b": "standard deviation of the biases",
    "depth": "hidden layers",
    "seed": "of the network's draw",
}
PROFILES = {
    "direct_retained": "R^2 of the closed-form reconstruction of held-out images: 1 perfect, 0 the mean image; NaN for "
    "layers that were not decoded",
    "cascade_relative_entropy": "of image from cascade reconstruction, mean over 100 images, nats",
    "cascade_retained": "1 - that / the same for the mean training image",
    "differential_entropy": "of the cascade's reconstructions over images, mean over pixels, nats",
}
CURVES = {
    "lr": "learning rate",
    "epoch": "from 1",
    "accuracy": "test accuracy after the epoch",
    "loss": "mean training loss of the epoch, nats",
}
COLUMNS: dict[str, dict[str, str]] = {
    "points": {
        **POINT,
        "status": "ok; diverged (activations left the finite range); failed (see error)",
        "error": "why a point failed, else empty",
        "margin": "log(horizon / half the depth (cascade: the depth)), or score - threshold: 0 or more = trainable",
        "margin_censored": "whether the margin is only a lower bound",
        **{name: f"{text}; after the last layer" for name, text in PROFILES.items()},
        "direct_horizon": "layer where direct_retained falls below its threshold (followed to 3 x depth)",
        "direct_horizon_censored": "whether it does not within that",
        "direct_images": "training images that the direct probe used",
        "cascade_horizon": "layer where cascade_retained falls below its threshold",
        "cascade_horizon_censored": "whether it does not within the depth",
        "cascade_cutoff": "published cutoff of the median relative entropy: last layer that differs from the last",
        "chi_1": "mean field slope of the correlation map at 1 (not for resnet)",
        "xi_c": "mean field depth scale of correlations, layers (not for resnet)",
        "probe_steps": "Adam steps of the cascade",
        "direct_seconds": "time of the direct probe, seconds",
        "cascade_seconds": "time of the cascade; that of a pack shared out by depth, seconds",
        "direct_flops": "floating point operations of the direct probe, estimated",
        "cascade_flops": "the same of the cascade",
        "pack": "points measured together",
        "pack_halved": "how often the pack had to be halved for want of device memory",
        "device": "torch device",
        "hostname": "of the node",
        "finished": "when the driver stored it, seconds since 1970 UTC",
        "accuracy": "best test accuracy over the epochs of training, and over the learning rates",
        "trainable": "whether that is above the sweep's level",
        "lr": "learning rate that gave it",
        "chance": "accuracy of always answering the commonest class",
        "train_epochs": "epochs trained, of all learning rates together",
        "train_images": "training images an epoch",
        "train_flops": "floating point operations of training, estimated",
        "train_seconds": "time of training; that of a pack shared out by depth and epochs, seconds",
    },
    "profiles": {**POINT, "layer": "1..depth", **PROFILES},
    "truth": {**POINT, **CURVES},
    "boundary": {
        "depth": "hidden layers",
        "sigma_b": POINT["sigma_b"],
        "lower": "sigma_w where the trainable band begins; NaN: no such crossing within the range",
        "lower_5": "5 % quantile of lower",
        "lower_95": "95 % quantile of lower",
        "upper": "sigma_w where the trainable band ends; NaN: no such crossing within the range",
        "upper_5": "5 % quantile of upper",
        "upper_95": "95 % quantile of upper",
        "trainable_share": "share of the range of sigma_w that is trainable, 0 to 1",
        "critical": "sigma_w where the horizon (or score) is largest: the critical line",
        "critical_5": "5 % quantile of critical",
        "critical_95": "95 % quantile of critical",
        "theory": "sigma_w where mean field's chi_1 = 1; NaN for resnet",
    },
}
SWEEP = "sweep"  # column of several sweeps that were loaded together
SWEEP_MEANING = "directory or URI of the sweep"
BOOLEAN = ("margin_censored", "direct_horizon_censored", "cascade_horizon_censored", "trainable")
WHOLE = ("direct_images", "cascade_cutoff", "probe_steps", "pack", "pack_halved", "train_epochs", "train_images")
TEXT = ("status", "error", "device", "hostname")
LIST_PREFIX = {"profiles": "profile_", "truth": "epoch_"}
KINDS: dict[str, str] = {  # of the columns of a part file
    **{
        name: "truth" if name in BOOLEAN else "whole" if name in WHOLE else "text" if name in TEXT else "number"
        for name in COLUMNS["points"]
    },
    **dict.fromkeys(("depth", "seed"), "whole"),
    **{LIST_PREFIX["profiles"] + name: "numbers" for name in PROFILES},
    **{LIST_PREFIX["truth"] + name: "numbers" for name in CURVES},
}
# Of the columns of all tables; a number that was not measured is NaN, what else was not measured is pandas' NA.
DTYPES: dict[str, str] = {
    **{name: "float64" for columns in COLUMNS.values() for name in columns},
    **dict.fromkeys(BOOLEAN, "boolean"),
    **dict.fromkeys(WHOLE, "Int64"),
    **dict.fromkeys(("depth", "seed", "layer", "epoch"), "int64"),
    **dict.fromkeys((*TEXT, SWEEP), "str"),
}
UNITS: dict[str, str] = {  # of the columns that have one
    **dict.fromkeys(
        ("depth", "layer", "direct_horizon", "cascade_horizon", "cascade_cutoff", "xi_c"),
        "layers",
    ),
    **dict.fromkeys(("cascade_relative_entropy", "differential_entropy", "loss"), "nat"),
    **dict.fromkeys(("direct_seconds", "cascade_seconds", "train_seconds", "finished"), "s"),
    **dict.fromkeys(("direct_flops", "cascade_flops", "train_flops"), "flop"),
}


def described(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """The frame, with attributes that say which table it is, what its columns mean, and of which version they are."""
    frame.attrs["table"] = table
    frame.attrs["columns"] = {SWEEP: SWEEP_MEANING, **COLUMNS[table]} if SWEEP in frame else COLUMNS[table]
    frame.attrs["schema_version"] = SCHEMA_VERSION
    return frame


SCHEMA_VERSION = "1"
