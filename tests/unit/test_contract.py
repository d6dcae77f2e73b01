"""The layers: who may import whom, and that every package is installed."""

import tomllib
from graphlib import TopologicalSorter

import grimp
import pytest
from importlinter import configuration
from importlinter.application.use_cases import lint_imports

from tests.helpers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


NAME_THE_WHOLE_SPEC = {  # all others take the part of it that they need
    "sweep",
    "sweep.bench.orchestration",
    *("sweep.cli.launch", "sweep.cli.machine", "sweep.cli.options", "sweep.cli.running"),
    *("sweep.execution.driver", "sweep.execution.preview", "sweep.execution.runner", "sweep.execution.tuner"),
    *("sweep.results.merge", "sweep.results.results"),
    *("sweep.search.journal", "sweep.search.record", "sweep.search.study"),
    "sweep.storage.sweep_files",
}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("sweep", "probes", include_external_packages=True, cache_dir=None)


def test_the_contracts_hold(capsys):
    configuration.configure()
    kept = lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None, no_logo=True)
    assert kept, capsys.readouterr().out


def test_no_module_imports_itself_through_others(graph):
    ours = [m for m in graph.modules if m.partition(".")[0] in ("sweep", "probes")]
    assert len(ours) > 100
    TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in ours}).prepare()  # CycleError


def test_every_package_is_in_the_layers(graph):
    (layers,) = (c["layers"] for c in PROJECT["tool"]["importlinter"]["contracts"] if c["id"] == "layers")
    named = {name for line in layers for name in line.split(" | ")}
    assert named == {"probes", *graph.find_children("sweep")} - {"sweep.__main__", "sweep.cluster"}


def test_every_package_is_installed():
    folders = {p.parent for top in ("probes", "sweep") for p in (ROOT / top).rglob("*.py")}
    packages = {".".join(f.relative_to(ROOT).parts) for f in folders}
    assert sorted({*packages, "sweep.cluster"}) == PROJECT["tool"]["setuptools"]["packages"]


def test_few_modules_name_the_whole_spec(graph):
    assert graph.find_modules_that_directly_import("sweep.spec.spec") == NAME_THE_WHOLE_SPEC
