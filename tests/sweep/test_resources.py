import os
import socket

import pytest

from sweep.resources import _check_reachable, _granted, check_here, check_memory
from sweep.spec import SpecError, SweepSpec


def test_a_core_to_a_trial():
    found = _granted(SweepSpec(), [(8, 0)])
    assert (found.concurrency, found.cpus, found.gpus) == (8, 1, 0)
    assert _granted(SweepSpec(cpus_per_trial=0.5), [(8, 0)]).concurrency == 16
    assert _granted(SweepSpec(points=3), [(8, 0)]).concurrency == 3
    assert _granted(SweepSpec(concurrency=5), [(8, 0)]).concurrency == 5


@pytest.mark.parametrize(
    ("cpus", "gpus", "share", "trials"), [(8, 1, 1 / 8, 8), (12, 8, 1.0, 8), (64, 8, 1 / 8, 64), (7, 2, 1 / 3, 6)]
)
def test_gpus_are_shared_where_there_are_any(cpus, gpus, share, trials):
    found = _granted(SweepSpec(), [(cpus, gpus)])
    assert found.gpus == pytest.approx(share) and found.concurrency == trials
    assert found.gpus * found.concurrency <= gpus + 1e-9


def test_a_trial_must_fit_on_a_node():
    assert _granted(SweepSpec(cpus_per_trial=3), [(4, 0), (8, 0), (2, 0)]).concurrency == 3
    with pytest.raises(SpecError, match="at most 4"):
        _granted(SweepSpec(cpus_per_trial=8), [(4, 0)] * 4)
    assert _granted(SweepSpec(), [(8, 0), (4, 2)]).gpus == pytest.approx(1 / 6)


def test_no_gpu_if_none_is_wanted():
    assert _granted(SweepSpec(gpus_per_trial=0), [(8, 4)]).gpus == 0


@pytest.mark.parametrize("spec", [{"cpus_per_trial": 16}, {"gpus_per_trial": 1}])
def test_more_than_there_is(spec):
    with pytest.raises(SpecError, match="what the largest node has"):
        _granted(SweepSpec(**spec), [(8, 0)])


def test_more_than_this_machine_should_be_asked_for():
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(SpecError, match="`cpus_per_trial` must be at most"):
        check_here(SweepSpec(cpus_per_trial=cores + 1))
    with pytest.raises(SpecError, match="`concurrency` must be at most"):
        check_here(SweepSpec(concurrency=10_000))
    check_here(SweepSpec(concurrency=10_000, address="auto"))


def test_more_memory_than_there_is(digits):
    with pytest.raises(SpecError, match="takes .* GiB"):
        check_memory(SweepSpec(width=16_384, depth=(1000, 1000)), digits)
    check_memory(SweepSpec(), digits)


def test_an_address_where_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(SpecError, match="cannot be joined"):
            _check_reachable(f"127.0.0.1:{port}")
        free.listen()
        _check_reachable(f"ray://127.0.0.1:{port}")
    _check_reachable("auto")


def test_packs_fit_the_memory(digits, monkeypatch):
    from sweep import resources

    spec, granted = SweepSpec(dataset="digits"), _granted(SweepSpec(), [(2, 0)])
    packs = []
    for gigabytes in (0.001, 0.15, 0.22, 1000):
        monkeypatch.setattr(resources, "_available_bytes", lambda g=gigabytes: g * 2**30)
        packs.append(resources.fitting_pack(spec, digits, granted))
    assert packs[0] == 1 and packs == sorted(packs) and packs[1] < packs[2] < packs[3] == 64


def test_memory_at_hand():
    from sweep.resources import _available_bytes

    assert 2**20 < _available_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
