"""What every test may ask for: servers, fresh databases, topics. Nothing of the caller's environment leaks in."""

import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import pytest
from hypothesis import settings

from tests.servers.kafka import KafkaServer
from tests.servers.mariadb import MariaDBServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerUnavailable

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
NEEDS = {"postgres_server": "postgres", "kafka_server": "kafka", "mariadb_server": "mariadb"}
LONG = ("tests/examples/test_demo", "tests/insurer/", "tests/races/", "tests/pagila/", "tests/translate/")

for name in [name for name in os.environ if name.startswith("STRANGLER_")]:
    del os.environ[name]

settings.register_profile("person", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "person")


def pytest_configure(config: pytest.Config) -> None:
    # A terminated run unwinds like an interrupted one, so that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a server's fixture carries the server's marker. What takes minutes begins first: what several
    processes share out would wait for the last one otherwise.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if marker := NEEDS.get(fixture):
                item.add_marker(marker)


class Server(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


@contextmanager
def _running(make: Callable[[], S]) -> Iterator[S]:
    try:
        server = make()
    except ServerUnavailable as reason:
        if IN_CI:
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The running cluster. A test that kills it starts it again before it ends."""
    with _running(PostgresServer) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """The running broker. A test that kills it starts it again before it ends."""
    with _running(KafkaServer) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """The running server. A test that kills it starts it again before it ends."""
    with _running(MariaDBServer) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy URL (psycopg) of a database of this test's own."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: MariaDBServer) -> Iterator[str]:
    """SQLAlchemy URL (PyMySQL) of a database of this test's own."""
    with mariadb_server.database() as url:
        yield url


@pytest.fixture
def kafka_bootstrap(kafka_server: KafkaServer) -> str:
    return kafka_server.bootstrap


@pytest.fixture
def topic_name() -> str:
    """A topic nobody else uses. Topics are not made by asking for them: create it with its partitions."""
    return f"test-{uuid.uuid4().hex[:12]}"
