"""The error of a tracker."""


class TrackerError(Exception):
    """A tracker cannot log, for a reason that its message says in one line."""
