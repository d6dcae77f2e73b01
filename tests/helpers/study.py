"""Measuring without a probe what a study asks for."""


def rows_of(points, margin=None, status="ok"):
    """Return rows of points that were measured: by default with a boundary around sigma_w = 1.3."""
    return [
        {
            "sigma_w": p.sigma_w,
            "sigma_b": p.sigma_b,
            "depth": p.depth,
            "seed": p.seed,
            **dict(p.extra),
            "status": status,
            "margin": (0.5 - abs(p.sigma_w - 1.3)) if margin is None else margin,
            "margin_censored": False,
        }
        for p in points
    ]


def drain(study, pack=4, lose=()):
    """Measure until nothing is left, and return the rows; every pack whose number is in ``lose`` is never told."""
    rows, number = [], 0
    while points := study.ask(pack):
        if number not in lose:
            new = rows_of(points)
            study.tell(new)
            rows += new
        number += 1
    return rows


def places(rows):
    """Return the set of places of rows, with their values on further axes."""
    other = ("seed", "status", "margin", "margin_censored")
    return {tuple(value for name, value in r.items() if name not in other) for r in rows}
