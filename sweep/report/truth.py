"""The comparison of prediction and truth, as data for JSON."""

from typing import Any

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.report.data import numbers, safe_text
from sweep.results.results import Results
from sweep.text import finite

_MAX_TRAINED = 500  # points at which prediction and truth are compared


def truth_data(results: Results) -> dict[str, Any] | None:
    """Return the comparison of prediction and truth, at 500 trained points at most; None if no point was trained."""
    from sweep.analysis.compare import compare
    from sweep.analysis.statistics import STATISTICS

    points = results.points
    trained = points["trainable"].notna()
    if not trained.any():
        return None
    head = {"trained": int(trained.sum()), "trainable": int(points["trainable"].sum()), "level": finite(results.level)}
    try:
        comparison = compare(_sampled(results, trained))
    except SpecError as error:
        return {**head, "why_not": safe_text(error)}
    compared, table = comparison.points, comparison.table
    above = compared["trainable"].to_numpy(bool)
    return {
        **head,
        "compared": len(compared),
        "default": comparison.default,
        "table": {
            str(name): {k: finite(float(v)) for k, v in row.items()} for name, row in table.to_dict("index").items()
        },
        "reliability": {
            "default calibration": comparison.default_reliability,
            "calibrated, cross-validated": comparison.reliability[comparison.default],
        },
        "meaning": {name: STATISTICS[name].meaning for name in map(str, table.index)},
        "roc": _roc_curves(above, {name: compared[f"score_{name}"].to_numpy(float) for name in table.index}),
        "score": numbers(compared[f"score_{comparison.default}"]),
        "accuracy": numbers(compared["accuracy"]),
        "above": above.tolist(),
        "depth": compared["depth"].tolist(),
    }


def _sampled(results: Results, trained: pd.Series) -> Results:
    """Return the results with a random sample of the trained points and one of the others, of 500 points at most."""
    sample = Results(results.files, results.spec, results.store)
    sample.calibration = results.calibration
    kinds = (results.points[trained], results.points[~trained])
    sample.points = pd.concat([k.sample(min(_MAX_TRAINED, len(k)), random_state=0) for k in kinds]).sort_index()
    return sample


def _roc_curves(truth: np.ndarray, scores: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """Return the false and true positive rates of each score that is finite at every point."""
    from sklearn.metrics import roc_curve

    curves = {}
    for name, score in scores.items():
        if np.isfinite(score).all():
            false_positive, true_positive, _ = roc_curve(truth, score)
            curves[name] = [numbers(false_positive, 4), numbers(true_positive, 4)]
    return curves
