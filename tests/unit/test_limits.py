"""What this process may use."""

import pytest

from sweep import limits


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Return a function that writes files of a control group."""
    monkeypatch.setattr(limits, "_CGROUP", tmp_path)

    def write(**files):
        for name, text in files.items():
            (tmp_path / name.replace("_", ".", 1)).write_text(text)

    return write


def test_a_control_group_with_limits(group):
    gib = 2**30
    group(cpu_max="150000 100000\n", memory_max=f"{3 * gib}\n", memory_current=f"{2 * gib}\n")
    group(memory_stat=f"anon 5\ninactive_file {gib}\nactive_file 7\n")  # files that were read
    assert (limits.cgroup_cores(), limits.cgroup_bytes()) == (1.5, 2 * gib)


def test_a_control_group_without_limits(group):
    group(cpu_max="max 100000\n", memory_max="max\n", memory_current="5\n", memory_stat="inactive_file 1\n")
    assert limits.cgroup_cores() is limits.cgroup_bytes() is None


def test_no_control_group(group):
    assert limits.cgroup_cores() is limits.cgroup_bytes() is None
