"""A projector that stands still in the midst of a commit, frozen or cut off, does not keep its version for ever."""

from typing import Any

import pytest

from adapters import standstill
from adapters.engines import writing
from adapters.read_store import bookkeeping
from adapters.read_store.sql import SqlReadStore
from tests.support.read_store import POLICY, START, TOPICS
from toolkit.core.errors import Infrastructure

NAME, VERSION = POLICY.name, POLICY.version


@pytest.mark.parametrize(
    "read_store_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_whoever_takes_the_version_over_ends_a_commit_that_stands_still(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "PATIENCE_S", 1)
    read_store.create(POLICY, TOPICS, START)
    epoch = read_store.seize(NAME, VERSION)

    def stands_still() -> None:
        with writing(read_store.engine) as frozen:
            bookkeeping.fence(frozen, NAME, VERSION, epoch, updated_at=START)
            driver: Any = frozen.connection.driver_connection
            with driver.cursor().copy(f"COPY {NAME}__v{VERSION} FROM STDIN"):
                assert read_store.seize(NAME, VERSION) == epoch + 1

    with pytest.raises(Infrastructure, match="cannot be used"):
        stands_still()
    assert read_store.rows(POLICY, None, 1) == []
