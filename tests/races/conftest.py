"""The bank on each engine: on a server with Kafka as its log and a PostgreSQL state database, or all of it in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bank import Bank
from tests.support.flowing import prepare

SERVERS = [
    pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.kafka]),
    pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.postgres, pytest.mark.kafka]),
]


@pytest.fixture(params=[*SERVERS, "sqlite"])
def bank(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> Iterator[Bank]:
    """Captured, and read from its beginning; nothing relays yet."""

    def url(fixture: str) -> str:
        return str(request.getfixturevalue(fixture))

    if request.param == "sqlite":
        legacy, state, log = f"sqlite:///{tmp_path}/legacy.db", f"sqlite:///{tmp_path}/state.db", "sql:"
    else:
        legacy, log = url(f"{request.param}_url"), f"kafka://{url('kafka_bootstrap')}"
        with request.getfixturevalue("postgres_server").database() as state:
            yield from made(tmp_path, topic_name, legacy, state, log)
        return
    yield from made(tmp_path, topic_name, legacy, state, log)


def made(folder: Path, name: str, legacy: str, state: str, log: str) -> Iterator[Bank]:
    bank = Bank(folder / "bank", name=name, legacy=legacy, log=log, state=state)
    try:
        with bank.opened() as app:
            prepare(app)
        yield bank
    finally:
        bank.close()
