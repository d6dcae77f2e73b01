"""One test for each private name of Optuna that is used."""

import json
import sys
from types import SimpleNamespace

import optuna
import pytest
from optuna.storages import JournalStorage
from packaging.specifiers import SpecifierSet

from sweep.errors import SpecError
from sweep.search.journal import open_study
from sweep.search.optuna_patches import CHECKED, RedisJournal, storage_of
from sweep.spec.spec import SweepSpec


class FakeRedis:
    """A server in memory: what Optuna's journal and ours ask of it."""

    def __init__(self):
        self.kept = {}

    def get(self, key):
        return None if key not in self.kept else str(self.kept[key]).encode()

    def mget(self, keys):
        return [self.kept.get(k) for k in keys]

    def setnx(self, key, value):
        self.kept.setdefault(key, value)

    def eval(self, script, keys, prefix, line):
        self.kept[f"{prefix}:log_number"] = number = int(self.kept[f"{prefix}:log_number"]) + 1
        self.kept[f"{prefix}:log:{number}"] = line


@pytest.fixture
def redis(monkeypatch):
    from optuna.storages.journal import _redis

    server = FakeRedis()
    module = SimpleNamespace(Redis=SimpleNamespace(from_url=lambda url: server))
    monkeypatch.setitem(sys.modules, "redis", module)
    monkeypatch.setattr(_redis, "redis", module, raising=False)
    return server


def test_the_version_is_one_that_was_checked():
    assert optuna.__version__ in SpecifierSet(CHECKED, prereleases=True)


def test_where_a_study_is_kept():
    study = optuna.create_study()
    storage, number = storage_of(study)
    assert storage.get_study_name_from_id(number) == study.study_name


@pytest.mark.parametrize("gone", ["_storage", "_study_id"])
def test_a_study_that_does_not_say_where_it_is_kept_is_not_used(gone):
    study = optuna.create_study()
    delattr(study, gone)
    with pytest.raises(RuntimeError, match="please install optuna>=5"):
        storage_of(study)


def test_a_journal_on_redis_lies_where_it_is_read(redis):
    study = optuna.create_study(study_name="s", storage=JournalStorage(RedisJournal("redis://")))
    study.tell(study.ask(), 1.0)
    assert redis.kept[":log_number"] >= 2 and json.loads(redis.kept[":log:0"])["study_name"] == "s"
    again = optuna.load_study(study_name="s", storage=JournalStorage(RedisJournal("redis://")))
    assert [t.value for t in again.trials] == [1.0]


def test_a_journal_that_has_lost_lines_is_not_used(redis):
    optuna.create_study(storage=JournalStorage(RedisJournal("redis://")))
    redis.kept[":log_number"] += 2
    with pytest.raises(LookupError, match="lost a part"):
        JournalStorage(RedisJournal("redis://"))


def test_a_journal_that_optuna_keeps_elsewhere_is_not_used(redis, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeRedis, "eval", lambda *a: None)
    monkeypatch.setattr(FakeRedis, "setnx", lambda *a: None)
    with pytest.raises(RuntimeError, match="keeps its journal elsewhere"):
        optuna.create_study(storage=JournalStorage(RedisJournal("redis://")))
    monkeypatch.setenv("STUDY", "redis://")
    with pytest.raises(SpecError, match="cannot be used: RuntimeError"):
        open_study(SweepSpec(study="env:STUDY"), tmp_path)
