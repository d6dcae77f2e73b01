"""The study of a sweep in optuna-dashboard, in a real browser."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from sweep.search.journal import JOURNAL
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from tests.helpers.study import rows_of

POINTS = 12


@pytest.fixture
def dashboard(tmp_path):
    """Opens a storage in the dashboard; gives the address."""
    program = shutil.which("optuna-dashboard", path=os.path.dirname(sys.executable))
    if program is None:
        pytest.skip("needs optuna-dashboard")
    started = []

    def open_dashboard(storage):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        words = [program, storage, "--port", str(port), "--server", "wsgiref", "--quiet"]
        with (tmp_path / "log").open("w") as log:
            started.append(subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, cwd=tmp_path))
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5).close()
                return f"http://127.0.0.1:{port}"
            except OSError:
                assert started[0].poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
        raise TimeoutError

    yield open_dashboard
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measured(spec, directory):
    """A sweep under way: one point failed, two are being measured."""
    study = SweepStudy(spec, directory)
    points = study.ask(POINTS)
    study.tell(rows_of(points[:-3]))
    study.tell(rows_of(points[-3:-2], status="failed"))
    return [r["margin"] for r in rows_of(points[:-3])]


def until(browser, script, wanted=bool):
    for _ in range(100):
        if wanted(found := browser.execute_script(f"return {script}")):
            return found
        time.sleep(0.2)
    raise AssertionError((script, found))


@pytest.mark.parametrize("server", [False, True])
def test_the_study_of_a_sweep_is_all_there(tmp_path, chromium, dashboard, server):
    storage = f"sqlite:///{tmp_path}/studies.db" if server else str(tmp_path / JOURNAL)
    spec = SweepSpec(points=POINTS, search="sobol", study=storage if server else None)
    margins = measured(spec, tmp_path)
    address = dashboard(storage)
    (listed,) = json.load(urllib.request.urlopen(f"{address}/api/studies"))["study_summaries"]
    assert listed["study_name"].startswith("sweep") and listed["directions"] == ["maximize"]

    chromium.get_log("browser")
    chromium.get(f"{address}/dashboard")
    until(chromium, f"document.body.innerText.includes({listed['study_name']!r})")
    chromium.get(f"{address}/dashboard/studies/{listed['study_id']}")
    plots = "[...document.querySelectorAll('.js-plotly-plot')].filter(p => p.data.length)"
    history = f"{plots}.find(p => /History/.test(p.closest('.MuiCard-root, .MuiPaper-root').innerText))"
    shown = until(chromium, f"{history}?.data.filter(t => t.mode === 'markers').flatMap(t => Array.from(t.y))")
    assert shown == pytest.approx(margins)
    assert chromium.execute_script(f"return {history}.layout.yaxis.title.text") == "margin"
    chromium.get(f"{address}/dashboard/studies/{listed['study_id']}/trials")
    text = until(chromium, "document.body.innerText", lambda t: f"{POINTS} Trials" in t)
    assert "sigma_w" in text and "Running" in text and "Fail" in text
    assert [e for e in chromium.get_log("browser") if e["level"] == "SEVERE"] == []
