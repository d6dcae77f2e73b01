"""Names of the settings that points may have values of their own for, see `probes.point.Point.extra`."""

RATE = "lr"  # of training; the others are of built-in networks
OWN_SETTINGS = (RATE, "width", "residual_scale")
