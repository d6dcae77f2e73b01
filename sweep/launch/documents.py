"""YAML as launchers read and write it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

__all__ = ["dump", "read"]


class _Plain(yaml.SafeDumper):
    """No anchors, scripts as they are: made to be read."""

    def ignore_aliases(self, data: Any) -> bool:
        """One object in many places is written in each."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _text)


def read(path: Path) -> list[Any]:
    """Every document of a file, anchors resolved to copies, so that one can be changed without the others."""
    return [yaml.safe_load(dump([document])) for document in yaml.safe_load_all(path.read_text())]


def dump(documents: Iterable[Any]) -> str:
    """Documents as text."""
    return yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=1000)
