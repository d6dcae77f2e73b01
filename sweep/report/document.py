"""The HTML file of the report, which needs no network: data as JSON, drawn in the browser by Plotly.

Whatever comes from a sweep is data, never markup: it is in the page as JSON, and the page's script shows it as text. A
content security policy allows no scripts but the two of the page, and no connections.
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
from sweep.spec.kinds import expanded
from sweep.storage.files import replaced

REPORT = "report.html"
_SUFFIXES = (".html", ".htm")
_SCRIPTS = ("dom.js", "charts.js", "phase.js", "further.js", "point.js", "truth.js", "sections.js")


def write_report(results: Results, output: str | Path | None = None, reconstructions: int | None = 0) -> Path:
    """Write the report of a sweep into a file.

    Parameters
    ----------
    results:
        The stored sweep.
    output:
        Path of the file. By default it is ``report.html`` in the sweep's directory or at its URI.
    reconstructions:
        The number of networks, spread over the sweep, that are measured once more for pictures of their
        reconstructions. If None, as many as take about twenty seconds.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SpecError
        The name does not end in .html or .htm, or the file cannot be written.
    StoreError
        The URI cannot be written.
    """
    path = Path(expanded(output)) if output else results.path / REPORT
    if path.suffix.lower() not in _SUFFIXES:
        raise SpecError(f"`output` must end in {' or '.join(_SUFFIXES)}, got {str(path)!r}")
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
    """Return the HTML page that shows the data of `content`."""
    from plotly.offline import get_plotlyjs

    scripts = {"plotly": get_plotlyjs(), "script": script()}
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts.values())
    fields = {
        "title": html.escape(data["title"]),
        "policy": " ".join(f"'sha256-{h}'" for h in hashes),
        "style": _part("style.css"),
        # Escape the characters that could end the script element.
        "data": json.dumps(data, allow_nan=False, separators=(",", ":"))
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e"),
        **scripts,
    }
    pieces = _part("index.html").split("{{")
    return pieces[0] + "".join(fields[name] + rest for name, _, rest in (p.partition("}}") for p in pieces[1:]))


def script() -> str:
    """Return the page's own script: the files of the folder ``page``, joined in one scope."""
    return "".join(['"use strict";\n(() => {\n', *map(_part, _SCRIPTS), "})();\n"])


def _part(name: str) -> str:
    """Return the text of a file in the folder ``page``."""
    return (resources.files("sweep.report") / "page" / name).read_text(encoding="utf-8")
