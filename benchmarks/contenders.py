"""Our pipeline and the naive one, driven alike."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from decimal import Decimal
from typing import Protocol

import msgspec
from sqlalchemy import text

from adapters.engines import open_engine, reading
from benchmarks.naive import Naive, change_table
from tests.support import python_child, wait_until
from tests.support.flowing import following, reach_now
from tests.support.insurer import Insurer
from toolkit.app import App

PATIENCE = 3600.0
"""Seconds after which a benchmark that waits gives up."""


class Contender(Protocol):
    """A pipeline from the legacy database to a read store."""

    def following(self) -> AbstractContextManager[None]:
        """Run it in threads of this process, from the first thing it does until it has caught up."""

    def running(self) -> AbstractContextManager[None]:
        """Run it in processes of its own, as it runs in production; begins when it has caught up."""

    def reach(self) -> None:
        """Wait until what is committed now can be read."""

    def shows(self, policy: str, cents: int) -> bool:
        """Has the read store this premium for the policy?"""


class Ours:
    """The toolkit on the insurer's project: `strangler relay` and `strangler project`."""

    def __init__(self, insurer: Insurer, app: App) -> None:
        self._insurer, self._app = insurer, app
        self._read = open_engine(app.project.settings.read_store.url)

    def following(self) -> AbstractContextManager[None]:
        return following(self._app, PATIENCE)

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._insurer.running("relay"), self._insurer.running("project"):
            self.reach()
            yield

    def reach(self) -> None:
        reach_now(self._app, timeout=PATIENCE)

    def shows(self, policy: str, cents: int) -> bool:
        with reading(self._read) as connection:
            found = connection.scalar(
                text("SELECT premium FROM customer_policy WHERE policy_no = :policy"), {"policy": policy}
            )
        return found is not None and Decimal(str(found)) * 100 == cents

    def close(self) -> None:
        self._read.dispose()


class Peer:
    """The naive pipeline on the same kind of databases."""

    def __init__(self, insurer: Insurer) -> None:
        self._urls = (insurer.legacy, insurer.environment["READ_STORE_URL"])
        self._naive = Naive(*self._urls)
        self._legacy = open_engine(insurer.legacy)
        self._last = text(f"SELECT MAX(number) FROM {change_table(self._legacy)}")

    @contextmanager
    def following(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._naive.run, args=(stop,), daemon=True)
        thread.start()
        try:
            self.reach()
            yield
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def running(self) -> Iterator[None]:
        with python_child("-m", "benchmarks.naive", *self._urls, env=dict(os.environ)):
            self.reach()
            yield

    def reach(self) -> None:
        with reading(self._legacy) as connection:
            last = connection.scalar(self._last) or 0
        wait_until(lambda: self._naive.position() >= last, timeout=PATIENCE, every=0.1)

    def shows(self, policy: str, cents: int) -> bool:
        with reading(self._naive.read) as connection:
            body = connection.scalar(
                text("SELECT body FROM naive_row WHERE what = 'POLMAST' AND subject = :policy"),
                {"policy": policy},
            )
        return body is not None and _premium(body) == cents

    def close(self) -> None:
        self._naive.close()
        self._legacy.dispose()


def _premium(body: str) -> int:
    row = {name.upper(): value for name, value in msgspec.json.decode(body, type=dict[str, object]).items()}
    return int(str(row["PREM_CENTS"]))


@contextmanager
def ours(insurer: Insurer, app: App) -> Iterator[Ours]:
    """Our pipeline on a project that is set up and backfilled."""
    with ExitStack() as stack:
        made = Ours(insurer, app)
        stack.callback(made.close)
        yield made


@contextmanager
def peer(insurer: Insurer, app: App) -> Iterator[Peer]:
    """The naive pipeline on an estate of its own, with our triggers installed and nothing else of ours."""
    for source in app.sources.values():
        tables = app.project.captured(source.name)
        source.capture.install(source.capture.plan(tables))
    with ExitStack() as stack:
        made = Peer(insurer)
        stack.callback(made.close)
        yield made
