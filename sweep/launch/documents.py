"""Reading and writing YAML documents."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


class _Plain(yaml.SafeDumper):
    """Writer of readable YAML: without anchors, and with texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: an object that occurs several times is written in full each time."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _represent_text)


def read(path: Path) -> list[Any]:
    """Return the documents of a file. Aliases are copied, so that each copy can be changed by itself."""
    return [json.loads(json.dumps(document)) for document in yaml.safe_load_all(path.read_text())]


def dump(documents: Iterable[Any]) -> str:
    """Return documents as one text of YAML."""
    return yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=1000)
