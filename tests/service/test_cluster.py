"""Joining a cluster of Ray, where there is none."""

import socket
import threading

import pytest

from sweep.errors import SpecError, UnavailableError
from sweep.execution import cluster
from sweep.execution.cluster import authenticate, check_reachable


def test_an_address_where_nobody_listens(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_reachable("auto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=r"`address` .* cannot be joined: Connection refused; "):
            check_reachable(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UnavailableError, match="`RAY_ADDRESS` .* cannot be joined"):
            check_reachable("auto")
        free.listen()
        check_reachable(address)
        check_reachable("auto")
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(SpecError, match="`RAY_ADDRESS` must be .* client is not supported"):
        check_reachable("auto")


def test_a_server_that_is_no_cluster(monkeypatch):
    """Ray itself tries for more than three minutes; a cluster that is well answers within seconds."""
    monkeypatch.setattr(cluster, "_HEALTH_TIMEOUT_S", 8.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept = []
        threading.Thread(target=lambda: kept.append(silent.accept()), daemon=True).start()
        with pytest.raises(UnavailableError, match="no Ray cluster answers there; is this the port of the head's GCS"):
            authenticate(f"127.0.0.1:{silent.getsockname()[1]}")
