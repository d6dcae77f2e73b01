"""Errors that the input of the probes may have."""


class DatasetError(ValueError):
    """An error in a data set, or in reading one; the message is one line."""
