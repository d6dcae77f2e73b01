"""What probing a point costs, beside training it."""

import math
from typing import Any

from sweep.results.results import Results
from sweep.spec.columns import POINT

_PAPER_IMAGES = 200 * 60_000  # that the paper's protocol shows a network at most


def mean_cost(results: Results, truth: Results) -> dict[str, Any]:
    """Return means over the points, in seconds and floating point operations, of each probe and of training.

    ``training`` is what a probe replaces; ``paper`` is the published protocol (60,000 images 200 times), extrapolated
    from the training that was measured.
    """
    trained = truth.points[truth.points["train_seconds"].notna()]
    # The same points where there are any, for the depths differ.
    probed = results.points.merge(trained[list(POINT)], on=list(POINT)) if results is not truth else trained
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
