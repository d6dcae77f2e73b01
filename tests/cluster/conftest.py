import itertools
import shutil
import tempfile

import pytest

from .nodes import Nodes

_ports = itertools.count(23000, 2500)


@pytest.fixture
def nodes():
    """Makes clusters."""
    made, folders = [], []

    def make():
        folders.append(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # sockets need a short path
        made.append(Nodes(folders[-1], next(_ports)))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
