"""Errors that users meet: the message of each is one line that says what to do."""


class StoreError(OSError):
    """Raised when the location of the results cannot be used."""


class SpecError(ValueError):
    """Raised for bad input; the message names the argument, its value and what is allowed."""
