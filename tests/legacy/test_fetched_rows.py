"""Looking again under any key, any order of the engine, any crash: no change is invented, none lost, none doubled (R1, R4)."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from adapters.legacy import open_legacy
from adapters.legacy.fetching.rows import Row, digest, keep, kept, name_of, prefix, same
from adapters.legacy.fetching.sessions import KNOWN, Dialect
from adapters.legacy.fetching.values import json_value, packed, unpacked
from tests.support.fetching import (
    ENGINES,
    SOURCE,
    TABLES,
    Watched,
    hold,
    install,
    policy,
    watched,
    watching,
)
from tests.support.relaying import Fuse, Killed
from toolkit.core.errors import Fenced
from toolkit.ports import CapturedTable
from toolkit.settings import LegacySection

__all__ = ["watched"]

# --- nasty keys

NASTY = [
    "a",
    "A",
    "á",
    "Ä",
    "ä",
    "a ",
    "a  ",
    " a",
    "",
    " ",
    "ß",
    "ss",
    "SS",
    "Z",
    "z",
    "_",
    "%",
    "é",
    "e\u0301",
    "a\tb",
    "a\x01",
    "0",
    "00",
    "9",
    "10",
    "ﬁ",
    "fi",
    "ı",
    "I",
    "i",
    "\U0001f600",
    '"',
    "'",
    "\\",
    "[",
    "#",
]
KEYS = {
    "sqlite": "K TEXT COLLATE NOCASE NOT NULL, N INTEGER NOT NULL, S TEXT, V TEXT, PRIMARY KEY (K, N)",
    "sqlite-binary-index": "K TEXT COLLATE NOCASE NOT NULL, N INTEGER NOT NULL, S TEXT, V TEXT",
    "postgresql": "K TEXT NOT NULL, N INTEGER NOT NULL, S TEXT, V TEXT, PRIMARY KEY (K, N)",
    "mysql": "K VARCHAR(40) COLLATE utf8mb4_general_ci NOT NULL, N INTEGER NOT NULL, S VARCHAR(40), V VARCHAR(40), PRIMARY KEY (K, N)",
}
ROW = st.tuples(st.sampled_from(NASTY), st.integers(0, 1))
SUBJECTS = st.sampled_from(["s", "S", "s ", "t", "", None, "ä"])
ACTS = st.lists(
    st.tuples(ROW, st.sampled_from(["put", "put", "drop"]), SUBJECTS, st.sampled_from(["1", "2", None])),
    max_size=8,
)
TWINS = [(("a", 0), "put", "s", "1"), (("A", 0), "put", "t", "1"), (("b", 0), "put", "t", "1")]
"""Keys that SQLite's column takes for one, and its index for two: a walk that goes on behind the first loses the second."""
MANY = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=["plain", "variant"])
def keyed(request: pytest.FixtureRequest, watched: Watched) -> Watched:
    """A table whose text key compares as the engine likes; on SQLite also under an index that tells apart what its column
    does not, on PostgreSQL also under a collation that takes different texts for equal.
    """
    columns = KEYS[watched.dialect]
    variant = request.param == "variant"
    if variant and watched.dialect == "mysql":
        columns = columns.replace("utf8mb4_general_ci", "utf8mb4_unicode_520_ci")
    if variant and watched.dialect == "postgresql":
        watched.run("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        columns = columns.replace("K TEXT", "K TEXT COLLATE ci")
    if variant and watched.dialect == "sqlite":
        watched.run(
            f"CREATE TABLE NASTY ({KEYS['sqlite-binary-index']})",
            "CREATE UNIQUE INDEX U ON NASTY (K COLLATE BINARY, N)",
        )
    else:
        watched.run(f"CREATE TABLE NASTY ({columns})")
    return watched


def act(watched: Watched, acts: list[Any]) -> None:
    """What the application does; it may write a key in another spelling that the engine takes for the same row."""
    exactly = " COLLATE BINARY" if watched.dialect == "sqlite" else ""
    for (key, number), verb, subject, value in acts:
        with contextlib.suppress(IntegrityError):  # the index takes another spelling for the same
            watched.run(f"DELETE FROM NASTY WHERE K = :k{exactly} AND N = :n", k=key, n=number)
            if verb == "put":
                watched.run("INSERT INTO NASTY VALUES (:k, :n, :s, :v)", k=key, n=number, s=subject, v=value)


@MANY
@example(rounds=[TWINS, [(("a", 0), "drop", None, None)]], chunk=1)
@given(rounds=st.lists(ACTS, min_size=1, max_size=4), chunk=st.integers(1, 4))
def test_whatever_the_keys_are_like_the_looks_give_the_table(
    keyed: Watched, rounds: list[list[Any]], chunk: int
) -> None:
    keyed.run("DELETE FROM NASTY")
    keyed.mirror.rows.clear()
    capture = keyed.snapshot(chunk=chunk)
    wanted = [CapturedTable(table="NASTY", subject="S")]
    capture.remove(capture.plan(wanted))
    install(capture, wanted)
    for acts in rounds:
        act(keyed, acts)
        keyed.look(capture)
        rows = keyed.table("NASTY")
        held = sorted(map(repr, keyed.mirror.rows.values()))
        assert held == sorted(map(repr, rows))
        assert keyed.look(capture) == []
        assert len(keyed.inbox.seen("NASTY", limit=1000)) == len(rows)


# --- crashes


@pytest.fixture(params=["snapshot", "poll"])
def flown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Watched, Any]]:
    for made in watching(request, tmp_path, "sqlite"):
        kind = request.param

        def opened(inbox: Any, made: Watched = made, kind: str = kind) -> Any:
            if kind == "snapshot":
                return made.snapshot(inbox=inbox, chunk=3)
            return made.poll(inbox=inbox, chunk=3, sweep="0s", promise="sweep")

        yield made, opened


def test_a_crash_at_any_call_of_the_inbox_loses_nothing_and_doubles_nothing(
    flown: tuple[Watched, Any],
) -> None:
    world, opened = flown
    world.run(*(policy(number) for number in range(3)), hold(1, of=1), hold(2, of=2))
    install(opened(world.inbox))
    blow_at, number = 0, 10
    numbers: list[int] = []
    while True:
        blow_at += 1
        number += 1
        world.run(
            f"DELETE FROM POLMAST WHERE POL_NO = 'P{number - 1:04}   '",
            f"DELETE FROM POLHOLD WHERE HLD_ID = {number - 1}",
            policy(number, at=number),
            hold(number, of=number, at=number),
            f"UPDATE POLMAST SET STAT_CD = '{blow_at % 10}' WHERE POL_NO = 'P0001   '",
        )
        fuse = Fuse(blow_at)
        capture = opened(fuse.guard(world.inbox, "put", "find", "under", "pending", "mark"))
        with contextlib.suppress(Killed):
            horizon = capture.horizon()
            while capture.behind(horizon):
                capture.mark([take(world, numbers, one) for one in capture.pending(100, [])])
        if fuse.crossings < blow_at:
            break
    assert blow_at > 30
    assert len(numbers) == len(set(numbers))
    for table in ("POLMAST", "POLHOLD"):
        held = [row for (name, _, _), row in world.mirror.rows.items() if name == table]
        assert sorted(map(repr, held)) == sorted(map(repr, (plain(row) for row in world.table(table))))


def take(world: Watched, numbers: list[int], change: Any) -> int:
    """Archive a change once: what is offered again after a crash has the same number."""
    if change.number not in numbers:
        numbers.append(change.number)
        world.mirror.take(change)
    return int(change.number)


def plain(row: dict[str, object]) -> dict[str, object]:
    return {name: Decimal(repr(value)) if isinstance(value, float) else value for name, value in row.items()}


def test_a_second_process_that_looks_at_the_same_time_stores_nothing(watched: Watched) -> None:
    watched.run(policy(1))
    capture, other = install(watched.snapshot()), watched.snapshot()
    passes, progress = capture._ready(())
    assert passes is not None
    assert progress is not None
    other.pending(10, [])
    with pytest.raises(Fenced):
        passes.sweep(progress)
    assert watched.inbox.waiting() == 1


# --- images


@pytest.mark.parametrize("engine", ENGINES)
def test_an_image_is_what_the_trigger_would_have_written(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    for world in watching(request, tmp_path, engine):
        types = {
            "sqlite": "ID INTEGER PRIMARY KEY, N NUMERIC(9,2), F REAL, T TEXT, B BLOB, D DATE, AT TIMESTAMP, C CHAR(5)",
            "postgresql": "ID int PRIMARY KEY, N numeric(9,2), F float8, T text, B bytea, D date, AT timestamp, C char(5), "
            "TZ timestamptz, OK boolean, U uuid, J jsonb, A int[], H time, BIG bigint, I interval",
            "mysql": "ID INTEGER PRIMARY KEY, N DECIMAL(9,2), F DOUBLE, T TEXT, B VARBINARY(9), D DATE, AT DATETIME(6), C CHAR(5), "
            "H TIME(6), OK BOOLEAN, Y YEAR, E ENUM('a','b'), BIG BIGINT UNSIGNED",
        }[world.dialect]
        values = {
            "sqlite": "1, 10.50, 0.1, 'ä \"x\" ', x'00ff', '2026-03-01', '2026-03-01 12:00:00.5', 'ab   '",
            "postgresql": "1, 10.50, 0.1, 'ä \"x\" ', '\\x00ff', '2026-03-01', '2026-03-01 12:00:00.5', 'ab', "
            "'2026-03-01 12:00+02', true, '6f9619ff-8b86-d011-b42d-00cf4fc964ff', '{\"a\": [1, 2.50, null]}', '{1,2}', '12:30', "
            "9223372036854775807, '1 day 2 hours'",
            "mysql": "1, 10.50, 0.1, 'ä \"x\" ', x'00ff', '2026-03-01', '2026-03-01 12:00:00.5', 'ab', '12:30:00.25', true, "
            "2026, 'b', 18446744073709551615",
        }[world.dialect]
        world.run(f"CREATE TABLE IMG ({types})")
        wanted = [CapturedTable(table="IMG", subject="ID")]
        capture = install(world.snapshot(), wanted)
        with world.engine.begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO IMG VALUES ({values})")
        (looked,) = capture.pending(10, [])
        if world.dialect == "mysql":
            assert looked.after == MARIADB_IMAGE
            continue
        with world.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM IMG")
        source = open_legacy(SOURCE, world.url, LegacySection(url=world.url, context="policies"))
        source.capture.install(source.capture.plan(wanted))
        with world.engine.begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO IMG VALUES ({values})")
        (written,) = source.capture.pending(10, [])
        source.close()
        assert (looked.after, looked.subject) == (written.after, written.subject)


MARIADB_IMAGE = {
    "ID": 1,
    "N": Decimal("10.50"),
    "F": Decimal("0.1"),
    "T": 'ä "x" ',
    "B": "00FF",
    "D": "2026-03-01",
    "AT": "2026-03-01T12:00:00.5",
    "C": "ab",
    "H": "12:30:00.25",
    "OK": 1,
    "Y": 2026,
    "E": "b",
    "BIG": 18446744073709551615,
}


@pytest.mark.parametrize(
    "value",
    [
        "P1 ",
        7,
        True,
        None,
        Decimal("1.10"),
        0.1,
        dt.datetime(2026, 3, 1, 12, 0, 0, 5),  # noqa: DTZ001
        dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
        dt.date(2026, 3, 1),
        dt.time(12, 30),
        b"\x00\xff",
        uuid.UUID(int=7),
    ],
)
def test_a_key_survives_its_way_through_json(value: object) -> None:
    assert unpacked(packed(value)) == value
    assert type(unpacked(packed(value))) is type(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (dt.timedelta(days=1, hours=2), "P1DT2H"),
        (dt.timedelta(0), "PT0S"),
        (dt.timedelta(seconds=1, microseconds=500000), "PT1.5S"),
        (float("inf"), "inf"),
        (memoryview(b"\x00\xff"), "00FF"),
        (dt.datetime(2026, 3, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2026-03-01T12:00:00+00:00"),
        ([1, {"a": 0.5}], [1, {"a": Decimal("0.5")}]),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_value_has_the_json_types_of_row_images(value: object, shown: object) -> None:
    assert json_value(value, Dialect()) == shown


def test_a_time_of_mysql_is_a_time_of_day() -> None:
    assert json_value(-dt.timedelta(hours=101, seconds=1), KNOWN["mysql"]) == "-101:00:01"


@given(
    subject=st.text(max_size=300),
    key=st.tuples(st.text(max_size=300) | st.integers()),
    other=st.text(max_size=300),
)
def test_the_names_of_a_subject_begin_alike_and_no_others_do(
    subject: str, key: tuple[object], other: str
) -> None:
    name = name_of(subject, key)
    assert name.startswith(prefix(subject))
    assert name.isprintable() or not (subject + str(key[0])).isprintable()
    assert "\x00" not in name
    assert (subject == other) == name.startswith(prefix(other))
    assert len(name.encode()) < 2600


def test_null_says_nothing_and_zeros_behind_the_point_do_not_either() -> None:
    image: dict[str, object] = {"A": Decimal("1.10"), "B": 5, "C": None}
    assert digest(image) == digest({"A": Decimal("1.1"), "B": Decimal("5.0")})
    assert digest(image) != digest({"A": Decimal("1.1"), "B": "5"})
    row = Row(table="T", subject="s", key=(1,), name="n", image=image)
    for images in (True, False):
        assert same(row, kept(keep(row, image=images, key_columns=("B",), subjects=("b",))))


def test_all_tables_are_looked_at_as_they_are_spelt(watched: Watched) -> None:
    if watched.dialect == "mysql":
        pytest.skip("MariaDB's table names are its files'")
    watched.run(
        'CREATE TABLE "Order" ("Select" INTEGER PRIMARY KEY, "it\'s ""odd""" VARCHAR(20), "Größe %" INTEGER)'
    )
    with watched.engine.begin() as connection:
        connection.execute(text("INSERT INTO \"Order\" VALUES (1, 'x', 3)"))
    capture = install(watched.snapshot(), [*TABLES, CapturedTable(table="ORDER", subject="SELECT")])
    assert [dict(one.row) for one in capture.pending(9, [])] == [
        {"SELECT": 1, 'IT\'S "ODD"': "x", "GRÖSSE %": 3}
    ]
