"""The small legacy database of `tests.support.legacy` on PostgreSQL, captured from its write-ahead log."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.legacy.wal.capture import WalCapture, open_capture
from adapters.state.store import State, open_state
from migrations.schema.state import metadata
from tests.support.legacy import SOURCE, Legacy
from toolkit.inbox import Fetching
from toolkit.ports import LegacySource
from toolkit.settings import LegacySection, WalSection


class LogLegacy(Legacy):
    """As the application and the toolkit use it, with the state database that holds the inbox."""

    def __init__(self, url: str, state_url: str, **wal: str) -> None:
        self.state: State = open_state(state_url)
        metadata.create_all(self.state.engine)
        self.opened: list[WalCapture] = []
        # Slots belong to the server, not to a database of it.
        self.wal = WalSection(**{"slot": f"s_{uuid.uuid4().hex[:12]}", **wal})
        super().__init__(url)

    def open(self, **limits: object) -> LegacySource:
        source = super().open(**limits)
        source.capture = self.capturing(self.url)
        return source

    def capturing(self, url: str) -> WalCapture:
        """A capture of its own, as another process would have."""
        section = LegacySection(url=url, context="policies", capture="wal", wal=self.wal)
        inbox = self.state.inbox(SOURCE)
        made = open_capture(Fetching(source=SOURCE, url=url, section=section, inbox=inbox))
        self.opened.append(made)
        return made

    @property
    def capture(self) -> WalCapture:
        made = self.source.capture
        assert isinstance(made, WalCapture)
        return made

    @property
    def slot(self) -> str:
        return self.wal.slot

    def ask(self, sql: str) -> object:
        with self.engine.connect() as connection:
            done = connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(sql))
            return done.scalar() if done.returns_rows else None

    def again(self) -> None:
        """Go on as another process, which knows only what was stored."""
        self.source.capture.close()
        self.source.capture = self.capturing(self.url)

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.state.close()
        super().close()


@pytest.fixture
def legacy(postgres_url: str, tmp_path: Path) -> Iterator[LogLegacy]:
    """The database, not captured yet."""
    made = LogLegacy(postgres_url, f"sqlite:///{tmp_path}/state.db")
    yield made
    made.close()
