import os

import pytest

from probes.settings import ProbeSettings
from sweep.errors import SpecError
from sweep.execution.capacity import Capacity, share_of_gpu
from sweep.execution.cluster import check_local_resources
from sweep.measuring.memory import check_memory
from sweep.spec.spec import SweepSpec


def capacity(*nodes, **spec):
    return Capacity(SweepSpec(**{"points": 1000, **spec}), lambda: list(nodes))


def test_a_core_to_a_trial():
    current = capacity((8, 0))
    assert (current.slots, current.cpus, current.gpus, current.kinds) == (8, 1, 0, ("cpu",))
    assert current.resources("cpu") == {"CPU": 1, "GPU": 0}
    assert capacity((8, 0), cpus_per_trial=0.5).slots == 16
    assert capacity((8, 0), points=3).slots == 3
    assert capacity((8, 0), concurrency=5).slots == 5


@pytest.mark.parametrize(
    ("cpus", "gpus", "share", "trials"), [(8, 1, 1 / 8, 8), (12, 8, 1.0, 8), (64, 8, 1 / 8, 64), (7, 2, 1 / 3, 6)]
)
def test_gpus_are_shared_where_there_are_any(cpus, gpus, share, trials):
    current = capacity((cpus, gpus))
    assert current.gpus == pytest.approx(share) and current.slots == trials
    assert current.gpus * current.slots <= gpus + 1e-9
    assert current.resources("gpu") == {"CPU": 1, "GPU": current.gpus}


@pytest.mark.parametrize(
    ("gpus", "trials", "share"), [(0, 8, 0.0), (1, 0.5, 1.0), (2, 2, 1.0), (1, 4, 0.25), (2, 7, 1 / 3), (8, 1, 1.0)]
)
def test_a_share_of_a_gpu_is_one_of_whole_trials(gpus, trials, share):
    assert share_of_gpu(gpus, trials) == pytest.approx(share)


def test_a_trial_must_fit_on_a_node():
    assert capacity((4, 0), (8, 0), (2, 0), cpus_per_trial=3).slots == 3
    with pytest.raises(SpecError, match="at most 4"):
        capacity(*[(4, 0)] * 4, cpus_per_trial=8)
    assert capacity((0, 0), cpus_per_trial=8, concurrency=3).slots == 3  # nodes may be yet to come


def test_nodes_without_a_gpu_help_those_that_have_one():
    current = capacity((8, 0), (4, 2))
    assert current.gpus == pytest.approx(1 / 2) and current.kinds == ("gpu", "cpu")
    assert (current.slots_of("gpu"), current.slots_of("cpu"), current.slots) == (4, 8, 12)
    assert (
        current.free_kind({}) == "gpu"
        and current.free_kind({"gpu": 4}) == "cpu"
        and current.free_kind({"gpu": 4, "cpu": 8}) is None
    )
    assert current.is_helper("cpu") and not current.is_helper("gpu")
    assert capacity((8, 0), (4, 2), gpus_per_trial=1).kinds == ("gpu",)


def test_no_gpu_if_none_is_wanted():
    current = capacity((8, 4), gpus_per_trial=0)
    assert current.gpus == 0 and current.slots == 8


def test_nodes_that_come_and_go_are_noticed(monkeypatch):
    monkeypatch.setattr("sweep.execution.capacity._REFRESH_INTERVAL_S", 0.0)
    nodes = [(4, 1), (4, 0)]
    current = Capacity(SweepSpec(points=1000), lambda: nodes)
    assert current.slots == 8
    nodes.append((2, 1))
    assert current.slots == 10
    nodes[:] = [(4, 0)]
    assert current.slots == 4 and current.free_kind({"gpu": 0}) == "cpu" and not current.is_helper("cpu")
    nodes[:] = []
    assert current.slots == 1 and current.free_kind({}) == "gpu"  # waits for a node, and says what for
    assert current.free_kind({"gpu": 1}) is None


@pytest.mark.parametrize("spec", [{"cpus_per_trial": 16}, {"gpus_per_trial": 1}])
def test_more_than_there_is(spec):
    with pytest.raises(SpecError, match="what the largest node has"):
        capacity((8, 0), **spec)


def test_more_than_this_machine_should_be_asked_for():
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(SpecError, match="`cpus_per_trial` must be at most"):
        check_local_resources(SweepSpec(cpus_per_trial=cores + 1))
    with pytest.raises(SpecError, match="`concurrency` must be at most"):
        check_local_resources(SweepSpec(concurrency=10_000))
    check_local_resources(SweepSpec(concurrency=10_000, address="auto"))


def test_more_memory_than_there_is(digits):
    with pytest.raises(SpecError, match="takes .* GiB"):
        check_memory(ProbeSettings(width=16_384), digits, 1000)
    check_memory(ProbeSettings(), digits, 60)


def test_more_memory_than_a_container_allows(digits, monkeypatch):
    monkeypatch.setattr("sweep.measuring.memory.total_bytes", lambda: 3 * 2**26)
    check_memory(ProbeSettings(), digits, 60)
    with pytest.raises(SpecError, match=r"`pack` 64 of .* GiB more than the 0\.2 GiB of memory that this process may"):
        check_memory(ProbeSettings(width=500), digits, 60, pack=64)
