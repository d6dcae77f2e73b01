"""Functions that write values and messages for people and for JSON."""

import math

_LOOKALIKES = dict(zip("▁▂▃▄▅▆▇█░·×✓✗", "_.-=+*%#.-x+x", strict=True)) | {"→": "->", "…": "...", "σ": "sigma_"}


def finite(value: float) -> float | None:
    """Return a number for JSON, which knows neither NaN nor infinity: None in their place."""
    return float(value) if math.isfinite(value) else None


def one_line(error: BaseException) -> str:
    """Return what an error says in one line: the system's reason where it has one."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())[:500]
    return printable(text) or type(error).__name__


def printable(text: str) -> str:
    """Return a text, which may come from anybody, with control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def encodable(text: str, encoding: str | None) -> str:
    """Return a text with the characters that an encoding lacks replaced by others that look alike, or else escaped."""

    def replaced(character: str) -> str:
        try:
            character.encode(encoding or "utf-8")
        except UnicodeEncodeError:
            escaped = character.encode("ascii", "backslashreplace").decode()
            return _LOOKALIKES.get(character, escaped)
        return character

    return text if text.isascii() else "".join(map(replaced, text))


def duration(seconds: float) -> str:
    """Return a time as ``12 s``, ``3 min 20 s``, ``2 h 05 min`` or ``12 days``."""
    s = round(min(seconds, 1e12))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min" if s < 10 * 86400 else f"{s // 86400} days"
