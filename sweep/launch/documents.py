"""YAML as launchers read and write it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


class _Plain(yaml.SafeDumper):
    """YAML that is made to be read: no anchors, scripts as they are."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write one object in many places in each of them."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _text)


def read(path: Path) -> list[Any]:
    """Return every document of a file, with a copy for every alias, so that one can be changed without the others."""
    return [json.loads(json.dumps(document)) for document in yaml.safe_load_all(path.read_text())]


def dump(documents: Iterable[Any]) -> str:
    """Return documents as text."""
    return yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=1000)
