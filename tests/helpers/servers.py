"""Real PostgreSQL, Redis and S3 servers for tests; they skip where a program or its Python package is missing."""

import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from pyarrow import fs

from tests.helpers.nodes import children, kill

PASSWORD = "hush-hush-1234"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def program(name):
    found = shutil.which(name) or next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    return str(found) if found else pytest.skip(f"{name} is not installed")


class Server:
    """One that can be killed and started again; its data survive."""

    def __init__(self):
        # Beside the tests' own folders, which other users cannot enter.
        self.folder, self.port, self._process = Path(tempfile.mkdtemp()), free_port(), None

    def kill(self):
        if self._process is not None:
            kill([*children(self._process.pid), self._process.pid])
            self._process.wait(30)
            self._process = None

    def close(self):
        self.kill()
        shutil.rmtree(self.folder)

    def _start(self, command, **more):
        out = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, **more)

    def _wait(self, is_up):
        end = time.monotonic() + 60
        try:
            while not is_up():
                assert self._process.poll() is None and time.monotonic() < end
                time.sleep(0.1)
        except BaseException:
            self.kill()
            raise


class Sqlite(Server):
    """No server, but a file; killed, its table of trials is gone."""

    def __init__(self):
        super().__init__()
        self.url = f"sqlite:///{self.folder}/study.sqlite"

    def start(self):
        pass

    def kill(self):
        import sqlite3

        connection = sqlite3.connect(self.folder / "study.sqlite")
        connection.execute("ALTER TABLE trials RENAME TO elsewhere")
        connection.close()

    def close(self):
        shutil.rmtree(self.folder)


class Redis(Server):
    """With a password, and everything written to its disk."""

    def __init__(self):
        self.client = pytest.importorskip("redis")
        self._program = program("redis-server")
        super().__init__()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self):
        config = f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nrequirepass {PASSWORD}\nappendonly yes\n"
        (self.folder / "redis.conf").write_text(config)
        self._start([self._program, self.folder / "redis.conf"])
        self.connection = self.client.Redis.from_url(self.url)
        self._wait(self._is_up)

    def _is_up(self):
        try:
            return self.connection.ping()
        except self.client.RedisError:
            return False

    def close(self):
        self.connection.close()
        super().close()


class Postgres(Server):
    """With a password; refuses to run as root."""

    def __init__(self):
        self._driver = pytest.importorskip("psycopg")
        initdb, self._program = program("initdb"), program("postgres")
        super().__init__()
        self._as = {}
        if not os.geteuid():
            self._as = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.folder, "postgres", "postgres")
        self.url = f"postgresql+psycopg://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = ["-D", self.folder / "data", "--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run([initdb, *data, "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as)

    def start(self):
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        options = ["-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1"]
        self._start([self._program, "-D", self.folder / "data", *options], cwd="/", **self._as)
        self._wait(self._is_up)

    def _is_up(self):
        try:
            self._driver.connect(self.url.replace("+psycopg", "")).close()
        except self._driver.OperationalError:
            return False
        return True


KINDS = {"sqlite": Sqlite, "postgresql": Postgres, "redis": Redis}


class S3:
    """A moto server with one bucket, in threads of this process, which can go away and come back."""

    ENVIRONMENT = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "SECRETSECRET",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

    def __init__(self):
        self._moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._port = 0
        self.start()
        self.options = f"?endpoint_override=127.0.0.1:{self._port}&scheme=http"
        made, _ = fs.FileSystem.from_uri(f"s3://bucket{self.options}&allow_bucket_creation=true")
        made.create_dir("bucket")

    def start(self):
        self._server = self._moto.ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self):
        self._server.stop()

    def path(self):
        """Return a new path in the bucket, as a URI without its options; moto remembers, across servers."""
        return f"s3://bucket/{uuid.uuid4().hex}"
