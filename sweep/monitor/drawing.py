"""The live view as lines of text for a terminal."""

import math
from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from sweep.monitor.diagram import MARGIN, PhaseDiagram
from sweep.monitor.view import View, line_of, speed
from sweep.storage.heartbeat import Running
from sweep.text import duration

_NARROWEST, _LOWEST = 44, 9  # what can be drawn in; below, a line
_WIDEST, _LEAST, _MOST = 100, (24, 5), (88, 20)  # columns of text; columns and rows of the plot


def live_view(view: View, width: int, height: int, colours: bool = True) -> RenderableType:
    """Return the view in so many columns and rows; ``colours``: whether there are more than sixteen."""
    if width < _NARROWEST or height < _LOWEST:
        return Text(line_of(view, width), no_wrap=True)
    wide = min(width, _WIDEST)
    texts = _texts(view, wide)
    for text in texts:
        text.no_wrap, text.overflow = True, "ellipsis"
        text.truncate(wide, overflow="ellipsis")
    room = height - len(texts) - 4  # a blank line, the axis, its numbers, the legend
    rows = min(room, _MOST[1], max(_LEAST[1], wide // 4))
    columns = min(wide - MARGIN - 2, _MOST[0])
    if len(view.ranges) == 2 and rows >= _LEAST[1] and columns >= _LEAST[0]:
        return Group(*texts, Text(""), PhaseDiagram(view, columns, rows, colours))
    return Group(*texts)


def _texts(view: View, width: int) -> list[Text]:
    """Return the lines above the phase diagram."""
    texts = [_header(view, width), _bar(view, width), _running(view, width)]
    if view.trouble:
        texts.append(Text(f" WAITING FOR THE STORAGE: {view.trouble} ", style="bold white on red"))
    if view.failed:
        error = f"  last error: {view.last_error}" if view.last_error else ""
        texts.append(Text.assemble((f"{view.failed} failed", "bold red"), error))
    if view.found:
        texts.append(Text(_fitting(view.found, width)))
    return texts


def _fitting(parts: Sequence[str], width: int) -> str:
    """Return as many of the parts as fit; the first one anyhow."""
    count = next((n for n in range(len(parts), 1, -1) if len("   ".join(parts[:n])) <= width), 1)
    return "   ".join(parts[:count])


def _header(view: View, width: int) -> Text:
    """Return where, what, and for how long."""
    text = Text(view.location, style="bold")
    text.append(f"  {view.about}", style="dim not bold")
    since = duration(view.elapsed)
    text.truncate(max(1, width - len(since) - 2), overflow="ellipsis", pad=True)
    return text.append(f"  {since}", style="not bold")


def _bar(view: View, width: int) -> Text:
    """Return a bar with its numbers: ━━━━━━────  17/64  27 %  ETA 12 s."""
    counted = view.done + view.failed
    share = min(1.0, counted / max(1, view.total))
    numbers = f"  {counted}/{view.total}  {math.floor(100 * share)} %  ETA {view.eta}"
    room = max(10, width - len(numbers))
    full = round(room * share)
    failed = min(full, math.ceil(room * view.failed / max(1, view.total))) if view.failed else 0
    return Text.assemble(
        ("━" * (full - failed), "green" if counted >= view.total else "cyan"),
        ("━" * failed, "red"),
        ("─" * (room - full), "dim"),
        (numbers, "bold"),
    )


def _running(view: View, width: int) -> Text:
    """Return how fast points come in, and what runs where."""
    text = Text(f"{speed(view.rate):<16}" if view.rate else "")
    if not view.running:
        return text.append(f"{view.note} ..." if view.note else "nothing is running", style="dim")
    points, trials = (sum(getattr(r, n) for r in view.running) for n in ("points", "trials"))
    text.append(f"{points} point{'s' * (points != 1)} in {trials} trial{'s' * (trials != 1)}")
    nodes = _nodes(view.running)
    for i, node in enumerate(nodes):
        more = f"   and {len(nodes) - i} more" if len(nodes) > i + 1 else ""
        if len(text) + len(node) + len(more) > width and i:
            return text.append(f"   and {len(nodes) - i} more")
        text.append(node)
    return text


def _nodes(running: Sequence[Running]) -> list[Text]:
    """Return what runs on each node, the busiest first; trials that have no node yet come last."""
    nodes: dict[str, Counter[str]] = {}
    for r in running:
        nodes.setdefault(r.host, Counter())[r.kind.upper()] += r.trials
    busiest = sorted(nodes.items(), key=lambda item: (not item[0], -item[1].total(), item[0]))
    texts = []
    for host, kinds in busiest:
        counts = " + ".join(f"{n} × {kind}" for kind, n in sorted(kinds.items(), reverse=True))
        texts.append(Text.assemble("   ", (counts, "cyan"), f" {host or 'starting'}"))
    return texts
