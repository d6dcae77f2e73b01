from dataclasses import replace

import pytest

from probes import Point
from sweep.errors import SpecError
from sweep.execution import packing
from sweep.execution.capacity import Capacity
from sweep.execution.nodes import Node
from sweep.execution.packing import CONTROL_RATE, MAX_PACK, Packer
from sweep.measuring.settings import probe_settings
from sweep.spec.spec import SweepSpec


def groups(*depths):
    return [[Point(1.0, 0.1, d, i)] for i, d in enumerate(depths)]


def depth_of(point):
    return point.depth


def packer(spec=None, max_points=MAX_PACK, **speed):
    return Packer(spec or SweepSpec(points=10_000, search="sobol"), depth_of, speed or {"cpu": 1.0}, max_points)


def test_a_pack_fills_its_seconds():
    # A layer takes a second, a pack three: the third point does not fit any more.
    assert packer().pick(groups(1, 2, 1), 1, "cpu") == [0, 1]
    assert packer().pick(groups(9, 2, 1), 1, "cpu") == [0]  # one at least
    assert packer(cpu=1e6).pick(groups(*[5] * 100), 1, "cpu") == list(range(MAX_PACK))


def test_memory_limits_a_pack():
    assert packer(max_points=3, cpu=1e6).pick(groups(*[5] * 10), 1, "cpu") == [0, 1, 2]


def test_a_pack_that_is_asked_for_is_given_whatever_it_takes():
    fixed = packer(SweepSpec(pack=5), cpu=1e-6)
    assert fixed.max_size(1000) == 5 and fixed.pick(groups(*[60] * 9), 1, "cpu") == [0, 1, 2, 3, 4]


def test_a_search_that_learns_has_rounds_to_learn_in():
    assert packer(SweepSpec(points=64)).max_size(2) == 4  # eight rounds of two trials
    assert packer(SweepSpec(points=10_000)).max_size(2) == 16
    assert packer(SweepSpec(points=64, search="sobol")).max_size(2) == 32


def test_replicas_stay_together():
    three = [[Point(1.0, 0.1, 1, i) for i in range(3)] for _ in range(4)]
    assert packer(SweepSpec(pack=7)).pick(three, 1, "cpu") == [0, 1]
    assert packer(SweepSpec(pack=1)).pick(three, 1, "cpu") == [0]


def test_the_control_loop_stays_under_half_of_its_rate():
    sized = packer()
    for slots in (1, 64, 1000):
        assert slots / sized.target_time(slots) <= CONTROL_RATE / 2
    assert sized.pick(groups(*[1] * 100), 64, "cpu") == list(range(16))  # 64 trials of 16 s: four a second


def test_what_was_measured_replaces_the_guess():
    sized = packer(cpu=1000.0)
    (one,) = groups(10)
    assert sized.seconds(one, "cpu") == pytest.approx(0.01)
    sized.update_speed(one, "cpu", 5.0)
    assert sized.seconds(one, "cpu") == pytest.approx(5.0)
    for _ in range(30):
        sized.update_speed(one, "cpu", 20.0)
    assert sized.seconds(one, "cpu") == pytest.approx(20.0, rel=0.01)
    sized.update_speed(one, "cpu", 0.0)  # a clock that stood still
    assert 0 < sized.seconds(one, "cpu") < 20


def test_a_node_without_a_gpu_takes_small_points_only():
    both = packer(cpu=1.0, gpu=100.0)
    assert both.pick(groups(60, 2, 1), 1, "cpu", small=True) == [2, 1]
    assert both.pick(groups(60, 50), 1, "cpu", small=True) == []
    assert both.pick(groups(60, 2, 1), 1, "gpu") == [0, 1, 2]


def fitting_pack(spec, images, capacity):
    return packing.fitting_pack(spec, probe_settings(spec), images, capacity)


def test_packs_fit_the_memory(digits, monkeypatch):
    spec = SweepSpec(dataset="digits", points=1000)
    packs, slots = [], []
    for gigabytes in (0.001, 0.15, 0.22, 1000):
        monkeypatch.setattr(packing, "available_bytes", lambda g=gigabytes: g * 2**30)
        packs.append(fitting_pack(spec, digits, Capacity(spec, lambda: [(2, 0)])))
        granted = Capacity(spec, lambda g=gigabytes: [(2, 0, g * 2**30)])
        assert fitting_pack(spec, digits, granted) >= packs[-1]  # where one trial runs, it has all the memory
        slots.append(granted.slots)
    assert packs[0] == 1 and packs == sorted(packs) and packs[1] < packs[2] < packs[3] == 64
    assert slots == [1, 1, 1, 2]


def test_a_trial_that_needs_all_the_memory_runs_alone():
    granted = Capacity(SweepSpec(points=1000), lambda: [(8, 0, 16.0), (4, 0, 3.0), (2, 0)])
    assert granted.slots == 14
    granted.set_trial_bytes(4.0)
    assert [granted.slots_on(n, "cpu") for n in granted.nodes()] == [3, 0, 2]  # a fifth is left free
    granted.set_trial_bytes(15.0)
    assert [granted.slots_on(n, "cpu") for n in granted.nodes()] == [1, 0, 2] and granted.slots == 3


def test_a_pack_that_fits_nowhere(digits):
    spec = SweepSpec(address="auto", dataset="digits", pack=64, width=300)
    with pytest.raises(SpecError, match=r"`pack` 64 of `width` 300 .* more than the 0\.1 GiB of the largest node"):
        packing.fitting_pack(
            spec, probe_settings(spec), digits, Capacity(spec, lambda: [(2, 0, 2e6), (4, 0, 1e8), (0, 0, 1e12)])
        )
    later = replace(spec, concurrency=4)  # larger nodes may be yet to come
    assert fitting_pack(later, digits, Capacity(later, lambda: [(2, 0, 1e8)])) >= 1


def test_a_trial_on_a_cluster_has_its_share_of_the_node_that_has_least():
    alive = [Node(64, 0, 256.0), Node(2, 0, 6.0), Node(0, 0, 1.0), Node(4, 0)]
    spec = SweepSpec(address="auto", points=1000)
    granted = Capacity(spec, lambda: alive)
    assert granted.slots == 70 and packing._bytes_per_trial(spec, granted) == 3.0
    alive[:] = []
    assert packing._bytes_per_trial(spec, granted) > 2**20  # nodes are yet to come: taken to be like this machine
