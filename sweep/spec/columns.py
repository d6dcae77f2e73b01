"""The columns of every table, with their names, meanings, types and units."""

from dataclasses import dataclass, replace

import pandas as pd

SCHEMA_VERSION = "1"
_DTYPES = {"number": "float64", "count": "int64", "integer": "Int64", "boolean": "boolean", "text": "str"}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    meaning:
        A description for people.
    kind:
        ``number`` (NaN where it was not measured), ``count`` (an integer that every row has), or ``integer``,
        ``boolean`` or ``text`` (NA where it was not measured).
    unit:
        The unit, which is empty for a pure number.
    is_later:
        Whether tables were written before there was this column.
    """

    meaning: str
    kind: str = "number"
    unit: str = ""
    is_later: bool = False


_POINT = {
    "sigma_w": Column("standard deviation of the weights, times sqrt(fan_in)"),
    "sigma_b": Column("standard deviation of the biases"),
    "depth": Column("hidden layers", "count", "layers"),
    "seed": Column("seed of the network's random weights", "count"),
}
_PROFILES = {
    "direct_retained": Column(
        "R^2 of the closed-form reconstruction of held-out images: 1 is perfect, 0 is the mean image; NaN for layers "
        "that were not decoded"
    ),
    "cascade_relative_entropy": Column(
        "relative entropy of image and reconstruction, mean over 100 images", unit="nat"
    ),
    "cascade_retained": Column("1 - cascade_relative_entropy / its value for the mean training image"),
    "differential_entropy": Column(
        "differential entropy of the reconstructions over images, mean over pixels", unit="nat"
    ),
    "cascade_correlation": Column(
        "squared correlation of images and reconstructions, both centred over 100 images: 1 is perfect, 0 is the mean "
        "image",
        is_later=True,
    ),
    "cascade_loss": Column(
        "mean squared error of the layer's own decoder on 100 images that it did not learn from", is_later=True
    ),
    "gradient_norm": Column(
        "log of the norm of the gradient by the layer's weights, for a random target, relative to that of the images",
        is_later=True,
    ),
}
_CURVES = {
    "lr": Column("learning rate"),
    "epoch": Column("epoch, from 1", "count"),
    "accuracy": Column("test accuracy after the epoch"),
    "loss": Column("mean training loss of the epoch", unit="nat"),
}


def _last_value(profile: str) -> Column:
    column = _PROFILES[profile]
    return replace(column, meaning=f"{column.meaning}; after the last layer")


# In the order of the tables, whose new columns come last: programs may count them.
_TABLES: dict[str, dict[str, Column]] = {
    "points": {
        **_POINT,
        "status": Column("ok, diverged (activations left the finite range) or failed (see error)", "text"),
        "error": Column("reason why the point failed, otherwise empty", "text"),
        "margin": Column(
            "log(trainable_depth / depth), log(horizon / (share x depth)), score - threshold, or "
            "log((1 + threshold) / (1 + abs(gradient's log))); at least 0: trainable"
        ),
        "margin_censored": Column("whether the margin is only a lower bound", "boolean"),
        "direct_retained": _last_value("direct_retained"),
        "cascade_relative_entropy": _last_value("cascade_relative_entropy"),
        "cascade_retained": _last_value("cascade_retained"),
        "differential_entropy": _last_value("differential_entropy"),
        "direct_horizon": Column(
            "layer where direct_retained falls below its threshold (followed to 3 x depth)", unit="layers"
        ),
        "direct_horizon_censored": Column(
            "whether direct_horizon lies beyond the last layer that was followed, and is only a lower bound", "boolean"
        ),
        "direct_images": Column("number of training images that the direct probe used", "integer"),
        "cascade_horizon": Column("layer where cascade_retained falls below its threshold", unit="layers"),
        "cascade_horizon_censored": Column(
            "whether cascade_horizon lies beyond the last layer, and is only a lower bound", "boolean"
        ),
        "cascade_cutoff": Column(
            "published cutoff of the median relative entropy: the last layer that differs from the final one",
            "integer",
            "layers",
        ),
        "chi_1": Column("mean field's slope of the correlation map at 1 (not for resnet)"),
        "xi_c": Column("mean field's depth scale of correlations (not for resnet)", unit="layers"),
        "probe_steps": Column("number of Adam steps of the cascade", "integer"),
        "direct_seconds": Column("time of the direct probe", unit="s"),
        "cascade_seconds": Column("time of the cascade; that of a pack is shared out by depth", unit="s"),
        "direct_flops": Column("floating point operations of the direct probe, estimated", unit="flop"),
        "cascade_flops": Column("floating point operations of the cascade, estimated", unit="flop"),
        "pack": Column("number of points measured together in one trial", "integer"),
        "pack_halved": Column("number of times that the pack was halved for lack of device memory", "integer"),
        "device": Column("torch device that measured the point", "text"),
        "hostname": Column("name of the machine that measured the point", "text"),
        "finished": Column("time when the driver stored the row, since 1970 UTC", unit="s"),
        "accuracy": Column("best test accuracy over the epochs of training, and over the learning rates"),
        "trainable": Column("whether accuracy is above the sweep's level", "boolean"),
        "lr": Column("learning rate that gave accuracy"),
        "chance": Column("accuracy of always answering the most frequent class"),
        "train_epochs": Column("number of epochs trained, over all learning rates", "integer"),
        "train_images": Column("number of training images per epoch", "integer"),
        "train_flops": Column("floating point operations of training, estimated", unit="flop"),
        "train_seconds": Column("time of training; that of a pack is shared out by depth and epochs", unit="s"),
        "cascade_correlation": _last_value("cascade_correlation"),
        "cascade_correlation_horizon": Column(
            "layer where cascade_correlation falls below its threshold", unit="layers", is_later=True
        ),
        "cascade_correlation_horizon_censored": Column(
            "whether cascade_correlation_horizon lies beyond the last layer, and is only a lower bound",
            "boolean",
            is_later=True,
        ),
        "gradient_norm": Column(f"{_PROFILES['gradient_norm'].meaning}; of the first layer", is_later=True),
        "gradient_ratio": Column(
            "log of the back-propagated signal at the images over that at the last layer", is_later=True
        ),
        "gradient_seconds": Column("time of the gradients", unit="s", is_later=True),
        "gradient_flops": Column("floating point operations of the gradients, estimated", unit="flop", is_later=True),
        "gradient_horizon": Column(
            "depth at which gradients vanish or explode by more than the threshold", unit="layers", is_later=True
        ),
        "gradient_horizon_censored": Column(
            "whether gradient_horizon lies beyond 3 x depth, and is only a lower bound", "boolean", is_later=True
        ),
        "trainable_depth": Column(
            "depth up to which such networks are predicted trainable, by direct_horizon and gradient_horizon together",
            unit="layers",
            is_later=True,
        ),
        "trainable_depth_censored": Column(
            "whether both horizons are censored, and trainable_depth is only a lower bound", "boolean", is_later=True
        ),
        "p_trainable": Column(
            "probability that the network trains, by its margin and the sweep's calibration", is_later=True
        ),
    },
    "profiles": {**_POINT, "layer": Column("layer, 1 to depth", "count", "layers"), **_PROFILES},
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
        "critical": Column("sigma_w where the trainable depth (or horizon, or score) is largest: the critical line"),
        "critical_5": Column("5 % quantile of critical"),
        "critical_95": Column("95 % quantile of critical"),
        "theory": Column("sigma_w where mean field's chi_1 = 1; NaN for resnet"),
    },
}
_FURTHER = "further"  # attribute of a table: the names of its columns of further axes
SWEEP = "sweep"  # column of several sweeps that were loaded together
SWEEP_MEANING = "directory or URI of the sweep"
LIST_PREFIX = {"profiles": "profile_", "truth": "epoch_"}
_ALL_COLUMNS = [(name, column) for columns in _TABLES.values() for name, column in columns.items()]

# What each column means, by table; of a point, of a profile and of a curve alone.
COLUMNS = {table: {name: column.meaning for name, column in columns.items()} for table, columns in _TABLES.items()}
POINT, PROFILES, CURVES = ({name: c.meaning for name, c in part.items()} for part in (_POINT, _PROFILES, _CURVES))
# Of the columns of all tables; a number that was not measured is NaN, what else was not measured is pandas' NA.
DTYPES = {**{name: _DTYPES[column.kind] for name, column in _ALL_COLUMNS}, SWEEP: _DTYPES["text"]}
UNITS = {name: column.unit for name, column in _ALL_COLUMNS if column.unit}  # of the columns that have one
LATER = {name for name, column in _ALL_COLUMNS if column.is_later}  # columns that tables of before lack
KINDS = {  # of the columns of a part file
    **{name: "integer" if column.kind == "count" else column.kind for name, column in _TABLES["points"].items()},
    **{LIST_PREFIX["profiles"] + name: "numbers" for name in _PROFILES},
    **{LIST_PREFIX["truth"] + name: "numbers" for name in _CURVES},
}


def keys_in(profiles: pd.DataFrame) -> list[str]:
    """Return the names of the columns of a table ``profiles`` that tell points apart, with further axes."""
    return [*POINT, *(name for name in profiles.attrs.get(_FURTHER, ()) if name in profiles)]


def meaning_of(name: str) -> str:
    """Return what a column means: those that are not declared are further axes of a sweep."""
    known = [columns[name].meaning for columns in _TABLES.values() if name in columns]
    return known[0] if known else f"value of the further axis {name}"


def described(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return the frame, with attributes that say which table it is, what its columns mean, and their version."""
    frame.attrs["table"] = table
    known = {SWEEP: SWEEP_MEANING, **COLUMNS[table]} if SWEEP in frame else COLUMNS[table]
    frame.attrs["columns"] = known | {name: meaning_of(name) for name in map(str, frame.columns) if name not in known}
    frame.attrs[_FURTHER] = [name for name in map(str, frame.columns) if name not in known]
    frame.attrs["schema_version"] = SCHEMA_VERSION
    return frame
