"""Optuna's own tests of what every storage must do, on the journal that a Redis server keeps."""

import pytest
from optuna.storages import JournalStorage
from optuna.testing.pytest_storages import StorageTestCase

from sweep.search.optuna_patches import RedisJournal
from tests.helpers.servers import Redis


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    try:
        server.start()
        yield server
    finally:
        server.close()


class TestRedisJournal(StorageTestCase):
    # A connection stays in its process.
    test_pickle_storage = None

    @pytest.fixture
    def storage(self, redis):
        redis.connection.flushall()
        return JournalStorage(RedisJournal(redis.url))
