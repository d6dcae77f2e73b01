"""The unit tier: no Ray, no browser, no server, no other process."""

import sys

import pytest

_FORBIDDEN = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "socket.bind"}
_LETS_MATPLOTLIB_FIND_FONTS = "fc-list"  # once on a new machine
_running = False


def _refuse(event, args):
    if _running and event in _FORBIDDEN and args[:1] != (_LETS_MATPLOTLIB_FIND_FONTS,):
        raise RuntimeError(f"a unit test must start no process and no server ({event})")


sys.addaudithook(_refuse)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Refuse processes and servers while a unit test and its fixtures run."""
    global _running
    _running = item.get_closest_marker("unit") is not None
    try:
        return (yield)
    finally:
        _running = False
