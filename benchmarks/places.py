"""Where a benchmark runs: SQLite files, or databases and a broker, made for it and gone after it."""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.support.insurer import Insurer, make_insurer

S = TypeVar("S", PostgresServer, KafkaServer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What the chosen options give; every insurer gets databases and topics of its own."""

    options: argparse.Namespace
    postgres: str | None
    kafka: str | None

    @property
    def server(self) -> str:
        """The PostgreSQL server, for a benchmark that needs one."""
        if self.postgres is None:
            raise ValueError("this benchmark needs PostgreSQL")
        return self.postgres

    @contextmanager
    def insurer(self, *, mended: bool = True) -> Iterator[Insurer]:
        """The insurer's project, mended or not, on a fresh estate."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))) / "project"

            def named(name: str) -> str:
                if self.postgres is None:
                    return f"sqlite:///{folder / name}.db"
                return stack.enter_context(database(self.postgres))

            environment = {"LEGACY_URL": named("legacy"), "READ_STORE_URL": named("read")}
            environment["LOG_URL"] = "sql:" if self.kafka is None else f"kafka://{self.kafka}"
            made = make_insurer(folder, environment, size=self.options.policies, mended=mended)
            settings = made.folder / "strangler.toml"
            own = f'name = "bench-{uuid.uuid4().hex[:8]}"'  # topics are called after the project
            settings.write_text(settings.read_text().replace('name = "insurer"', own))
            yield made


@contextmanager
def places(options: argparse.Namespace) -> Iterator[Places]:
    """Start what the options ask for."""
    with ExitStack() as stack:
        postgres = kafka = None
        if options.engine == "postgresql":
            postgres = options.postgres_url or _started(stack, PostgresServer).url()
        if options.log == "kafka":
            kafka = options.kafka or _started(stack, KafkaServer).bootstrap
        yield Places(options=options, postgres=postgres, kafka=kafka)


def _started(stack: ExitStack, make: Callable[[], S]) -> S:
    server = make()
    stack.callback(server.stop)
    server.start()
    return server


@contextmanager
def database(url: str) -> Iterator[str]:
    """A database of its own; gone afterwards."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        engine.dispose()
