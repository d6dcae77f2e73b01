"""Joining a cluster of Ray."""

import socket

import pytest

from sweep.errors import SpecError
from sweep.execution.cluster import check_reachable


def test_an_address_where_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(SpecError, match="cannot be joined"):
            check_reachable(f"127.0.0.1:{port}")
        free.listen()
        check_reachable(f"ray://127.0.0.1:{port}")
    check_reachable("auto")
