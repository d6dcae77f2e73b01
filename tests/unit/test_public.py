"""What users may import stands in `sweep/__init__.py` and `probes/__init__.py`, twice: for type checkers and lazily."""

import ast
from importlib import import_module

import pytest

from tests.helpers import ROOT


@pytest.mark.parametrize("package", ["probes", "sweep"])
def test_every_public_name_is_found_and_is_what_type_checkers_see(package):
    module = import_module(package)
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package)
        for alias in node.names
    }
    assert set(seen) == set(module.__all__) == set(dir(module)) & set(module.__all__)
    for name, home in seen.items():
        value = getattr(module, name)
        assert value is getattr(import_module(home), name)
        assert getattr(value, "__module__", home) == home  # where it is written, not where it was passed on
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("package", ["probes", "sweep"])
def test_an_unknown_name_is_refused(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        getattr(import_module(package), "nonsense")  # noqa: B009
