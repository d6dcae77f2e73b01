"""Sweeps in the kernel of a notebook, which has an event loop of its own, and is left as it was."""

import nbformat
from nbclient import NotebookClient

from tests.helpers import ROOT

FOUND = """
import asyncio, logging, os, random, signal
import numpy as np, torch
def state():
    return (
        dict(os.environ), os.getcwd(),
        random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
        {n: logging.getLogger(n).level for n in ("ray", "ray.tune", "optuna", "torch")},
        [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)],
    )
import sweep
spec = sweep.SweepSpec(points=6, probe="direct", images=200, depth=(3, 9), cpus_per_trial=0.5)
assert asyncio.get_event_loop().is_running()
sweep.run  # imported: libraries draw random numbers when they are
"""
FIRST = """
before = state()
results = sweep.run(spec, "first", quiet=False)
for was, now in zip(before, state()):
    assert was == now, (str(was)[:300], str(now)[:300])
results
"""
FIGURE = """
import matplotlib
%matplotlib inline
from matplotlib import pyplot
figure, ax = pyplot.subplots()
sweep.plots.phase(results.points, results.boundary, ax=ax);
"""
SECOND = """
import ray
assert not ray.is_initialized()
assert len(sweep.run(spec, "second").points) == 6
"""
JOINED = """
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
node = ray.get_runtime_context().get_node_id()
assert len(sweep.run(spec, "third").points) == 6
assert ray.is_initialized() and ray.get_runtime_context().get_node_id() == node
import dataclasses
try:
    sweep.run(dataclasses.replace(spec, address="10.0.0.1:6379"), "fourth")
except sweep.SpecError as error:
    print(error)
ray.shutdown()
"""


def outputs(cell, kind):
    return [o for o in cell.outputs if o.output_type == kind]


def test_sweeps_in_a_notebook(tmp_path, monkeypatch):
    cells = [nbformat.v4.new_code_cell(source) for source in (FOUND, FIRST, FIGURE, SECOND, JOINED)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    _, first, figure, _, joined = notebook.cells

    written = "".join(o.text for o in outputs(first, "stream"))
    assert "6/6" in written and "points" in written
    assert "\x1b[" not in written  # no drawing as on a terminal
    (shown,) = outputs(first, "execute_result")
    assert "<table" in shown.data["text/html"] and shown.data["text/plain"].startswith("<Results of ")
    assert "6 points" in shown.data["text/plain"]

    (shown,) = outputs(figure, "display_data")
    assert len(shown.data["image/png"]) > 1000

    written = "".join(o.text for o in outputs(joined, "stream") if o.name == "stdout")
    assert "`address` must be left out where the program has joined a Ray, got '10.0.0.1:6379'" in written
