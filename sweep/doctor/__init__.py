"""Checks that this machine and cluster have all that a sweep needs, with advice where something is missing."""
