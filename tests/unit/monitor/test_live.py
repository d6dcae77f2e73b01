import io
import os
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from probes import Point
from sweep.monitor.caught import CaughtOutput
from sweep.monitor.drawing import live_view
from sweep.monitor.estimator import Estimator
from sweep.monitor.rich_private import forget_drawn
from sweep.monitor.screen import Screen, supports_live_view
from sweep.monitor.tally import Tally
from sweep.monitor.view import View, line_of, view_of
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.heartbeat import Running, Sign
from tests.helpers.landscape import FIXED, made_up, true_critical, true_horizon

RUNNING = (Running("node-a", "gpu", 4, 16), Running("node-a", "cpu", 2, 2), Running("node-b", "cpu", 4, 16))


def tally_of(spec, count=64, failed=0):
    """The points of a sweep on the made-up landscape."""
    rng = np.random.default_rng(0)
    places = [[float(rng.uniform(*r)) for r in (spec.sigma_w, spec.sigma_b, spec.depth)] for _ in range(count)]
    points = [Point(w, b, round(d), i) for i, (w, b, d) in enumerate(places)]
    return Tally([row(made_up(p, 3, "failed" if i < failed else "ok")) for i, p in enumerate(points)])


def seen(count=64, failed=0, **spec):
    """The view of that sweep."""
    spec = SweepSpec(**{"points": 100, **spec})
    tally = tally_of(spec, count, failed)
    estimator = Estimator(spec, tally)
    estimator.estimate()
    return view_of(spec, "runs/first", 100, tally, estimator, Sign(RUNNING, 2.5, 42.0))


@pytest.fixture(scope="module")
def known():
    return seen(failed=2)


def screen(view, width, height, colours=True):
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(live_view(view, width, height, colours))
    return [text.rstrip() for text in console.export_text(clear=False).splitlines()], console


def plot(lines):
    """The rows of the plot, without its axis."""
    return [re.split("[┤│]", text, maxsplit=1)[1] for text in lines if re.match(" .{6}[┤│]", text)]


@pytest.mark.parametrize("width", [44, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [9, 14, 23, 50])
@pytest.mark.parametrize("colours", [True, False])
def test_it_fits_whatever_the_size(known, width, height, colours):
    lines, _ = screen(known, width, height, colours)
    assert len(lines) <= height and max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    for wanted in ("runs/first", "64/100", "64 %", "ETA 14 s", "2 failed", "2.5 points/s", "critical σw(0.55)"):
        assert wanted in text
    assert bool(plot(lines)) == (height >= 14)


def test_what_stands_where(known):
    lines, _ = screen(known, 100, 30)
    assert lines[0].startswith("runs/first  digits · mlp tanh · boundary") and lines[0].endswith("42 s")
    bar = lines[1].split()[0]
    assert set(bar) == {"━", "─"} and abs(bar.count("━") / len(bar) - 0.64) < 0.02
    assert lines[2] == "2.5 points/s    34 points in 10 trials   4 × GPU + 2 × CPU node-a   4 × CPU node-b"
    assert lines[3] == "2 failed  last error: RuntimeError: <b>no & luck</b>"
    assert re.match(r"critical σw\(0.55\) = 1.3\d \[1.3\d, 1.\d\d\]   boundary error [\d.]+ %", lines[4])
    assert lines[-2].split() == ["0.50", "σw", "2.50"] and "trainable to 5" in lines[-1] and "60 layers" in lines[-1]
    assert lines[6].startswith("  1.00 ┤") and lines[-4].startswith("  0.05 ┤")


@pytest.fixture(scope="module")
def well_known():
    return seen(200)


def test_the_boundary_stands_where_it_is(well_known):
    """Edges, their depths, and the critical line of a landscape that is known, to within two columns."""
    view = replace(well_known, recent=())
    lines, _ = screen(view, 120, 40, colours=False)
    rows = plot(lines)
    columns, depths = 88, sorted(d for d in view.outline.margins)
    sigma_b = 1.0 - (np.arange(len(rows)) + 0.5) / len(rows) * 0.95
    at = 0.5 + (np.arange(columns) + 0.5) / columns * 2
    assert len(rows) == 20 and len(depths) == 2
    for text, b in zip(rows, sigma_b, strict=True):
        text = text.ljust(columns)
        assert abs(at[text.index("┃")] - true_critical(b)) < 0.06
        ends = np.concatenate([_ends(b, d) for d in depths])
        inside = ends[(ends > 0.6) & (ends < 2.4)]
        drawn = at[[j for j, c in enumerate(text) if 0x2800 < ord(c) < 0x2900]]
        assert len(drawn) and all(np.abs(ends - x).min() < 0.1 for x in drawn)
        assert all(min(np.abs(drawn - x).min(), abs(x - true_critical(b))) < 0.1 for x in inside)
    labels = sorted(int(n) for text in rows for n in re.findall(r"\d+", text))
    assert labels == depths
    # The shades grow towards the critical line.
    middle = rows[10].ljust(columns)
    darkness = [" ·░▒▓".find(c) for c in middle]
    ridge = middle.index("┃")
    assert darkness[0] <= 1 and max(darkness[ridge - 4 : ridge + 4]) >= 3


def _ends(sigma_b, depth):
    """The ends of the made-up landscape's trainable band."""
    half = np.sqrt(np.log(40 / depth) / 3) if depth < 40 else np.nan
    return true_critical(sigma_b) * np.exp([-half, half])


def test_colours_are_those_of_the_depth_to_which_networks_train(well_known):
    view = well_known
    share = view.outline.trainable
    w, b = np.meshgrid(view.outline.x, view.outline.y)
    true = np.log(np.clip(true_horizon(w, b), 5, 60) / 5) / np.log(12)
    assert np.abs(share - true).max() < 0.12 and np.abs(share - true).mean() < 0.02
    _, console = screen(view, 80, 23)
    _, plain = screen(view, 80, 23, colours=False)
    assert len(set(re.findall("#[0-9a-f]{6}", console.export_svg(clear=False)))) > 20
    assert "48;2;" in console.export_text(styles=True) and "48;2;" not in plain.export_text(styles=True)


def test_it_sharpens_as_points_come_in():
    """Where depth is fixed the colour is a probability, and fewer places are in doubt."""
    doubt = [np.mean(s * (1 - s)) for s in (seen(n, depth=(20, 20)).outline.trainable for n in (10, 30, 100))]
    assert doubt[0] > 2 * doubt[1] > 2 * doubt[2]


@pytest.mark.parametrize("fixed", FIXED, ids=str)
def test_any_axes(fixed):
    view = seen(40, **fixed, search="grid")
    lines, _ = screen(view, 80, 23)
    free = [a for a in ("sigma_w", "sigma_b", "depth") if a not in fixed]
    assert bool(plot(lines)) == (len(free) >= 2)
    if len(free) >= 2:
        names = {"sigma_w": "σw", "sigma_b": "σb", "depth": "depth"}
        assert names[free[0]] in lines[-2] and any(t.split("│")[0].strip() == names[free[1]] for t in lines)
        assert ("P(trainable)" in lines[-1]) == (len(free) == 2)


def test_before_anything_is_known():
    lines, _ = screen(
        View(location="x", total=64, note="starting Ray", ranges={"sigma_w": (0.5, 2), "depth": (5, 60)}), 80, 23
    )
    text = "\n".join(lines)
    assert "starting Ray ..." in text and "0/64  0 %  ETA ?" in text and "appears as points come in" in text
    assert set("".join(plot(lines)).strip()) == set()


def test_points_are_shown_as_they_come_in(known):
    lines, _ = screen(replace(known, outline=None, recent=((0.5, 0.05, True), (2.5, 1.0, False))), 80, 23)
    rows = plot(lines)
    assert rows[-1][0] == "•" and rows[0][-1] == "◦" and "".join(rows).count("•") == 1


def test_trouble_is_prominent(known):
    for width, height in ((80, 23), (40, 5)):
        lines, console = screen(replace(known, trouble="WAITING FOR THE STORAGE: the disk is full"), width, height)
        assert "WAITING FOR THE STORAGE" in "\n".join(lines)
    assert "48;2" not in console.export_text(styles=True, clear=False)
    _, console = screen(replace(known, trouble="WAITING FOR THE STORAGE: the disk is full"), 80, 23)
    assert re.search(r"\x1b\[1;37;41m WAITING FOR THE STORAGE: the disk is full ", console.export_text(styles=True))


def test_many_nodes_are_summed_up(known):
    many = replace(known, running=[Running(f"node-{i}", "cpu", 2, 8) for i in range(50)])
    text = screen(many, 80, 23)[0][2]
    shown = text.count("node-")
    assert "400 points in 100 trials" in text and f"and {50 - shown} more" in text and shown >= 1


def test_small_terminals_get_a_line_of(known):
    for width, height in ((43, 24), (80, 8), (10, 2)):
        lines, _ = screen(known, width, height)
        assert len(lines) == 1 and cell_len(lines[0]) <= width and lines[0].startswith("████████")
    assert len(line_of(known)) > 80


def test_hostile_texts_are_shown_as_text():
    evil = "[red]\x1b[2J\x1b]0;owned\x07<b>\n"
    spec = SweepSpec(points=100, dataset=f"{evil}.npz")
    tally = Tally([{**row(made_up(Point(1.0, 0.1, 5, 1), status="failed")), "error": evil}])
    view = view_of(spec, evil, 100, tally, Estimator(spec, tally), Sign())
    lines, console = screen(view, 100, 23)
    assert len(lines) <= 23 and lines[0].startswith(r"[red]\x1b[2J\x1b]0;owned\x07<b>\n")
    assert "\x07" not in console.file.getvalue() and "\x1b[2J" not in console.file.getvalue()


@pytest.mark.parametrize(("term", "drawn"), [("xterm-256color", True), ("dumb", False), ("", False), (None, False)])
def test_which_terminals_are_drawn_on(term, drawn, monkeypatch):
    monkeypatch.setattr(os, "environ", {"TERM": term} if term is not None else {})

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert supports_live_view(Terminal()) == drawn and not supports_live_view(io.StringIO())


def test_a_view_costs_little(known):
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(live_view(known, 80, 23))
    started = time.process_time()
    for _ in range(50):
        console.print(live_view(known, 80, 23))
    assert (time.process_time() - started) / 50 < 0.02  # a second; 2 ms on a machine of 2024


def test_all_that_was_caught_is_given_back():
    caught = CaughtOutput()
    caught._file.write(b"x\n" * 2**21 + b"last words")
    caught._file.flush()
    assert caught.lines()[-1] == "x" and caught.lines(last=True) == ["last words"]


def test_a_screen_that_was_never_opened_closes_silently():
    stream = io.StringIO()
    Screen(View, stream).close()
    assert stream.getvalue() == ""


def test_a_view_that_was_drawn_is_forgotten():
    """Where rich has other names of its own, nothing happens."""
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    live = Live(Text("one\ntwo"), console=console, auto_refresh=False)
    live.start(refresh=True)
    assert "\x1b[1A" in str(live._live_render.position_cursor())  # up, over what it drew
    forget_drawn(live)
    assert "\x1b[1A" not in str(live._live_render.position_cursor())
    live.stop()
    forget_drawn(object())


def test_the_boundary_is_calibrated_by_trainings_as_they_come_in():
    trained = SweepSpec(points=64, train="all", statistic="direct_horizon")
    tally = tally_of(trained)
    tally.measured[:] = [p._replace(accuracy=0.9 if p.margin > 0.7 else 0.1, chance=0.1) for p in tally.measured]
    estimator = Estimator(trained, tally)
    estimator.estimate()
    assert estimator.shift == pytest.approx(0.7, abs=0.15) and "calibrated by 64 trainings" in estimator.estimates
    shown = view_of(trained, "x", 64, tally, estimator, Sign()).recent
    assert [good for *_, good in shown] == [p.margin >= estimator.shift for p in tally.measured[-len(shown) :]]
