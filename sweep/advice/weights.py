"""Which weights are advised where nobody has chosen their distribution: orthogonal ones, or normal ones.

At infinite width, signals and gradients go through both alike. At finite width normal weights differ from network to
network, the more so the deeper the networks are for their width, and a product of many of them stretches some
directions and shrinks others. Orthogonal ones keep all lengths and angles: with activations that are nearly linear, all
directions arrive at the last layer alike, and the number of training steps need not grow with the depth. Without any
activation this is proven: the width that normal weights need grows with the depth, that of orthogonal ones does not.
With relu, no weights bring all directions through alike, but with orthogonal ones less differs between networks. So
orthogonal weights are advised, unless the probe tells that networks with normal ones carry deeper.

It tells so by pairs, of equal sigmas and of equal seeds: both kinds of weights are made of the same normal numbers, and
are as alike as they can be.

==========  ======================================================================  ===========
symbol      meaning                                                                 shape
==========  ======================================================================  ===========
d           margin of the rival, minus that of the network it is compared with      ``[pairs]``
t           ``mean(d) / (sd(d) / sqrt(pairs))``: the rival is better if this is     scalar
            beyond the 95 % quantile of Student's distribution
==========  ======================================================================  ===========

References
----------
Saxe et al. 2013, arXiv:1312.6120; Pennington et al. 2017, arXiv:1711.04735; Hu et al. 2020, arXiv:2001.05992.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import t as student

from probes.initialisations import NORMAL, ORTHOGONAL
from probes.point import Measurement
from probes.settings import ProbeSettings

RIVALS = {ORTHOGONAL: NORMAL, NORMAL: ORTHOGONAL}
_CERTAINTY = 0.95


def drawn_with(settings: ProbeSettings, initialise: str) -> ProbeSettings:
    """Return the settings of networks, built-in ones or those of a user's function, whose weights are drawn anew."""
    if settings.network is None:
        return replace(settings, initialise=initialise)
    return replace(settings, network=replace(settings.network, initialise=initialise))


def is_better(pairs: Sequence[tuple[Measurement, Measurement]]) -> bool:
    """Return whether the second networks of pairs have the larger margins for certain.

    Pairs of which a network failed say nothing. Where the margin of a first network is only a lower bound, nothing is
    certain.
    """
    values = [(one.values, other.values) for one, other in pairs if "failed" not in (one.status, other.status)]
    if len(values) < 2 or any(one["margin_censored"] for one, _ in values):
        return False
    differences = np.array([other["margin"] - one["margin"] for one, other in values])
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    return bool(differences.mean() > student.ppf(_CERTAINTY, len(differences) - 1) * error)
