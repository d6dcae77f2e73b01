"""The errors that users meet: each is one line that says what to do."""


class StoreError(OSError):
    """The place for the results cannot be used; the message is one line."""


class SpecError(ValueError):
    """Bad input: one line that names the argument, the value and what is allowed."""
