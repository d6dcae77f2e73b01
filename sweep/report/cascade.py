"""What the cascade measured over (sigma_w^2, layer), as data for JSON."""

from typing import Any

import numpy as np

from sweep.analysis.published import CASCADE_PROFILES, cascades_at, cutoff_agreement
from sweep.report.data import numbers
from sweep.results.results import Results
from sweep.text import printable

_MAX_NETWORKS, _MAX_LAYERS = 80, 100


def cascade_data(results: Results) -> dict[str, Any] | None:
    """Return the cascade's profiles of networks in order of sigma_w, near the middle of the range of sigma_b.

    Returns
    -------
    dict or None
        ``sigma_b``; ``variance``: sigma_w^2 of each network; ``layers``: the layers shown; ``values``: each profile as
        ``[layer, network]``, None beyond the depth of a network; ``cutoff``, ``theory`` (6 xi_c) and ``horizon``: in
        layers, of each network; ``agreement`` of the first two, in words. None without cascades of several sigma_w.
    """
    sigma_b = sum(results.spec.sigma_b) / 2
    networks = cascades_at(results.points, results.spec, sigma_b)
    if len(networks) < 2:
        return None
    if len(networks) > _MAX_NETWORKS:
        networks = networks.iloc[np.linspace(0, len(networks) - 1, _MAX_NETWORKS).round().astype(int)]
    deepest = int(networks["depth"].max())
    layers = np.unique(np.linspace(1, deepest, min(deepest, _MAX_LAYERS)).round().astype(int))
    names = [n for n in CASCADE_PROFILES if networks[n].notna().any()]
    rows = results.profiles_at(points=networks, layer=layers.tolist(), columns=names)
    agreement = cutoff_agreement(results.points)
    values = {}
    for name in names:
        table = rows.pivot_table(index="layer", columns="sigma_w", values=name)
        values[name] = numbers(table.reindex(index=layers, columns=networks["sigma_w"]), 4)
    return {
        "sigma_b": sigma_b,
        "variance": numbers(networks["sigma_w"] ** 2),
        "layers": layers.tolist(),
        "values": values,
        "cutoff": numbers(networks["cascade_cutoff"].astype(float) + 1),
        "theory": numbers(6 * networks["xi_c"]),
        "horizon": numbers(networks["cascade_correlation_horizon"]),
        "agreement": printable(str(agreement)) if agreement else None,
    }
