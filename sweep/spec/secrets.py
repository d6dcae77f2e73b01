"""Recognition of passwords and keys in URIs."""

from urllib.parse import unquote

_SECRETS = ("key", "secret", "token", "password", "passwd", "pwd", "signature")  # in names of a URI's options


def holds_secret(uri: str) -> bool:
    """Return whether a URI holds a password or a key: ``s3://key:secret@bucket``, ``?access_key=...``."""
    scheme, _, rest = uri.partition("://")
    before, at, _ = rest.rpartition("@")  # the whole of it: a secret may hold slashes
    place, _, query = rest.partition("?")
    if (at and ":" in before) or (scheme.lower() == "s3" and set("@:") & set(place.partition("/")[0])):
        return True
    names = [unquote(option.partition("=")[0]).lower() for option in query.replace(";", "&").split("&")]
    return any(name == "sig" or any(word in name for word in _SECRETS) for name in names)
