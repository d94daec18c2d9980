"""A database that has a SQLAlchemy dialect and no adapter of ours; an adapter and a capture that somebody else ships."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from adapters.engines import open_engine
from adapters.legacy.any_source import AnySource
from adapters.legacy.fetching.sessions import in_utc
from adapters.legacy.fetching.snapshot import open_snapshot
from adapters.state.store import State, open_state
from migrations.schema.state import metadata
from tests.support import acme
from toolkit import registry
from toolkit.core.errors import ReadTimeout, UsageError
from toolkit.inbox import Fetching
from toolkit.ports import CapturedTable
from toolkit.settings import LegacySection, SnapshotSection

LONG = dt.timedelta(seconds=20)
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
HOLD = CapturedTable(table="HOLDS", subject="POL_NO")


def section(url: str, **given: Any) -> LegacySection:
    return LegacySection(url=url, context="policies", capture="snapshot", **given)


@pytest.fixture
def url(tmp_path: Path) -> str:
    found = f"{acme.AcmeDialect.name}:///{tmp_path}/legacy.db"
    engine = create_engine(found)
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE HOLDS (ID INTEGER PRIMARY KEY, POL_NO CHAR(8), AMOUNT NUMERIC(9,2), DUE DATE)")
        )
        connection.execute(text("INSERT INTO HOLDS VALUES (1, 'P1', 10.5, '2026-03-01')"))
    engine.dispose()
    return found


@pytest.fixture
def source(url: str) -> Iterator[AnySource]:
    with contextlib.closing(AnySource("old", url, section(url, max_reads=2))) as made:
        yield made


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with contextlib.closing(open_state(f"sqlite:///{tmp_path}/state.db")) as made:
        metadata.create_all(made.engine)
        yield made


def test_it_is_read_with_lower_case_names_and_an_instant_after_the_read(source: AnySource) -> None:
    before = source.clock()
    answer = source.query("SELECT ID AS Number, POL_NO FROM HOLDS WHERE ID = :id", {"id": 1}, timeout=LONG)
    assert answer.rows == [{"number": 1, "pol_no": "P1"}]
    assert before <= answer.instant <= source.clock()
    assert answer.instant.tzinfo is dt.UTC
    assert abs(answer.instant - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM HOLDS", "UPDATE HOLDS SET POL_NO = 'x'", "DELETE FROM HOLDS RETURNING ID"]
)
def test_a_read_that_writes_leaves_nothing(source: AnySource, statement: str) -> None:
    with contextlib.suppress(UsageError):
        source.query(statement, {}, timeout=LONG)
    assert source.query("SELECT POL_NO FROM HOLDS", {}, timeout=LONG).rows == [{"pol_no": "P1"}]


def test_a_read_that_takes_too_long_is_cancelled_through_the_driver(source: AnySource) -> None:
    with pytest.raises(ReadTimeout, match=r"old: cancelled after 0\.1 s"):
        source.query(ENDLESS, {}, timeout=dt.timedelta(milliseconds=100))
    assert len(source.query("SELECT 1 AS x", {}, timeout=LONG).rows) == 1


@pytest.mark.parametrize("capture", ["trigger", "outbox"])
def test_capture_that_writes_is_refused_with_the_reason(url: str, capture: str) -> None:
    wanted = LegacySection(url=url, context="policies", capture=capture)
    with pytest.raises(
        UsageError, match=rf'capture by {capture} needs an adapter for acme.*capture = "poll"'
    ):
        AnySource("old", url, wanted)


def test_an_engine_that_sqlalchemy_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="nosuchdb is not a database"):
        AnySource("old", "nosuchdb://x", section("nosuchdb://x"))


def test_a_scheme_that_others_use_is_told_how_it_is_written_here() -> None:
    advice = re.escape("write postgresql+psycopg://")
    with pytest.raises(UsageError, match=advice):
        registry.adapter(registry.LEGACY, "postgres://reader@host/pagila")
    with pytest.raises(UsageError, match=advice):
        open_engine("postgres://reader@host/state")
    assert open_engine("postgresql://reader@host/pagila").driver == "psycopg"
    assert open_engine("mysql://reader@host/shop").driver == "pymysql"


@pytest.mark.parametrize("zone", [0, 1, -5, 5.75, 13])
def test_a_clock_without_a_zone_is_that_of_the_nearest_quarter_of_an_hour(zone: float) -> None:
    told = (NOON + dt.timedelta(hours=zone, seconds=40)).replace(tzinfo=None)
    assert in_utc(told, NOON) == NOON + dt.timedelta(seconds=40)
    assert in_utc(told.isoformat(sep=" "), NOON) == NOON + dt.timedelta(seconds=40)


def test_a_clock_with_a_zone_is_believed() -> None:
    told = dt.datetime(2026, 3, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert in_utc(told, NOON + dt.timedelta(hours=3)) == NOON
    with pytest.raises(TypeError, match="no instant"):
        in_utc(7, NOON)


def test_it_is_captured_by_snapshot(url: str, source: AnySource, state: State) -> None:
    wanted = section(url, snapshot=SnapshotSection(interval="0s"))
    fetching = Fetching(source="old", url=url, section=wanted, inbox=state.inbox("old"), clock=source.clock)
    with contextlib.closing(open_snapshot(fetching)) as capture:
        plan = capture.plan([HOLD])
        assert "nothing keeps a session from writing" in plan.guarantees["reads"]
        assert "cancelled through the driver" in plan.guarantees["reads"]
        assert "not in one snapshot" in plan.guarantees["transactions"]
        capture.install(plan)
        (change,) = capture.pending(10, [])
        assert change.after == {"ID": 1, "POL_NO": "P1", "AMOUNT": 10.5, "DUE": "2026-03-01"}
        capture.mark([change.number])
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM HOLDS"))
        engine.dispose()
        assert [one.op for one in capture.pending(10, [])] == ["delete"]


# --- through entry points


def distribution(folder: Path, name: str, entry_points: str, module: str) -> None:
    """A distribution as pip would have installed it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
    (folder / f"{name}.py").write_text(textwrap.dedent(module))


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(
        tmp_path / "site",
        "strangler_acme",
        """
        [strangler.legacy]
        acme = strangler_acme:AcmeSource
        any = adapters.legacy.any_source:AnySource
        [strangler.capture]
        journal = strangler_acme:open_journal
        """,
        """
        from adapters.legacy.any_source import AnySource

        class AcmeSource(AnySource):
            '''An adapter that somebody else ships.'''

        class Journal:
            def __init__(self, fetching):
                self.fetching = fetching

            def pending(self, limit, cursors):
                return self.fetching.inbox.pending(limit)

        def open_journal(fetching):
            return Journal(fetching)
        """,
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()


@pytest.mark.usefixtures("third_party")
def test_an_adapter_of_somebody_else_is_found_by_its_scheme(url: str) -> None:
    made = registry.adapter(registry.LEGACY, url)
    assert made.__name__ == "AcmeSource"
    with contextlib.closing(made("old", url, section(url))) as source:
        assert len(source.query("SELECT 1 AS x", {}, timeout=LONG).rows) == 1


@pytest.mark.usefixtures("third_party")
def test_a_scheme_that_nobody_registered_is_any_source() -> None:
    assert registry.adapter(registry.LEGACY, "oracle+oracledb://x") is AnySource
    assert "any" not in registry.names(registry.LEGACY)
    with pytest.raises(UsageError, match="log for oracle"):
        registry.adapter(registry.LOG, "oracle://x")


@pytest.mark.usefixtures("third_party")
def test_a_capture_of_somebody_else_is_found_by_its_name_and_given_the_inbox(url: str, state: State) -> None:
    fetching = Fetching(source="old", url=url, section=section(url), inbox=state.inbox("old"))
    assert registry.capture("journal")(fetching).pending(10, []) == []
    with pytest.raises(UsageError, match=r"nosuch; known are trigger, outbox, .*journal"):
        registry.capture("nosuch")
