"""The cost of probing a point, compared with that of training it."""

import math
from typing import Any

from sweep.results.results import Results
from sweep.spec.rows import keys_of

_PAPER_IMAGES = 200 * 60_000  # images that a network is shown by the paper's protocol, at most


def mean_cost(results: Results, truth: Results) -> dict[str, Any]:
    """Return the mean cost per point of training and of each probe, in seconds and floating point operations.

    Parameters
    ----------
    results:
        The sweep with the probes.
    truth:
        The sweep with the training; it may be the same.

    Returns
    -------
    dict
        ``training``: the training that was measured. ``paper``: the published protocol of 200 epochs of 60,000 images,
        extrapolated from it. ``direct`` and ``cascade``: the probes that were measured, with the ratios of both to
        them.
    """
    trained = truth.points[truth.points["train_seconds"].notna()]
    keys = keys_of(results.spec)
    # Only points of both sweeps if there are any: cost depends on depth.
    probed = results.points.merge(trained[keys], on=keys) if results is not truth else trained
    probed = probed if len(probed) else results.points
    training = {"seconds": trained["train_seconds"].mean(), "flops": trained["train_flops"].mean()}
    seen = (trained["train_epochs"] * trained["train_images"]).astype(float)
    per_image = {k: (trained[f"train_{k}"] / seen).mean() for k in training}
    means: dict[str, Any] = {
        "training": {**training, "images_seen": seen.mean()},
        "paper": {k: v * _PAPER_IMAGES for k, v in per_image.items()},
    }
    for probe in ("direct", "cascade"):
        cost = {k: probed[f"{probe}_{k}"].astype(float).mean() for k in training}
        if math.isfinite(cost["seconds"]):
            means[probe] = cost | {
                f"{against}_over_probe_{k}": means[against][k] / cost[k]
                for against in ("training", "paper")
                for k in cost
            }
    return means
