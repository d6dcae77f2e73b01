"""Where a sweep lives."""

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.definition import ORIGINAL_DEFINITION
from sweep.errors import SpecError
from sweep.results.loading import load
from sweep.spec.secrets import holds_secret
from sweep.spec.spec import SweepSpec
from sweep.storage.sweep_files import SPEC_FILE, SweepFiles


def test_a_directory_is_its_own_working_folder(tmp_path):
    for directory in (tmp_path, str(tmp_path), f"file://{tmp_path}", f"{tmp_path}/"):
        files = SweepFiles(directory)
        assert (files.uri, files.local, files.location) == ("", tmp_path, str(tmp_path)) and files == SweepFiles(
            tmp_path
        )
    files.write("x", b"1")
    assert files.read("x") == b"1" and files.read("y") is None and (tmp_path / "x").read_bytes() == b"1"
    files.remove("x", "y")
    assert os.listdir(tmp_path) == []


def test_a_spec_at_its_storage_does_not_name_it(tmp_path):
    storage, here = tmp_path / "storage", tmp_path / "here"
    storage.mkdir()
    here.mkdir()
    spec = SweepSpec(points=7, storage=str(storage))
    for files in (SweepFiles(here), SweepFiles(storage)):
        files.write_spec(spec)
    assert SweepFiles(here).read_spec() == spec and SweepFiles(storage).read_spec() == replace(spec, storage=None)
    SweepFiles(here).check_storage(spec)
    assert load(storage).spec.points == 7  # whoever has only the storage has the sweep


@pytest.mark.parametrize("other", [{"width": 9}, {"sigma_w": (1.0, 2.0)}, {"seed": 3}])
def test_the_storage_of_another_sweep_is_refused(tmp_path, other):
    spec = SweepSpec(storage=str(tmp_path))
    with pytest.raises(SpecError, match="but holds no spec.json"):
        SweepFiles(tmp_path / "x").check_storage(spec)
    SweepFiles(tmp_path).write_spec(replace(SweepSpec(), **other))
    with pytest.raises(SpecError, match="but holds the spec.json of another sweep"):
        SweepFiles(tmp_path / "x").check_storage(spec)
    SweepFiles(tmp_path).write_spec(replace(SweepSpec(), points=999))
    SweepFiles(tmp_path / "x").check_storage(spec)


def test_the_digest_is_of_what_is_measured():
    spec = SweepSpec()
    same = {"points": 9, "sigma_w": (1, 2), "sigma_b": (0, 1), "depth": (2, 3), "replicas": 3, "seed": 5}
    same |= {"search": "sobol", "storage": "/x", "data_dir": "/y", "concurrency": 3, "pack": 2, "aim": "ridge"}
    for name, value in same.items():
        assert replace(spec, **{name: value}).digest == spec.digest, name
    differs = {"dataset": "noise", "images": 99, "resize": 7, "architecture": "conv", "width": 9, "widths": (9,) * 60}
    differs |= {"activation": "relu", "probe": "direct", "statistic": "direct_retained", "threshold": 0.5}
    differs |= {"penalty": 0.1, "decoded_layers": 9, "certainty": 0.1, "probe_steps": 9, "precision": "bfloat16"}
    differs |= {"train": "all", "train_images": 99, "epochs": 9, "optimizer": "adam", "lr": (0.5,), "batch": 9}
    differs |= {"level": 0.5, "patience": 9, "initialise": "orthogonal"}
    digests = {replace(spec, **{name: value}).digest for name, value in differs.items()}
    assert len(digests | {spec.digest}) == len(differs) + 1
    assert len({replace(spec, patience=value).digest for value in (None, 9, "auto")}) == 3
    assert replace(spec, dataset="/a/x.npz").digest == replace(spec, dataset="/b/x.npz").digest


def test_the_digest_does_not_change_with_versions():
    """Parts of today must belong to their sweeps tomorrow."""
    before = SweepSpec(definition=ORIGINAL_DEFINITION, statistic="direct_horizon")
    assert before.digest == "34548bb03f2680ff"
    second = replace(ORIGINAL_DEFINITION, version=2, direct_horizon=0.1)
    assert SweepSpec(definition=second).digest == "603743a2e4511cff"
    assert SweepSpec().digest == "b8a89d601e416d2f"  # since version 3 of the definition


@pytest.mark.parametrize("name", [*SweepSpec.__dataclass_fields__, "colour"])
@settings(max_examples=40)  # of each field: 1600 in all
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=5,
    )
)
def test_any_json_is_a_spec_or_one_line(name, value):
    try:
        SweepSpec.from_json(json.dumps({name: value}), "x")
    except SpecError as error:
        assert str(error) and "\n" not in str(error)


@pytest.mark.parametrize("content", [b"\xff", b"", b"[" * 100_000, b"{}{}", b"nan", b'{"points": 1e999}'])
def test_a_damaged_spec_is_one_line(tmp_path, content):
    (tmp_path / SPEC_FILE).write_bytes(content)
    with pytest.raises(SpecError) as caught:
        SweepFiles(tmp_path).read_spec()
    assert "\n" not in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / SPEC_FILE)
    with pytest.raises(OSError, match="not a file"):
        SweepFiles(tmp_path).read_spec()


SECRET = [
    "s3://key:secret@bucket/x",
    "s3://key:se/cret@bucket/x",
    "s3://key@bucket",
    "S3://key:secret@bucket",
    "s3://key:secret",
    "s3://bucket/x?access_key=1&secret_key=2",
    "s3://bucket/x?region=a&Secret%5FKey=2",
    "s3://bucket/x?session_token=1",
    "s3://bucket?endpoint_override=http://me:word@host",
    "hdfs://me:word@host/x",
    "https://host/x?sig=abc",
    "gs://bucket?X-Goog-Signature=abc",
    "redis://:word@host/0",
    "postgresql://me:word@host/db",
]
PLAIN = [
    "/files/me@x:y/z",
    "runs/key=secret",
    "s3://bucket/x?endpoint_override=127.0.0.1:5000&scheme=http&region=eu-west-1",
    "s3://bucket/2024@night/x",
    "gs://anonymous@bucket/x",
    "hdfs://me@host:9000/x",
    "abfss://container@account.dfs.core.windows.net/x",
    "file:///tmp/x",
]


@pytest.mark.parametrize("uri", SECRET)
def test_secrets_are_refused_and_not_repeated(uri):
    assert holds_secret(uri)
    for refuse in (lambda: SweepFiles(uri), lambda: SweepSpec(storage=uri)):
        with pytest.raises(SpecError, match="environment") as caught:
            refuse()
        assert uri not in str(caught.value) and not any(s in str(caught.value) for s in ("secret", "cret@", "word@"))


@pytest.mark.parametrize("uri", PLAIN)
def test_what_is_no_secret_is_not_refused(uri):
    assert not holds_secret(uri) and SweepSpec(storage=uri).storage == uri
