"""A made-up phase diagram with a known critical line, to test estimates, tables and pictures on."""

import numpy as np

from probes import Measurement, Point
from probes.definition import CURRENT_DEFINITION

# Ranges of sweeps with every number of free axes.
FIXED: list[dict] = [
    {},
    {"sigma_b": (0.3, 0.3)},
    {"sigma_w": (1.2, 1.2)},
    {"depth": (20, 20)},
    {"sigma_b": (0.3, 0.3), "depth": (20, 20)},
    {"sigma_w": (1.2, 1.2), "depth": (20, 20)},
    {"sigma_w": (1.2, 1.2), "sigma_b": (0.3, 0.3)},
    {"sigma_w": (1.2, 1.2), "sigma_b": (0.3, 0.3), "depth": (20, 20)},
]


def true_critical(sigma_b):
    """Critical sigma_w of the made-up landscape."""
    return 1.1 + 0.5 * np.asarray(sigma_b)


def true_horizon(sigma_w, sigma_b):
    """A ridge 40 layers high."""
    return 40 * np.exp(-3 * np.log(np.asarray(sigma_w) / true_critical(sigma_b)) ** 2)


def width_factor(point):
    """How many times as high the ridge is for networks of a width, if points have one."""
    return (dict(point.extra).get("width", 64) / 64) ** 0.5


def trains_at(rate):
    """Whether networks can be trained with a learning rate, where the probe says so."""
    return 0.01 <= rate <= 0.3


def made_up(point, cap=np.inf, status="ok"):
    """A measurement as the direct probe would make it on the made-up landscape."""
    if status == "failed":
        return Measurement(point, "failed", "RuntimeError: <b>no & luck</b>")
    horizon = width_factor(point) * float(true_horizon(point.sigma_w, point.sigma_b))
    censored = horizon > cap * point.depth
    horizon = min(horizon, cap * point.depth)
    values = {
        "direct_retained": 0.3,
        "direct_horizon": CURRENT_DEFINITION.share("direct_horizon") * horizon,
        "direct_horizon_censored": censored,
        "trainable_depth": horizon,
        "trainable_depth_censored": censored,
        "margin": float(np.log(horizon / point.depth)),
        "margin_censored": censored,
        "chi_1": 1.0,
        "xi_c": np.inf,
        "probe_steps": 0,
        "direct_seconds": 0.1,
    }
    profile = np.linspace(1, 0.3, point.depth)
    return Measurement(point, status, "", values, {"direct_retained": profile})


def made_up_sweep(path, spec=None, count=64, cap=np.inf, failed=0, rows_a_part=16, shift=None):
    """A sweep directory as a finished sweep leaves it, on the made-up landscape.

    With ``shift``, all networks were trained, with success where the margin exceeds it and the learning rate is a good
    one, if it is an axis.
    """
    from sweep.results.loading import load
    from sweep.spec.rows import row
    from sweep.spec.spec import SweepSpec
    from sweep.storage.store import Store
    from sweep.storage.sweep_files import SPEC_FILE

    spec = spec or SweepSpec(points=max(count, 1))
    path.mkdir()
    spec.save(path / SPEC_FILE)
    store = Store(path, spec.digest, spec.further_names)
    store.create()
    rng, rows = np.random.default_rng(0), []
    for i in range(count):
        point = Point(
            float(rng.uniform(*spec.sigma_w)),
            float(rng.uniform(*spec.sigma_b)),
            int(rng.integers(spec.depth[0], spec.depth[1] + 1)),
            i,
            tuple((axis.name, axis.at(float(rng.random()))) for axis in spec.further_axes),
        )
        m = made_up(point, cap, "failed" if i < failed else "ok")
        truth = {}
        if shift is not None and m.status == "ok":
            good = m.values["margin"] > shift and trains_at(dict(point.extra).get("lr", 0.1))
            truth = {"accuracy": 0.9 if good else 0.1, "chance": 0.1}
        rows.append(row(m, pack=1, device="cpu", hostname="here", finished=1e9 + i, **truth))
    for i in range(0, count, rows_a_part):
        store.write(rows[i : i + rows_a_part])
    return load(path)
