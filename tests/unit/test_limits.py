"""What this process may use."""

import os

import psutil
import pytest

from sweep import limits

GIB = 2**30
NONE_IN_VERSION_1 = 9223372036854771712


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a function that makes control groups: of which version, this process's path, the mount's root, files."""
    monkeypatch.setattr(limits, "_PROC", tmp_path)
    monkeypatch.setattr(limits, "schedulable_cores", lambda: 8)
    machine = psutil.virtual_memory()._replace(total=32 * GIB, available=16 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)

    def make(version, path, files, root="/"):
        point = tmp_path / f"groups{version}"
        if version == 2:
            mounts, entries = f"30 24 0:26 {root} {point} rw shared:9 - cgroup2 cgroup2 rw\n", f"0::{path}\n"
        else:
            mounts = "".join(
                f"3{i} 24 0:26 {root} {point}/{name} rw - cgroup cgroup rw,{name}\n"
                for i, name in enumerate(("cpu,cpuacct", "memory"))
            )
            entries = f"9:name=systemd:/else\n4:memory:{path}\n2:cpu,cpuacct:{path}\n"
        (tmp_path / "cgroup").write_text(entries)
        (tmp_path / "mountinfo").write_text(f"22 1 8:1 / / rw - ext4 /dev/vda rw\n{mounts}")
        for name, text in files.items():
            (point / name).parent.mkdir(parents=True, exist_ok=True)
            (point / name).write_text(f"{text}\n")

    return make


def what_is_allowed():
    return limits.cores(), limits.cgroup_cores(), limits.available_bytes() / GIB, limits.total_bytes() / GIB


def memory(folder, limit, used, cached=0):
    """Return the files of a control group of version 2."""
    files = {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 5\ninactive_file {cached}"}
    return {f"{folder}{name}": text for name, text in files.items()}


def memory_1(folder, limit, used, cached=0):
    """Return the files of a control group of version 1."""
    stat = f"cache 7\ntotal_inactive_file {cached}"
    files = {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used, "memory.stat": stat}
    return {f"memory/{folder}{name}": text for name, text in files.items()}


def test_version_2(groups):
    groups(2, "/job", {"job/cpu.max": "150000 100000", **memory("job/", 3 * GIB, 2 * GIB, GIB)})
    assert what_is_allowed() == (2, 1.5, 2, 3)  # files that were read can be dropped


def test_version_1(groups):
    cpu = {"cpu,cpuacct/job/cpu.cfs_quota_us": 50000, "cpu,cpuacct/job/cpu.cfs_period_us": 100000}
    groups(1, "/job", {**cpu, **memory_1("job/", 3 * GIB, 2 * GIB, GIB)})
    assert what_is_allowed() == (1, 0.5, 2, 3)


def test_the_root_of_a_container(groups):
    """A container sees its group as the root of what is mounted, and may or may not see its path."""
    mounted = ((2, "/", "/"), (2, "/../../x", "/"), (1, "/docker/4f", "/docker/4f"), (1, "/a/b", "/c"))
    for version, path, root in mounted:
        files = memory("", 3 * GIB, GIB) if version == 2 else memory_1("", 3 * GIB, GIB)
        groups(version, path, files, root)
        assert limits.available_bytes() == 2 * GIB, (version, path, root)


def test_the_tightest_of_nested_groups_counts(groups):
    outer = {"a/cpu.max": "300000 100000", **memory("a/", 8 * GIB, 7 * GIB)}
    inner = {"a/b/cpu.max": "max 100000", **memory("a/b/", 4 * GIB, GIB)}
    groups(2, "/a/b", outer | inner)
    assert what_is_allowed() == (3, 3, 1, 4)
    groups(2, "/a/b/c", {"a/b/c/memory.high": 2 * GIB, "a/b/c/memory.current": GIB // 2})
    assert what_is_allowed() == (3, 3, 1, 2)  # what is reclaimed at is no more to be used than what is killed at


@pytest.mark.parametrize("version", (1, 2))
def test_no_limits(groups, version):
    cpu = {"cpu.max": "max 100000"} if version == 2 else {"cpu,cpuacct/cpu.cfs_quota_us": -1}
    group = memory("", "max", GIB) if version == 2 else memory_1("", NONE_IN_VERSION_1, GIB)
    groups(version, "/", cpu | group)
    assert what_is_allowed() == (8, None, 16, 32)
    assert limits.cgroup_bytes() is None


def test_a_group_that_is_gone_or_nonsense(groups):
    groups(2, "/gone", {})
    assert what_is_allowed() == (8, None, 16, 32)
    groups(2, "/", {"cpu.max": "lots", "memory.max": "plenty", "memory.current": ""})
    assert what_is_allowed() == (8, None, 16, 32)


def test_the_machine_has_the_last_word(groups):
    groups(2, "/", {"cpu.max": "6400000 100000", **memory("", 20 * GIB, 0)})
    assert what_is_allowed() == (8, 64, 16, 20)


def test_no_control_groups(groups):
    assert what_is_allowed() == (8, None, 16, 32)


def test_this_machine():
    assert 1 <= limits.cores() <= limits.schedulable_cores() <= (os.cpu_count() or 1)
    assert 2**20 < limits.available_bytes() <= limits.total_bytes()
    assert limits.total_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
