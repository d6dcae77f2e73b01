"""Sweeps on object storage: a moto server on loopback."""

import json
import os
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import sweep
from probes import Point
from sweep.cli.main import main
from sweep.errors import SpecError, StoreError
from sweep.spec.spec import SweepSpec
from sweep.storage import compaction, files
from sweep.storage.checkpoints import Checkpoints
from sweep.storage.files import filesystem_at
from sweep.storage.lease import Lease
from sweep.storage.lock import is_running, locked
from sweep.storage.store import Store
from sweep.storage.sweep_files import SweepFiles
from tests.helpers.nodes import children, kill
from tests.helpers.servers import S3
from tests.helpers.store_contract import Place, StoreContract, rows, seeds

pytestmark = pytest.mark.filterwarnings("ignore")  # moto's own, in its threads

KEY = ["sigma_w", "sigma_b", "depth", "seed"]


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in S3.ENVIRONMENT.items():
            patch.setenv(name, value)
        server = S3()
        yield server
        server.stop()


@pytest.fixture
def place(server, monkeypatch, tmp_path):
    """A new place in the bucket, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Place(server.path(), server.options)


class TestInABucket(StoreContract):
    def test_many_parts_stay_as_they_are(self, place, store, monkeypatch):
        monkeypatch.setattr(compaction, "_MIN_SMALL_PARTS", 2)
        for seed in range(5):
            store.write(rows(seed, status="ok"))
        before = place.names()
        store.compact(lambda: pytest.fail("it began"))
        assert place.names() == before and len(before) == 5

    def test_a_folder_that_is_not_there_is_empty(self, place):
        assert Store(place.uri).read().rows.num_rows == 0


def test_a_storage_that_goes_away_and_comes_back(server, place, monkeypatch):
    monkeypatch.setattr(files, "_RETRY_DELAYS_S", (0.1,))
    store = place.store()
    store.write(rows(0))
    server.stop()
    for fails in (lambda: store.write(rows(1)), store.read, lambda: SweepFiles(place.uri).read_spec(), store.create):
        with pytest.raises(StoreError, match="cannot be (read|written)") as caught:
            fails()
        assert "\n" not in str(caught.value) and "SECRETSECRET" not in str(caught.value)
    assert not is_running(place.uri)
    Checkpoints(place.uri).save({})
    server.start()
    reading = store.read()
    assert seeds(reading) == [0] and not reading.damaged
    store.write(rows(1))
    reading = store.read()
    assert seeds(reading) == [0, 1] and not reading.damaged


def test_half_an_object_does_not_stay(place):
    """Arrow completes an upload even where it was interrupted by an error."""
    where, root = filesystem_at(place.uri)

    class Broken:
        def open_output_stream(self, path):
            self.path = path
            self.out = where.open_output_stream(path)
            return self

        def delete_file(self, path):
            where.delete_file(path)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.out.close()

        def write(self, data):
            self.out.write(data[:10])
            raise OSError("the cable was pulled")

    with pytest.raises(StoreError, match="cable"):
        files.write_whole(Broken(), f"{root}/y", b"x" * 100)
    assert place.names() == []


def test_a_home(server, place, tmp_path):
    uri = place.uri
    files = SweepFiles(uri)
    with pytest.raises(SpecError, match="is no sweep"):
        files.read_spec()
    files.write_spec(SweepSpec(points=9, storage=uri))
    assert json.loads(files.read("spec.json"))["storage"] is None
    assert files.read_spec() == SweepSpec(points=9, storage=uri)
    assert files.local.is_relative_to(tmp_path / "cache") and files.local.stat().st_mode & 0o777 == 0o700
    assert SweepFiles(server.path() + server.options).local != files.local == SweepFiles(uri).local
    (files.local / "x.png").write_bytes(b"picture")
    (tmp_path / "y.png").write_bytes(b"")
    files.publish(files.local / "x.png")
    files.publish(tmp_path / "y.png")
    assert place.names() == ["spec.json", "x.png"]
    files.remove("spec.json", "nothing")
    assert files.read("spec.json") is None


def test_a_spec_at_a_uri_says_nothing_about_where_it_is(place):
    SweepFiles(place.uri).write("spec.json", SweepSpec(storage="/etc").as_json().encode())
    assert SweepFiles(place.uri).read_spec().storage == place.uri


def test_checkpoints(place):
    checkpoints, point = Checkpoints(place.uri), Point(1.0, 0.1, 3, 0)
    checkpoints.save({point: {"a": 1}})
    assert checkpoints.load([point]) == {point: {"a": 1}}
    place.put("checkpoints/mine.txt", b"x")
    checkpoints.clear()
    assert place.names() == ["checkpoints/mine.txt"]


def test_one_driver_at_a_uri(place, monkeypatch):
    monkeypatch.setattr(Lease, "settling_s", 0.1)
    assert not is_running(place.uri)
    with locked(place.uri):
        assert is_running(place.uri)
        with pytest.raises(SpecError, match=f"is being run by process {os.getpid()} on"), locked(place.uri):
            pass
    assert not is_running(place.uri) and place.names() == []
    place.put("sweep.lock", json.dumps({"id": "x", "holder": "process 7 on far"}).encode())
    with pytest.raises(SpecError, match="process 7 on far"), locked(place.uri):
        pass
    time.sleep(2.1)  # the clock of S3 ticks in seconds
    with ExitStack() as held:
        with monkeypatch.context() as patch:
            patch.setattr(Lease, "expiry_s", 1.0)
            held.enter_context(locked(place.uri))
        assert is_running(place.uri)


def cli(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


SLOW = """
    import sweep
    from sweep.measuring.rehearsal import Rehearsal
    spec = sweep.SweepSpec(points=24, pack=1, concurrency=1, probe="direct", images=200, depth=(2, 6), search="sobol")
    sweep.run(spec, {uri!r}, make=Rehearsal(seconds=0.5))
"""


def test_a_sweep_that_lives_at_a_uri(place, tmp_path, monkeypatch):
    """Killed on one machine, resumed on another: every point once."""
    uri, here, there = place.uri, tmp_path / "here", tmp_path / "there"
    command = [sys.executable, "-c", textwrap.dedent(SLOW.format(uri=uri))]
    log = tmp_path / "driver.log"
    with log.open("w") as out:
        given = {"env": {**os.environ, "XDG_CACHE_HOME": str(here)}, "stdin": subprocess.DEVNULL}
        driver = subprocess.Popen(command, stdout=out, stderr=out, **given)
    try:
        deadline = time.monotonic() + 300
        while len(place.parts()) < 2:
            assert driver.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        monkeypatch.setenv("XDG_CACHE_HOME", str(there))
        second = cli("resume", uri)
        assert second.exit_code == 2 and f"is being run by process {driver.pid} on" in second.stderr, second.output
    finally:
        kill([driver.pid, *children(driver.pid)])  # the machine is gone
        driver.wait()
    count = len(sweep.load(uri).points)
    assert 0 < count < 24
    place.put("parts/notes.txt", b"hello")
    status = cli("status", uri).stdout
    assert f"{count} of 24 done, 0 running" in status and "left out: parts/notes.txt" in status
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "resume", uri, "--points", "28"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert uri in done.stdout and "parts/notes.txt" in done.stderr
    points = sweep.load(uri).points
    assert len(points) == len(points.drop_duplicates(KEY)) == 28
    where, root = filesystem_at(uri)
    assert sum(pq.read_metadata(f"{root}/{name}", filesystem=where).num_rows for name in place.parts()) == 28
    names = set(place.names())
    assert {"spec.json", "versions.json", "phase_diagram.png", "damaged/notes.txt"} <= names
    assert not {n for n in names if "lock" in n or "journal" in n or "tmp" in n}
    assert len(cli("results", uri).stdout.splitlines()) == 29
    assert cli("plot", uri, "-o", tmp_path / "x.png").exit_code == 0 and (tmp_path / "x.png").exists()
    again = cli("run", "--out", uri, "--points", 24)
    assert again.exit_code == 2 and "holds a sweep already" in again.stderr
    assert not any("SECRETSECRET" in text for text in (done.stdout, done.stderr, again.output))


def test_a_directory_with_its_results_at_a_uri(place, tmp_path, monkeypatch, without_ray):
    """Resumed from the directory, and by whoever has only the URI."""
    monkeypatch.setattr(Lease, "settling_s", 0.1)
    path, options = tmp_path / "sweep", ["--pack", 2, "--probe", "direct", "--images", 200, "--depth", 2, 6]
    done = cli("run", "--out", path, "--storage", place.uri, "--points", 6, *options)
    assert done.exit_code == 0, done.output
    assert not (path / "parts").exists() and (path / "phase_diagram.png").exists()
    done = cli("resume", path, "--points", 8, "--quiet")
    assert done.exit_code == 0 and len(sweep.load(path).points) == 8, done.output
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
    done = cli("resume", place.uri, "--points", 10, "--quiet")
    assert done.exit_code == 0 and len(sweep.load(path).points) == len(sweep.load(place.uri).points) == 10, done.output
    other = cli("run", "--out", tmp_path / "other", "--storage", place.uri, "--points", 6, *options)
    assert other.exit_code == 2 and "holds the results of another sweep" in other.stderr


def test_sweeps_are_joined_merged_and_drawn_at_a_uri(server, make_sweep, tmp_path, monkeypatch):
    from sweep.plots.kinds import save_figure
    from sweep.results.merge import merge

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Lease, "settling_s", 0.1)
    first, second = (Place(server.path(), server.options) for _ in range(2))
    here, *others = (make_sweep(count=n, folder=f"{n}", rows_a_part=1) for n in (15, 12, 14))
    there = merge([other.path for other in others], first.uri)
    both = merge([here.path, there.files.location], second.uri)
    assert len(both.points) == 15 and both.spec.storage == second.uri
    assert both.dataset.count_rows() == 15  # parts of the same content are one
    joined = sweep.load([here.path, second.uri])
    assert joined.profiles_at(layer=2).groupby("sweep").size().to_dict() == {str(here.path): 15, second.uri: 15}
    save_figure(both, "history")
    assert {"spec.json", "merged.json", "history.png"} < set(second.names())
