import numpy as np

from sweep.model.crossings import falls, outer_crossings, rises

X = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
NAN = np.nan


def test_every_crossing_by_hand():
    curve = np.array([-1.0, 1, -3, 0, 2])
    np.testing.assert_allclose(rises(X, curve), [1.5, NAN, 4, NAN])
    np.testing.assert_allclose(falls(X, curve), [NAN, 2.25, NAN, NAN])


def test_outer_crossings_by_hand():
    curves = np.array([[-1.0, 1, -1, 1, -3], [1.0, 1, 1, 1, 1], [-1.0, -1, -1, -1, 0.5], [2.0, -1, -1, 3, 3]])
    outer = [[1.5, 4.25], [NAN, NAN], [4 + 2 / 3, NAN], [3.25, 1 + 2 / 3]]
    np.testing.assert_allclose(outer_crossings(X, curves), outer)
    np.testing.assert_allclose(outer_crossings(X, curves.reshape(2, 2, 5)), np.reshape(outer, (2, 2, 2)))
