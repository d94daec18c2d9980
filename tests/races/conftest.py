"""The bank on each engine: on a server with Kafka as its log and a PostgreSQL state database, or all of it in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.support.bank import Bank
from tests.support.flowing import prepare

SERVER_MARKS = {"postgres": pytest.mark.postgres, "mariadb": pytest.mark.mariadb}


def on(legacy: str, state: str = "postgres") -> ParameterSet:
    """The legacy database and the state database; Kafka is the log of servers."""
    marks = [SERVER_MARKS[one] for one in {legacy, state} & SERVER_MARKS.keys()]
    return pytest.param((legacy, state), marks=[*marks, pytest.mark.kafka], id=f"{legacy}-{state}")


SERVERS = [on("postgres"), on("mariadb")]


@pytest.fixture(params=[*SERVERS, pytest.param(("sqlite", "sqlite"), id="sqlite")])
def bank(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> Iterator[Bank]:
    """Captured, and read from its beginning; nothing relays yet."""
    with made(request, tmp_path, topic_name) as bank:
        yield bank


@pytest.fixture(params=SERVERS[:1])
def divided(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> Iterator[Bank]:
    """The same, in two shards."""
    with made(request, tmp_path, topic_name, shards=2) as bank:
        yield bank


@contextmanager
def made(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str, shards: int = 1) -> Iterator[Bank]:
    """A bank on the engines that the fixture asks for."""
    legacy, state = request.param
    with ExitStack() as stack:

        def database(kind: str, name: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path}/{name}.db"
            return str(stack.enter_context(request.getfixturevalue(f"{kind}_server").database()))

        log = "sql:" if legacy == "sqlite" else f"kafka://{request.getfixturevalue('kafka_bootstrap')}"
        bank = Bank(
            tmp_path / "bank",
            name=topic_name,
            legacy=database(legacy, "legacy"),
            state=database(state, "state"),
            log=log,
            shards=shards,
        )
        stack.callback(bank.close)
        with bank.opened() as app:
            prepare(app)
        yield bank
