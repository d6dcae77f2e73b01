"""Optuna's own tests of what every storage must do, on the journal of a sweep; on that of Redis: tests/service."""

import pytest
from optuna.storages import JournalStorage
from optuna.testing.pytest_storages import StorageTestCase

from sweep.search.journal import FileJournal


class TestFileJournal(StorageTestCase):
    # One process writes a journal, and gives it to no other.
    test_pickle_storage = None

    @pytest.fixture
    def storage(self, tmp_path):
        return JournalStorage(FileJournal(tmp_path / "study.journal"))
