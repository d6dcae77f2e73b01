"""The live view in a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.helpers import ROOT

pyte = pytest.importorskip("pyte", reason="pyte, a terminal to look at, is missing")

NOISY = """
import os, sys, time
from sweep.monitor.screen import Screen
from sweep.monitor.view import View
screen = Screen(lambda: View(location="runs/first", total=64, done=int(time.time()) % 64), sys.stderr)
screen.open()
os.write(2, b"(raylet) from below \\x1b[31mred\\x1b[0m\\n")
print("from Python", flush=True)
sys.stderr.write("half a line")
try:
    time.sleep(60)
finally:
    screen.close()
    print("the summary")
"""


@pytest.fixture
def pty_of():
    """Runs a command in a terminal of 80 x 24, and stops it when a text appears; the screen then, and at the end."""

    def run(arguments, until, env=(), stop=signal.SIGINT, cwd=None, size=(24, 80), **group):
        parent, child = pty.openpty()
        fcntl.ioctl(parent, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **dict(env)}
        process = subprocess.Popen(
            arguments,
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment,
            cwd=cwd,
            **(group or {"start_new_session": True}),
        )
        os.close(child)
        terminal = pyte.HistoryScreen(80, 24, history=1000)
        stream, before = pyte.ByteStream(terminal), None
        deadline = time.monotonic() + 120
        while True:
            assert time.monotonic() < deadline, "\n".join(terminal.display)
            if select.select([parent], [], [], 0.2)[0]:
                try:
                    stream.feed(os.read(parent, 65536))
                except OSError:  # the other end is closed
                    break
            elif before is None and until("\n".join(terminal.display)):
                before = list(terminal.display), {c.bg for row in terminal.buffer.values() for c in row.values()}
                if callable(stop):
                    stop(process, lambda: stream.feed(os.read(parent, 65536)) or terminal)
                elif stop is not None:
                    process.send_signal(stop)
        os.close(parent)
        return process.wait(30), before, terminal

    return run


def test_what_others_write_goes_above_and_the_cursor_comes_back(pty_of):
    code, (before, _), terminal = pty_of([sys.executable, "-c", NOISY], lambda text: "from Python" in text)
    assert code != 0
    rows = [text.rstrip() for text in before if text.strip()]
    assert rows[:2] == ["(raylet) from below red", "from Python"] and rows[2].startswith("runs/first")
    assert "/64" in rows[3]
    after = [text.rstrip() for text in terminal.display if text.strip()]
    assert after[:4] == ["(raylet) from below red", "from Python", "half a line", "the summary"]
    assert "KeyboardInterrupt" in after[-1] and not terminal.cursor.hidden


def test_a_terminal_that_does_not_know_its_size(pty_of):
    _, (before, _), terminal = pty_of([sys.executable, "-c", NOISY], lambda text: "from Python" in text, size=(0, 0))
    assert "runs/first" in "".join(before) and "the summary" in "".join(terminal.display)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_stopped_for_a_while_and_gone_on_with(pty_of):
    def stop(process, feed):
        process.send_signal(signal.SIGTSTP)
        end = time.monotonic() + 20
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not feed().cursor.hidden
        process.send_signal(signal.SIGCONT)
        while not feed().cursor.hidden:
            pass
        process.send_signal(signal.SIGINT)

    code, _, terminal = pty_of(
        [sys.executable, "-c", NOISY], lambda text: "from Python" in text, stop=stop, process_group=0
    )
    assert code != 0 and not terminal.cursor.hidden
    history = "".join("".join(c.data for c in row.values()) for row in terminal.history.top)
    assert "the summary" in history + "".join(terminal.display)  # above a traceback of some length


def test_a_sweep_in_a_terminal(pty_of, tmp_path):
    command = [sys.executable, "-m", "sweep", "run", "--out", "first", "--probe", "direct", "--images", "1500"]
    command += ["--depth", "3", "40", "--points", "200", "--pack", "4"]  # long enough to be looked at on a fast machine
    environment = {"PYTHONPATH": str(ROOT)}
    code, (before, colours), terminal = pty_of(
        command, lambda text: "edge" in text and "2 trials" in text, environment, stop=None, cwd=tmp_path
    )
    assert code == 0
    text = "\n".join(before)
    assert before[0].startswith("first  digits · mlp tanh · boundary") and "/200" in before[1]
    assert "points in 2 trials" in text and "× CPU" in text and ("points/s" in text or "points/min" in text)
    assert re.search("[\u2801-\u28ff]", text) and "trainable to 3" in text and len(colours) > 10
    after = "\n".join(terminal.display)
    assert "results   first" in after and "trainable to 3" not in after and not terminal.cursor.hidden
    history = "".join("".join(c.data for c in row.values()) for row in terminal.history.top) + after
    assert "200/200 done  0 running  0 failed" in history and "200 points: 200 ok" in history
    assert not (tmp_path / "first" / "live.json").exists()


@pytest.mark.parametrize("colour", [{"NO_COLOR": "1"}, {"COLORTERM": "", "TERM": "xterm"}], ids=["none", "sixteen"])
def test_few_colours(pty_of, colour):
    code = """
import sys, time
import numpy as np
from sweep.model.estimate import Outline
from sweep.monitor.screen import Screen
from sweep.monitor.view import View
x, y = np.linspace(0.5, 2.5, 48), np.linspace(0, 1, 24)
share = np.exp(-((x[None] - 1.2 - y[:, None] / 2) ** 2) * 4)
outline = Outline(("sigma_w", "sigma_b"), x, y, share, {20: share - 0.5}, 1.2 + y / 2)
ranges = {"sigma_w": (0.5, 2.5), "sigma_b": (0.0, 1.0)}
view = View(location="x", total=9, ranges=ranges, depths=(5, 60), outline=outline)
screen = Screen(lambda: view, sys.stdout)
screen.open()
time.sleep(60)
"""
    _, (before, colours), _ = pty_of([sys.executable, "-c", code], lambda text: "critical" in text, colour)
    text = "\n".join(before)
    assert colours == {"default"} and "▀" not in text
    assert all(c in text for c in "·░▒▓┃⡇") and "20" in text
