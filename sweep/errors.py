"""Errors that users meet: the message of each is one line that says what to do."""


class SpecError(ValueError):
    """Raised for bad input; the message names the argument, its value and what is allowed."""


class UnavailableError(OSError):
    """Raised when something that a sweep needs does not answer: a storage, a server, a cluster, or Ray itself."""


class StoreError(OSError):
    """Raised when the location of the results cannot be used."""


class RemoteStoreError(StoreError, UnavailableError):
    """Raised when the location of the results is not on this machine, and cannot be used."""
