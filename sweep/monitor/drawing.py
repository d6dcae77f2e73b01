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

_MIN_COLUMNS, _MIN_ROWS = 44, 9  # of the terminal; a smaller one gets a single line
# Columns of text; columns and rows of the phase diagram.
_MAX_COLUMNS, _MIN_PLOT, _MAX_PLOT = 100, (24, 5), (88, 20)


def live_view(view: View, width: int, height: int, colours: bool = True) -> RenderableType:
    """Return the live view as rich prints it, no larger than a terminal of ``width`` columns and ``height`` rows.

    The phase diagram is left out where there is no room for it, and a terminal too small for the texts gets one line.
    ``colours`` says whether the terminal has more than sixteen colours.
    """
    if width < _MIN_COLUMNS or height < _MIN_ROWS:
        return Text(line_of(view, width), no_wrap=True)
    text_width = min(width, _MAX_COLUMNS)
    texts = _texts(view, text_width)
    for text in texts:
        text.no_wrap, text.overflow = True, "ellipsis"
        text.truncate(text_width, overflow="ellipsis")
    room = height - len(texts) - 4  # a blank line, the axis, its numbers, the legend
    rows = min(room, _MAX_PLOT[1], max(_MIN_PLOT[1], text_width // 4))
    columns = min(text_width - MARGIN - 2, _MAX_PLOT[0])
    if len(view.ranges) == 2 and rows >= _MIN_PLOT[1] and columns >= _MIN_PLOT[0]:
        return Group(*texts, Text(""), PhaseDiagram(view, columns, rows, colours))
    return Group(*texts)


def _texts(view: View, width: int) -> list[Text]:
    """Return the lines above the phase diagram."""
    texts = [_header(view, width), _bar(view, width), _running(view, width)]
    if view.trouble:
        texts.append(Text(f" {view.trouble} ", style="bold white on red"))
    if view.failed:
        error = f"  last error: {view.last_error}" if view.last_error else ""
        texts.append(Text.assemble((f"{view.failed} failed", "bold red"), error))
    if view.estimates:
        texts.append(Text(_fitting(view.estimates, width)))
    return texts


def _fitting(parts: Sequence[str], width: int) -> str:
    """Return as many of the parts as fit into a line, at least the first one."""
    count = next((n for n in range(len(parts), 1, -1) if len("   ".join(parts[:n])) <= width), 1)
    return "   ".join(parts[:count])


def _header(view: View, width: int) -> Text:
    """Return the first line: the sweep's location, what it measures, and the time since its driver started."""
    text = Text(view.location, style="bold")
    text.append(f"  {view.about}", style="dim not bold")
    elapsed = duration(view.elapsed)
    text.truncate(max(1, width - len(elapsed) - 2), overflow="ellipsis", pad=True)
    return text.append(f"  {elapsed}", style="not bold")


def _bar(view: View, width: int) -> Text:
    """Return the progress bar with its numbers: ━━━━━━────  17/64  27 %  ETA 12 s."""
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
    """Return the line with the recent speed and the running trials by node."""
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
    """Return a text for each node with its number of trials, the busiest first; trials without a node yet come last."""
    nodes: dict[str, Counter[str]] = {}
    for r in running:
        nodes.setdefault(r.host, Counter())[r.kind.upper()] += r.trials
    busiest = sorted(nodes.items(), key=lambda item: (not item[0], -item[1].total(), item[0]))
    texts = []
    for host, kinds in busiest:
        counts = " + ".join(f"{n} × {kind}" for kind, n in sorted(kinds.items(), reverse=True))
        texts.append(Text.assemble("   ", (counts, "cyan"), f" {host or 'starting'}"))
    return texts
