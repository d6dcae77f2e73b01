"""The Dockerfile and the Compose file, as Docker and Compose would read them."""

import re

import yaml

from sweep.launch.docker import plan
from tests.helpers import ROOT

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())


def instructions(name):
    """Return the arguments of every such instruction of the Dockerfile."""
    return re.findall(rf"^{name} (.*)", DOCKERFILE, re.MULTILINE)


def composed(job, image="trainability-sweep"):
    """Return the Compose file of a job, with its variables resolved as Compose would."""
    (text,) = plan(job, image=image).files.values()
    document = yaml.safe_load(text)
    command = document["services"]["driver"]["command"]
    assert not re.search(r"(?<!\$)\$(?!\$)", text), "a variable of Compose"
    command[-1] = command[-1].replace("$$", "$")
    return document
