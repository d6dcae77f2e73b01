r"""The most robust place of a plane: deepest inside the trainable band, as far as its uncertainty lets one say.

==========  ======================================================================  ======================
symbol      meaning                                                                 shape
==========  ======================================================================  ======================
m, s        mean and standard deviation of the modelled margin at places            ``[sigma_b, sigma_w]``
cap         largest margin that was measured: the model may rise beyond what a      scalar
            probe can see
r           margin that can be relied on: ``min(m, cap) - 1.645 s``                 ``[sigma_b, sigma_w]``
R           information that is retained after the last layer, as modelled          ``[sigma_b, sigma_w]``
core        places where r is at least half of the largest r                        ``[sigma_b, sigma_w]``
distance    from a place of the core to the nearest one that is not in it, as a     ``[sigma_b, sigma_w]``
            share of the ranges, sigma_w on a log scale
==========  ======================================================================  ======================

The largest margin alone is no good advice. Along the critical line it is nearly constant, so noise would decide where
on the line to go, and it says nothing about what happens to a network whose sigmas are a little off. So the advice is
the place of the core that is farthest from its edge: the centre of the largest disc that fits in. Half the margin is an
inner band: what is lost from its middle to its edge is as much as what is lost from there to the boundary. The disc
comes to lie where the band is widest, and in the middle between order and chaos.

Where ``m >= cap`` in most of the core, and the cap is only a lower bound of a margin, margins say no more than that the
network is shallow for the probe: it sees no edge of a band. What tells such places apart is how much they retain. So
the core is narrowed, by the same rule, to places where R is at least half of the largest R in it.

The ends of the ranges count as edges, since what lies behind them was not measured, but for the lower one of sigma_b:
no network has less than no biases. Of discs that are about equally large, as along a band of one width, the one with
the smallest biases is taken, which is what networks are made with if nothing speaks against it.

Where no r is positive, no place is good for certain, and half of the largest r means nothing. The place with the
largest r comes nearest, but the model cannot tell it from *near-ties*, whose r is lower by no more than the uncertainty
``1.645 s`` of the best one. For many activations the margin hardly changes along the critical line, and noise would
decide where on it to go, at times for the largest biases. So of the near-ties those with the smallest biases are taken,
and of these the one with the largest r.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from sweep.model.estimate import NORMAL_90

_CORE = 0.5  # of the largest reliable margin, or of the largest retained information
_MOST = 0.5  # of the core: from here on, a bound of the margin hides its largest part
_EQUAL = 0.8  # of the largest distance: from here on, distances count as equal


def most_robust(
    mean: np.ndarray, deviation: np.ndarray, cap: float, retained: np.ndarray | None = None
) -> tuple[int, int]:
    """Return the row and the column of the most robust place of a grid.

    Parameters
    ----------
    mean, deviation:
        ``[sigma_b, sigma_w]``: mean and standard deviation of the margin, at evenly spaced values of sigma_b (or one)
        and of the logarithm of sigma_w, both ascending.
    cap:
        Largest margin that was measured.
    retained:
        ``[sigma_b, sigma_w]``: information that is retained after the last layer, where the cap is only a lower bound.

    Returns
    -------
    row, column
        Of the middle of the core. If there is no place whose margin is reliably positive, those of the place that comes
        nearest: of the near-ties, with the smallest biases.
    """
    reliable = np.minimum(mean, cap) - NORMAL_90 * deviation
    best = reliable.max()
    if best <= 0:
        return _nearest(mean, deviation, reliable)
    core = reliable >= _CORE * best
    if retained is not None and (mean[core] >= cap).mean() >= _MOST:
        kept = np.maximum(retained, 0)  # the model may fall below what can be
        core &= kept >= _CORE * kept[core].max()
    return _middle(core, reliable)


def _middle(core: np.ndarray, reliable: np.ndarray) -> tuple[int, int]:
    """Return the row and the column of the core that are farthest from its edge; of about equals, the first row."""
    rows, columns = core.shape
    one_row = rows == 1
    padded = np.pad(core, ((0, 0 if one_row else 1), (1, 1)))
    steps = (1.0 if one_row else 1 / (rows - 1), 1 / (columns - 1))
    distance = distance_transform_edt(padded, sampling=steps)[:rows, 1:-1]
    row = int(np.flatnonzero((distance >= _EQUAL * distance.max()).any(1))[0])
    middle = distance[row] >= distance[row].max() - 1e-9  # several columns, where the nearest edge is one of sigma_b
    return row, int(np.argmax(np.where(middle, reliable[row], -np.inf)))


def _nearest(mean: np.ndarray, deviation: np.ndarray, reliable: np.ndarray) -> tuple[int, int]:
    """Return the row and the column of the place that comes nearest to being trainable for certain.

    Places that are probably trainable come before all others.
    """
    best = _largest(_preferred(mean >= 0, reliable))
    ties = reliable >= reliable[best] - NORMAL_90 * deviation[best]
    row = int(np.flatnonzero(ties.any(1))[0])
    return row, int(np.argmax(_preferred(ties[row] & (mean[row] >= 0), np.where(ties[row], reliable[row], -np.inf))))


def _preferred(wanted: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values of the wanted places, and minus infinity elsewhere; all values if no place is wanted."""
    return np.where(wanted, values, -np.inf) if wanted.any() else values


def most_promising(mean: np.ndarray, deviation: np.ndarray) -> tuple[int, int]:
    """Return the row and the column of the place where the margin may be largest, by its upper bound."""
    return _largest(mean + NORMAL_90 * deviation)


def _largest(values: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(np.argmax(values), values.shape)
    return int(row), int(column)
