"""The columns of every table: their names, meanings, types and units, each said once."""

from dataclasses import dataclass

import pandas as pd

SCHEMA_VERSION = "1"
_DTYPES = {"number": "float64", "count": "int64", "whole": "Int64", "truth": "boolean", "text": "str"}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    meaning:
        What it says, for people.
    kind:
        ``number`` (NaN where it was not measured), ``count`` (there always), or what is NA where it was not measured:
        ``whole``, ``truth``, ``text``.
    unit:
        Empty for a pure number.
    """

    meaning: str
    kind: str = "number"
    unit: str = ""


_POINT = {
    "sigma_w": Column("standard deviation of the weights, times sqrt(fan_in)"),
    "sigma_b": Column("standard deviation of the biases"),
    "depth": Column("hidden layers", "count", "layers"),
    "seed": Column("of the network's draw", "count"),
}
_PROFILES = {
    "direct_retained": Column(
        "R^2 of the closed-form reconstruction of held-out images: 1 perfect, 0 the mean image; NaN for layers that "
        "were not decoded"
    ),
    "cascade_relative_entropy": Column("of image from cascade reconstruction, mean over 100 images, nats", unit="nat"),
    "cascade_retained": Column("1 - that / the same for the mean training image"),
    "differential_entropy": Column("of the cascade's reconstructions over images, mean over pixels, nats", unit="nat"),
}
_CURVES = {
    "lr": Column("learning rate"),
    "epoch": Column("from 1", "count"),
    "accuracy": Column("test accuracy after the epoch"),
    "loss": Column("mean training loss of the epoch, nats", unit="nat"),
}
_TABLES: dict[str, dict[str, Column]] = {
    "points": {
        **_POINT,
        "status": Column("ok; diverged (activations left the finite range); failed (see error)", "text"),
        "error": Column("why a point failed, else empty", "text"),
        "margin": Column(
            "log(horizon / half the depth (cascade: the depth)), or score - threshold: 0 or more = trainable"
        ),
        "margin_censored": Column("whether the margin is only a lower bound", "truth"),
        **{
            name: Column(f"{column.meaning}; after the last layer", column.kind, column.unit)
            for name, column in _PROFILES.items()
        },
        "direct_horizon": Column(
            "layer where direct_retained falls below its threshold (followed to 3 x depth)", unit="layers"
        ),
        "direct_horizon_censored": Column("whether it does not within that", "truth"),
        "direct_images": Column("training images that the direct probe used", "whole"),
        "cascade_horizon": Column("layer where cascade_retained falls below its threshold", unit="layers"),
        "cascade_horizon_censored": Column("whether it does not within the depth", "truth"),
        "cascade_cutoff": Column(
            "published cutoff of the median relative entropy: last layer that differs from the last", "whole", "layers"
        ),
        "chi_1": Column("mean field slope of the correlation map at 1 (not for resnet)"),
        "xi_c": Column("mean field depth scale of correlations, layers (not for resnet)", unit="layers"),
        "probe_steps": Column("Adam steps of the cascade", "whole"),
        "direct_seconds": Column("time of the direct probe, seconds", unit="s"),
        "cascade_seconds": Column("time of the cascade; that of a pack shared out by depth, seconds", unit="s"),
        "direct_flops": Column("floating point operations of the direct probe, estimated", unit="flop"),
        "cascade_flops": Column("the same of the cascade", unit="flop"),
        "pack": Column("points measured together", "whole"),
        "pack_halved": Column("how often the pack had to be halved for want of device memory", "whole"),
        "device": Column("torch device", "text"),
        "hostname": Column("of the node", "text"),
        "finished": Column("when the driver stored it, seconds since 1970 UTC", unit="s"),
        "accuracy": Column("best test accuracy over the epochs of training, and over the learning rates"),
        "trainable": Column("whether that is above the sweep's level", "truth"),
        "lr": Column("learning rate that gave it"),
        "chance": Column("accuracy of always answering the commonest class"),
        "train_epochs": Column("epochs trained, of all learning rates together", "whole"),
        "train_images": Column("training images an epoch", "whole"),
        "train_flops": Column("floating point operations of training, estimated", unit="flop"),
        "train_seconds": Column("time of training; that of a pack shared out by depth and epochs, seconds", unit="s"),
    },
    "profiles": {**_POINT, "layer": Column("1..depth", "count", "layers"), **_PROFILES},
    "truth": {**_POINT, **_CURVES},
    "boundary": {
        "depth": _POINT["depth"],
        "sigma_b": _POINT["sigma_b"],
        "lower": Column("sigma_w where the trainable band begins; NaN: no such crossing within the range"),
        "lower_5": Column("5 % quantile of lower"),
        "lower_95": Column("95 % quantile of lower"),
        "upper": Column("sigma_w where the trainable band ends; NaN: no such crossing within the range"),
        "upper_5": Column("5 % quantile of upper"),
        "upper_95": Column("95 % quantile of upper"),
        "trainable_share": Column("share of the range of sigma_w that is trainable, 0 to 1"),
        "critical": Column("sigma_w where the horizon (or score) is largest: the critical line"),
        "critical_5": Column("5 % quantile of critical"),
        "critical_95": Column("95 % quantile of critical"),
        "theory": Column("sigma_w where mean field's chi_1 = 1; NaN for resnet"),
    },
}
SWEEP = "sweep"  # column of several sweeps that were loaded together
SWEEP_MEANING = "directory or URI of the sweep"
LIST_PREFIX = {"profiles": "profile_", "truth": "epoch_"}
_EVERY = [(name, column) for columns in _TABLES.values() for name, column in columns.items()]

# What each column means, by table; of a point, of a profile and of a curve alone.
COLUMNS = {table: {name: column.meaning for name, column in columns.items()} for table, columns in _TABLES.items()}
POINT, PROFILES, CURVES = ({name: c.meaning for name, c in part.items()} for part in (_POINT, _PROFILES, _CURVES))
# Of the columns of all tables; a number that was not measured is NaN, what else was not measured is pandas' NA.
DTYPES = {**{name: _DTYPES[column.kind] for name, column in _EVERY}, SWEEP: _DTYPES["text"]}
UNITS = {name: column.unit for name, column in _EVERY if column.unit}  # of the columns that have one
KINDS = {  # of the columns of a part file
    **{name: "whole" if column.kind == "count" else column.kind for name, column in _TABLES["points"].items()},
    **{LIST_PREFIX["profiles"] + name: "numbers" for name in _PROFILES},
    **{LIST_PREFIX["truth"] + name: "numbers" for name in _CURVES},
}


def described(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return the frame, with attributes that say which table it is, what its columns mean, and their version."""
    frame.attrs["table"] = table
    frame.attrs["columns"] = {SWEEP: SWEEP_MEANING, **COLUMNS[table]} if SWEEP in frame else COLUMNS[table]
    frame.attrs["schema_version"] = SCHEMA_VERSION
    return frame
