"""Prediction against truth as data for JSON."""

from typing import Any

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.report.data import numbers, safe_text
from sweep.results.results import Results
from sweep.text import finite

_TRAINED = 500  # points that prediction and truth are compared at


def truth_data(results: Results) -> dict[str, Any] | None:
    """Return how prediction and truth compare, at most at so many trained points; None if none was trained."""
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
        "meaning": {name: STATISTICS[name].meaning for name in map(str, table.index)},
        "roc": _roc_curves(above, {name: compared[f"score_{name}"].to_numpy(float) for name in table.index}),
        "score": numbers(compared[f"score_{comparison.default}"]),
        "accuracy": numbers(compared["accuracy"]),
        "above": above.tolist(),
        "depth": compared["depth"].tolist(),
    }


def _sampled(results: Results, trained: pd.Series) -> Results:
    """Return results with at most so many of the trained points, and of the others."""
    sample = Results(results.files, results.spec, results.store)
    kinds = (results.points[trained], results.points[~trained])
    sample.points = pd.concat([k.sample(min(_TRAINED, len(k)), random_state=0) for k in kinds]).sort_index()
    return sample


def _roc_curves(truth: np.ndarray, scores: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """Return shares wrongly and rightly taken for trainable, of each score that is known at every point."""
    from sklearn.metrics import roc_curve

    curves = {}
    for name, score in scores.items():
        if np.isfinite(score).all():
            wrong, right, _ = roc_curve(truth, score)
            curves[name] = [numbers(wrong, 4), numbers(right, 4)]
    return curves
