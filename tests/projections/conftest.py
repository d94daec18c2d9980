"""A read store of every kind, SQL or not; `sql_store` where SQL is asked."""

import pytest

from tests.support.read_store import any_store, any_store_url, sql_store
from toolkit.ports import ReadStore

__all__ = ["any_store", "any_store_url", "sql_store"]


@pytest.fixture
def read_store(any_store: ReadStore) -> ReadStore:
    return any_store


@pytest.fixture
def read_store_url(any_store_url: str) -> str:
    return any_store_url
