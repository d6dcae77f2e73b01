"""Sweeps on object storage: a moto server on loopback."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import uuid

import pyarrow.parquet as pq
import pytest
from pyarrow import fs

import sweep
from sweep.errors import SpecError, StoreError
from sweep.spec.spec import SweepSpec
from sweep.storage import files, lease
from sweep.storage import store as store_module
from sweep.storage.checkpoints import Checkpoints
from sweep.storage.files import filesystem
from sweep.storage.home import Home
from sweep.storage.lease import Lease
from sweep.storage.lock import is_running, locked
from sweep.storage.store import Store

moto_server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # moto's own, in its threads

KEY = ["sigma_w", "sigma_b", "depth", "seed"]


def rows(*seeds, **more):
    point = {"sigma_w": 1.0, "sigma_b": 0.1, "depth": 5, "status": "ok", "margin": 0.5}
    return [{**point, "seed": s, **more} for s in seeds]


class Server:
    """An S3 with one bucket, which can go away and come back."""

    def __init__(self):
        self.port = 0
        self._folder = uuid.uuid4().hex  # moto remembers, across servers
        self.start()
        self.options = f"endpoint_override=127.0.0.1:{self.port}&scheme=http"
        self.make_bucket()

    def start(self):
        self._server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self):
        self._server.stop()

    def make_bucket(self):
        made, _ = fs.FileSystem.from_uri(f"s3://bucket?{self.options}&allow_bucket_creation=true")
        made.create_dir("bucket")

    def uri(self, path):
        return f"s3://bucket/{self._folder}/{path}?{self.options}"


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "SECRETSECRET",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    found = Server()
    yield found
    found.stop()


def names(uri):
    where, root = filesystem(uri)
    found = where.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return sorted(info.path.removeprefix(root + "/") for info in found if info.is_file)


def parts(uri):
    return [name for name in names(uri) if name.startswith("parts/")]


def put(uri, name, data):
    where, root = filesystem(uri)
    with where.open_output_stream(f"{root}/{name}") as out:
        out.write(data)


def test_a_store(server):
    uri = server.uri("some/where")
    store = Store(uri, "digest")
    assert store.read().num_rows == 0
    store.create()
    store.write(rows(0, 1, profile_direct_retained=[1.0, 0.5]))
    store.write(rows(1, 2))
    assert sorted(Store(uri, "digest").read()["seed"].to_pylist()) == [0, 1, 2]
    assert store.read(["profile_direct_retained"]).num_columns == 5 and len(parts(uri)) == 2


def test_parts_in_an_object_storage_stay_as_they_are(server, monkeypatch):
    monkeypatch.setattr(store_module, "_MANY", 2)
    uri = server.uri("x")
    store = Store(uri)
    store.create()
    for seed in range(5):
        store.write(rows(seed))
    before = parts(uri)
    store.put_together()
    assert parts(uri) == before and len(before) == 5


def test_what_is_damaged_is_named_and_set_aside(server):
    uri = server.uri("x")
    store = Store(uri, "digest")
    store.create()
    store.write(rows(0))
    whole = names(uri)
    Store(uri, "other").write(rows(7))
    (foreign,) = set(names(uri)) - set(whole)
    where, root = filesystem(uri)
    with where.open_input_file(f"{root}/{whole[0]}") as file:
        data = file.readall()
    put(uri, "parts/part-" + "a" * 32 + ".parquet", data[:-9])
    put(uri, "parts/notes.txt", b"hello")
    put(uri, "parts/empty.parquet", b"")
    put(uri, "parts/sub/deep/inner.parquet", b"x")
    put(uri, "parts/.writable-" + "b" * 32, b"")
    assert store.read()["seed"].to_pylist() == [0]
    named = {foreign, "parts/part-" + "a" * 32 + ".parquet", "parts/notes.txt", "parts/empty.parquet", "parts/sub"}
    assert set(store.damaged) == named and "another sweep" in store.damaged[foreign]
    assert set(store.set_aside()) == named
    assert parts(uri) == whole and "damaged/sub/deep/inner.parquet" in names(uri)
    assert {n.replace("damaged/", "parts/") for n in store.aside()} == named
    assert store.read().num_rows == 1 and not store.damaged


def test_a_storage_that_goes_away_and_comes_back(server, monkeypatch):
    monkeypatch.setattr(files, "_WAITS", (0.1,))
    uri = server.uri("x")
    store = Store(uri)
    store.create()
    store.write(rows(0))
    server.stop()
    for fails in (lambda: store.write(rows(1)), store.read, lambda: Home(uri).read_spec(), lambda: store.create()):
        with pytest.raises(StoreError, match="cannot be (read|written)") as caught:
            fails()
        assert "\n" not in str(caught.value) and "SECRETSECRET" not in str(caught.value)
    assert not is_running(uri)
    Checkpoints(uri).save({})
    server.start()
    assert store.read()["seed"].to_pylist() == [0] and not store.damaged
    store.write(rows(1))
    assert sorted(store.read()["seed"].to_pylist()) == [0, 1] and not store.damaged


def test_half_an_object_does_not_stay(server, monkeypatch):
    """Arrow completes an upload even where it was interrupted by an error."""
    uri = server.uri("x")
    where, root = filesystem(uri)

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
    assert names(uri) == []


def test_a_home(server, tmp_path):
    uri = server.uri("my/sweep")
    home = Home(uri)
    with pytest.raises(SpecError, match="is no sweep"):
        home.read_spec()
    home.write_spec(SweepSpec(points=9, storage=uri))
    assert json.loads(home.read("spec.json"))["storage"] is None
    assert home.read_spec() == SweepSpec(points=9, storage=uri)
    assert home.local.is_relative_to(tmp_path / "cache") and home.local.stat().st_mode & 0o777 == 0o700
    assert Home(server.uri("other")).local != home.local == Home(uri).local
    (home.local / "x.png").write_bytes(b"picture")
    (tmp_path / "y.png").write_bytes(b"")
    home.publish(home.local / "x.png")
    home.publish(tmp_path / "y.png")
    assert names(uri) == ["spec.json", "x.png"]
    home.remove("spec.json", "nothing")
    assert home.read("spec.json") is None


def test_a_spec_at_a_uri_says_nothing_about_where_it_is(server):
    uri = server.uri("x")
    Home(uri).write("spec.json", SweepSpec(storage="/etc").as_json().encode())
    assert Home(uri).read_spec().storage == uri


def test_checkpoints(server):
    from probes import Point

    uri, point = server.uri("x"), Point(1.0, 0.1, 3, 0)
    checkpoints = Checkpoints(uri)
    checkpoints.save({point: {"a": 1}})
    assert checkpoints.load([point]) == {point: {"a": 1}}
    put(uri, "checkpoints/mine.txt", b"x")
    checkpoints.clear()
    assert names(uri) == ["checkpoints/mine.txt"]


def test_one_driver_at_a_uri(server, monkeypatch):
    monkeypatch.setattr(lease, "SETTLE", 0.1)
    uri = server.uri("x")
    assert not is_running(uri)
    with locked(uri):
        assert is_running(uri)
        with pytest.raises(SpecError, match=f"is being run by process {os.getpid()} on"), locked(uri):
            pass
    assert not is_running(uri) and names(uri) == []
    where, root = filesystem(uri)
    put(uri, "sweep.lock", json.dumps({"id": "x", "holder": "process 7 on far"}).encode())
    with pytest.raises(SpecError, match="process 7 on far"), locked(uri):
        pass
    time.sleep(2.1)  # the clock of S3 ticks in seconds
    with Lease(where, f"{root}/sweep.lock", renew=1, dead=1, settle=0.1).held():
        assert is_running(uri)


def run(*arguments, cache):
    command = [sys.executable, "-m", "sweep", *map(str, arguments)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def start(*arguments, cache, uri):
    command = [sys.executable, "-m", "sweep", *map(str, arguments)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while len(parts(uri)) < 2:
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    return driver


def test_a_sweep_that_lives_at_a_uri(server, tmp_path):
    """Killed on one machine, resumed on another: every point once."""
    uri, here, there = server.uri("sweeps/first"), tmp_path / "here", tmp_path / "there"
    options = ["--points", 24, "--pack", 1, "--probe-steps", 1000, "--concurrency", 1]
    driver = start("run", "--out", uri, *options, cache=here, uri=uri)
    second = run("resume", uri, cache=there)
    assert second.returncode == 2 and f"is being run by process {driver.pid} on" in second.stderr, second.stderr
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    count = len(sweep.load(uri).points)
    assert 0 < count < 24
    put(uri, "parts/notes.txt", b"hello")
    status = run("status", uri, cache=there)
    assert f"{count} of 24 done, 0 running" in status.stdout and "left out: parts/notes.txt" in status.stdout
    done = run("resume", uri, "--points", 28, cache=there)
    assert done.returncode == 0, done.stderr
    assert uri in done.stdout and "parts/notes.txt" in done.stderr
    points = sweep.load(uri).points
    assert len(points) == len(points.drop_duplicates(KEY)) == 28
    where, root = filesystem(uri)
    assert sum(pq.read_metadata(f"{root}/{name}", filesystem=where).num_rows for name in parts(uri)) == 28
    assert {"spec.json", "versions.json", "phase_diagram.png", "damaged/notes.txt"} <= set(names(uri))
    assert not {n for n in names(uri) if "lock" in n or "journal" in n or "tmp" in n}
    assert len(run("results", uri, cache=there).stdout.splitlines()) == 29
    assert run("plot", uri, "-o", tmp_path / "x.png", cache=there).returncode == 0 and (tmp_path / "x.png").exists()
    again = run("run", "--out", uri, *options, cache=here)
    assert again.returncode == 2 and "holds a sweep already" in again.stderr
    assert not any("SECRETSECRET" in text for text in (done.stdout, done.stderr, again.stderr))


def test_a_directory_with_its_results_at_a_uri(server, tmp_path):
    """Resumed from the directory, and by whoever has only the URI."""
    uri, path = server.uri("sweeps/second"), tmp_path / "sweep"
    options = ["--points", 6, "--pack", 2, "--probe", "direct", "--images", 400]
    done = run("run", "--out", path, "--storage", uri, *options, cache=tmp_path / "here")
    assert done.returncode == 0, done.stderr
    assert not (path / "parts").exists() and (path / "phase_diagram.png").exists()
    done = run("resume", path, "--points", 8, "--quiet", cache=tmp_path / "here")
    assert done.returncode == 0 and len(sweep.load(path).points) == 8, done.stderr
    done = run("resume", uri, "--points", 10, "--quiet", cache=tmp_path / "there")
    assert done.returncode == 0 and len(sweep.load(path).points) == len(sweep.load(uri).points) == 10, done.stderr
    other = run("run", "--out", tmp_path / "other", "--storage", uri, *options, cache=tmp_path / "here")
    assert other.returncode == 2 and "holds the results of another sweep" in other.stderr


@pytest.mark.parametrize("uri", ["s3://key:secret@bucket/x", "s3://bucket/x?secret_key=secret"])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(uri, tmp_path):
    for arguments in (["run", "--out", uri], ["run", "--storage", uri, "--out", tmp_path / "x"], ["status", uri]):
        done = run(*arguments, cache=tmp_path)
        assert done.returncode == 2 and "environment" in done.stderr and "Traceback" not in done.stderr
        assert "secret@" not in done.stderr and "=secret" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_sweeps_are_joined_merged_and_drawn_at_a_uri(server, make_sweep, tmp_path):
    from sweep.plots.kinds import save_figure
    from sweep.results.merge import merge

    here, there = (
        make_sweep(count=15),
        merge([make_sweep(count=n, folder=f"{n}").path for n in (12, 14)], server.uri("a")),
    )
    both = merge([here.path, there.home.place], server.uri("b"))
    assert len(both.points) == 15 and both.spec.storage == server.uri("b")
    assert both.dataset.count_rows() == 15  # parts of the same content are one
    joined = sweep.load([here.path, server.uri("b")])
    assert joined.profiles_at(layer=2).groupby("sweep").size().to_dict() == {str(here.path): 15, server.uri("b"): 15}
    save_figure(both, "history")
    assert {"spec.json", "merged.json", "history.png"} < set(names(server.uri("b")))
