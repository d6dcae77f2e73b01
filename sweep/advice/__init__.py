"""Advice on which initialisation to use for a network, from a few measurements in this process."""
