"""Strangers: at the ports of a sweep that runs, in a configuration file, in what is written down."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from pyarrow import fs

from sweep.errors import UnavailableError
from sweep.execution import cluster
from sweep.execution.cluster import authenticate, protect_token
from tests.helpers.nodes import children, clusters

TOKEN = "0123456789abcdef" * 4
SLOW = "--probe cascade --probe-steps 300 --depth 20 40 --points 500 --pack 1 --search sobol --quiet".split()
# What Ray's processes are asked for, by service: nodes, trials, code to be run, an end.
CALLS = (
    "NodeInfoGcsService/GetAllNodeInfo",
    "JobInfoGcsService/AddJob",
    "InternalKVGcsService/InternalKVKeys",
    "ActorInfoGcsService/RegisterActor",
    "NodeInfoGcsService/RegisterNode",
    "NodeManagerService/GetNodeStats",
    "NodeManagerService/RequestWorkerLease",
    "NodeManagerService/ShutdownRaylet",
    "CoreWorkerService/PushTask",
    "CoreWorkerService/Exit",
    "ObjectManagerService/Pull",
)
PAGES = ("/", "/api/version", "/api/jobs/", "/nodes", "/get_or_create_runtime_env")


def listening(pid):
    """Ports where a process or one of its descendants is spoken to by TCP, with the addresses."""
    sockets = set()
    for process in (pid, *children(pid)):
        for file in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(os.readlink(file))
            except OSError:
                continue
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                address, _, port = words[1].rpartition(":")
                found[int(port, 16)] = address
    return found


def curl(*arguments):
    command = ["curl", "--silent", "--max-time", "5", "--output", "/dev/null", "--dump-header", "-", *arguments]
    return subprocess.run(command, capture_output=True, text=True, input="\0\0\0\0\0", timeout=20).stdout


def statuses(port, token=None, host="127.0.0.1", calls=CALLS):
    """What a port answers to all that may be asked: gRPC's statuses and those of HTTP."""
    grpc, http = [], []
    credentials = ["--header", f"authorization: Bearer {token}"] if token else []
    asked = ["--http2-prior-knowledge", "--data-binary", "@-", "--header", "content-type: application/grpc"]
    for call in calls:
        said = curl(*asked, "--header", "te: trailers", *credentials, f"http://{host}:{port}/ray.rpc.{call}")
        grpc += re.findall(r"(?im)^grpc-status: (\d+)", said)
    for page in PAGES:
        how = ["--data-binary", "@-"] if "create" in page else []
        http += re.findall(
            r"(?m)^HTTP/1\S* (\d+)", curl("--http1.1", *how, *credentials, f"http://{host}:{port}{page}")
        )
    return grpc, http


REFUSED = {"16", "12"}  # not authenticated; no such service


def check_closed(pid, host="127.0.0.1"):
    """Nobody is let in without the token, whoever has it is: the check can tell."""
    ports = listening(pid)
    harmless = [statuses(port, TOKEN, host, CALLS[:1])[0] for port in ports]
    assert ["0"] in harmless, (ports, harmless)
    for port in ports:
        for token in (None, "f" * 64):
            grpc, http = statuses(port, token, host)
            assert set(grpc) <= REFUSED, (port, token, grpc)
            assert set(http) <= {"401", "403", "404", "405"}, (port, token, http)


STRANGER = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(lambda: "I am in").remote()))
"""


def stranger(address, home, **environment):
    """What becomes of one who wants to run a task."""
    given = {**os.environ, "HOME": str(home), "RAY_gcs_rpc_server_reconnect_timeout_s": "5", **environment}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, address], capture_output=True, text=True, timeout=100, env=given
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Of somebody whose token was written by Ray, which lets everybody read it."""
    if "HTTP2" not in (shutil.which("curl") and subprocess.check_output(["curl", "--version"], text=True) or ""):
        pytest.skip("curl with HTTP2 is not installed")
    folder = tmp_path / "home"
    (folder / ".ray").mkdir(parents=True)
    token = folder / ".ray" / "auth_token"
    token.write_text(TOKEN)
    token.chmod(0o644)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def address_of(driver):
    """Of the Ray that a sweep started."""
    for pid in children(driver.pid):
        if found := re.search(rb"--gcs-address=([\d.]+:\d+)", Path(f"/proc/{pid}/cmdline").read_bytes()):
            return found[1].decode()
    raise AssertionError("no Ray")


def test_a_stranger_at_a_sweep_on_one_machine(home, tmp_path):
    path, log = tmp_path / "sweep", tmp_path / "log"
    with log.open("wb") as out:
        driver = subprocess.Popen([sys.executable, "-m", "sweep", "run", "--out", path, *SLOW], stdout=out, stderr=out)
    try:
        end = time.monotonic() + 100
        while not list(path.glob("parts/*.parquet")):
            assert driver.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        assert (home / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
        assert TOKEN.encode() not in b"".join(_title(p) for p in Path("/proc").glob("[0-9]*"))
        address = address_of(driver)
        check_closed(driver.pid, address.rpartition(":")[0])
        (tmp_path / "stranger").mkdir()
        for given in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}):
            code, said = stranger(address, tmp_path, **given)
            assert code != 0 and "AuthenticationError" in said and "I am in" not in said
        assert driver.poll() is None, log.read_text()
    finally:
        driver.terminate()
        assert driver.wait(60) == 130
    assert [p for p in [log, *path.rglob("*")] if p.is_file() and TOKEN.encode() in p.read_bytes()] == []


def test_a_stranger_at_a_cluster(home):
    with clusters() as make:
        cluster = make()
        node = cluster.add()
        check_closed(cluster.head.pid)
        check_nobody_is_let_in(node.pid)
        code, said = stranger(cluster.address, home, RAY_AUTH_MODE="token")
        assert code == 0 and "I am in" in said


def check_nobody_is_let_in(pid):
    for port in listening(pid):
        grpc, http = statuses(port)
        assert set(grpc) <= REFUSED and set(http) <= {"401", "403", "404", "405"}, (port, grpc, http)


@pytest.fixture
def ray_folder(monkeypatch):
    """Of Ray's own logs; a short path."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore")  # moto's own, in its threads
def test_the_keys_of_a_storage_are_written_nowhere(tmp_path, monkeypatch, ray_folder):
    """Not in a command line, a log of ours or Ray's, or what is stored."""
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    keys = {"AWS_ACCESS_KEY_ID": "AKIAHUSHHUSH1234", "AWS_SECRET_ACCESS_KEY": "hush/hush/5678"}
    more = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1", "XDG_CACHE_HOME": str(tmp_path)}
    for name, value in {**keys, **more}.items():
        monkeypatch.setenv(name, value)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        options = f"endpoint_override=127.0.0.1:{server.get_host_and_port()[1]}&scheme=http"
        storage, _ = fs.FileSystem.from_uri(f"s3://hush?{options}&allow_bucket_creation=true")
        storage.create_dir("hush")
        small = "--points 8 --probe direct --images 200 --depth 3 6 --search sobol --pack 1".split()
        command = [sys.executable, "-m", "sweep", "run", "--out", f"s3://hush/sweep?{options}", *small]
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        titles = set()
        while driver.poll() is None:
            titles.update(_title(p) for p in Path("/proc").glob("[0-9]*"))
            time.sleep(0.1)
        said = driver.stdout.read()
        driver.stdout.close()
        assert driver.returncode == 0, said.decode()
        listed = storage.get_file_info(fs.FileSelector("hush", recursive=True))
        stored = [storage.open_input_file(f.path).read() for f in listed if f.is_file]
    finally:
        server.stop()
    logs = [p.read_bytes() for folder in (ray_folder, tmp_path) for p in folder.rglob("*") if p.is_file()]
    assert any(b"gcs_server" in title for title in titles) and len(stored) >= 10 and len(logs) > 10
    for key in map(str.encode, keys.values()):
        assert not any(key in text for text in (said, *titles, *stored, *logs))


def _title(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_token_is_for_its_owner_alone(home, monkeypatch):
    token = home / ".ray" / "auth_token"
    assert protect_token()
    assert token.stat().st_mode & 0o777 == 0o600 and token.read_text() == TOKEN
    token.unlink()
    assert not protect_token() and not token.exists()
    assert protect_token(make=True)
    assert token.stat().st_mode & 0o777 == 0o600 and re.fullmatch("[0-9a-f]{64}", token.read_text())
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.parametrize("required", ("", "token"))
def test_a_token_is_shown_only_where_it_is_required(home, monkeypatch, required):
    """The command that asks a cluster whether it is well is replaced by one that looks at the mode alone."""
    program = f"import os, sys; sys.exit(os.environ.get('RAY_AUTH_MODE', '') != {required!r})"
    monkeypatch.setattr(cluster, "RAY_COMMAND", (sys.executable, "-c", program))
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # so that it is forgotten in the end
    monkeypatch.delenv("RAY_AUTH_MODE")
    authenticate("10.0.0.1:6379")
    assert os.environ.get("RAY_AUTH_MODE", "") == required
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # the user decides
    with pytest.raises(UnavailableError, match="no Ray cluster answers there"):
        authenticate("10.0.0.1:6379")


def refused(path):
    """One line, within seconds, that a terminal does not obey."""
    command = [sys.executable, "-m", "sweep", "run", "--out", f"{path}-out", "--config", path]
    limit = f'ulimit -v {6 * 2**20} && exec "$@"'  # of an endless file, not all
    done = subprocess.run(["sh", "-c", limit, "sh", *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-2000:]
    *_, last = lines = done.stderr.splitlines()
    assert last.startswith("Error: ") and sum(line.startswith("Error: ") for line in lines) == 1
    assert len(done.stderr) < 5000 and all(line.isprintable() for line in lines)
    assert not os.path.exists(f"{path}-out")


@pytest.mark.parametrize(
    "content",
    [
        b'address = "\\u001b[2J:99999"',  # Ray itself is asked
        b"points = " + b"[" * 30_000,
        b"[[" * 3_000_000,
        b"dataset = '" + b"x" * 6_000_000,
    ],
    ids=["an escape sequence as address", "arrays in arrays", "megabytes of brackets", "megabytes of a text"],
)
def test_a_hostile_configuration_is_one_line(content, tmp_path):
    """The worst of those in tests/unit/cli/test_hostile_configurations.py, in a process with little memory."""
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    refused(path)


def test_a_configuration_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "zero", "loop", ".", "missing", "x" * 300):
        refused(tmp_path / name)
