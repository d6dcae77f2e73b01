"""A sweep as one HTML file that needs no network: data as JSON, drawn in the browser by Plotly.

What comes from a sweep is data, never markup: it stands in the page as JSON, and the script of the page shows it as
text. A content security policy allows no other script than the two of the page, and no connection.
"""

import base64
import hashlib
import html
import json
from importlib import resources
from pathlib import Path
from typing import Any

from sweep.errors import SpecError
from sweep.report.content import content
from sweep.results.results import Results
from sweep.storage.files import replaced

REPORT = "report.html"
_ENDINGS = (".html", ".htm")
_SCRIPTS = ("dom.js", "charts.js", "phase.js", "point.js", "sections.js")


def write_report(results: Results, output: str | Path | None = None, reconstructions: int | None = 0) -> Path:
    """Write the report of a sweep into a file and return its path. That of a sweep at a URI is copied there.

    So many networks, spread over the sweep, are measured once more for their ``reconstructions``: as many as take some
    twenty seconds, if it is None.

    Raises
    ------
    SpecError
        Another ending than HTML, or a file that cannot be written.
    StoreError
        The URI cannot be written.
    """
    path = Path(output) if output else results.path / REPORT
    if path.suffix.lower() not in _ENDINGS:
        raise SpecError(f"`output` must end in {' or '.join(_ENDINGS)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise SpecError(f"`output` {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")
    text = page(content(results, reconstructions))
    try:
        with replaced(path, hidden=True) as beside:
            beside.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise SpecError(f"`output` {str(path)!r} cannot be written: {error.strerror or error}") from None
    if not output:
        results.files.publish(path)
    return path


def page(data: dict[str, Any]) -> str:
    """Return the page that shows the data of `content`."""
    from plotly.offline import get_plotlyjs

    scripts = {"plotly": get_plotlyjs(), "script": script()}
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts.values())
    fields = {
        "title": html.escape(data["title"]),
        "policy": " ".join(f"'sha256-{h}'" for h in hashes),
        "style": _part("style.css"),
        # What would end the element cannot stand in it: JSON has another way to write these.
        "data": json.dumps(data, allow_nan=False, separators=(",", ":"))
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e"),
        **scripts,
    }
    pieces = _part("index.html").split("{{")
    return pieces[0] + "".join(fields[name] + rest for name, _, rest in (p.partition("}}") for p in pieces[1:]))


def script() -> str:
    """Return the page's own script: its parts, one after the other in one scope."""
    return "".join(['"use strict";\n(() => {\n', *map(_part, _SCRIPTS), "})();\n"])


def _part(name: str) -> str:
    """Return the text of a file of the page."""
    return (resources.files("sweep.report") / "page" / name).read_text(encoding="utf-8")
