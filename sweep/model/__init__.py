"""Estimation of the boundary and the critical line from measured points."""
