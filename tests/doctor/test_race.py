"""The race: a poller that remembers the last number loses what commits late; ours loses nothing, on every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from adapters.doctor.race import SqlTrack
from adapters.doctor.race_engines import open_track
from tests.doctor.world import execute
from tests.support.insurer import make_insurer
from tests.support.waiting import wait_until
from toolkit.core.errors import Refused, UsageError
from toolkit.diagnosis import TABLE
from toolkit.questions.race import attempts, judge, meaning, race

NUMBERS = "CREATE SEQUENCE outbox_numbers CACHE 5"
MOOD = "CREATE TYPE mood AS ENUM ('calm', 'hurried')"
POSTGRES = """CREATE TABLE outbox (
  id bigint PRIMARY KEY DEFAULT nextval('outbox_numbers'), event uuid NOT NULL UNIQUE,
  aggregatetype varchar(20) NOT NULL, aggregateid varchar(12) NOT NULL UNIQUE, payload jsonb NOT NULL,
  at timestamptz NOT NULL, mood mood NOT NULL, times int NOT NULL CHECK (times < 0))"""
MARIADB = """CREATE TABLE outbox (
  id bigint AUTO_INCREMENT PRIMARY KEY, event varchar(36) NOT NULL UNIQUE,
  aggregatetype varchar(20) NOT NULL, aggregateid varchar(12) NOT NULL UNIQUE, payload json NOT NULL,
  at datetime(6) NOT NULL, mood enum('calm', 'hurried') NOT NULL, times int NOT NULL) ENGINE = InnoDB"""
SQLITE = """CREATE TABLE outbox (
  id INTEGER PRIMARY KEY, event TEXT NOT NULL UNIQUE, aggregatetype TEXT NOT NULL,
  payload TEXT NOT NULL, at datetime NOT NULL, times int NOT NULL)"""
OUTBOX = {"postgres": [NUMBERS, MOOD, POSTGRES], "mariadb": [MARIADB], "sqlite": [SQLITE]}
ENGINES = [
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
    "sqlite",
]
OUT_OF_ORDER = ENGINES[:2]


def url_of(request: pytest.FixtureRequest, engine: str, folder: Path) -> str:
    if engine == "sqlite":
        return f"sqlite:///{folder}/legacy.db"
    return str(request.getfixturevalue(f"{engine}_url"))


def tables(url: str) -> set[str]:
    return set(inspect(create_engine(url, poolclass=NullPool)).get_table_names())


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = url_of(request, request.param, tmp_path)
    execute(url, *OUTBOX[request.param])
    return url


@pytest.fixture
def opened() -> Iterator[Callable[..., SqlTrack]]:
    tracks: list[SqlTrack] = []

    def open_(url: str, outbox: str = "") -> SqlTrack:
        track = open_track(url, outbox, writers=4)
        tracks.append(track)
        track.open()
        return track

    yield open_
    for track in tracks:
        track.close()


@pytest.mark.parametrize("engine", OUT_OF_ORDER)
@pytest.mark.parametrize("outbox", ["", "outbox"])
def test_what_commits_late_is_lost_by_who_remembers_the_last_number_and_found_by_us(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, outbox: str
) -> None:
    url = url_of(request, engine, tmp_path)
    execute(url, *OUTBOX[engine])
    with closing(open_track(url, outbox)) as track, ExitStack() as sessions:
        track.open()
        slow, quick = (sessions.enter_context(closing(track.writer())) for _ in range(2))
        naive, ours = (sessions.enter_context(closing(one)) for one in (track.naive(), track.ours()))
        slow.write([("a", 0)])
        quick.write([("b", 0)])
        quick.commit()
        assert naive.poll() == ours.poll() == [("b", 0)]
        slow.commit()
        assert naive.poll() == []
        assert ours.poll() == [("a", 0)]
        assert naive.poll() == ours.poll() == []


def test_numbers_that_sessions_draw_in_advance_disorder_who_polls_by_them_and_not_us(
    postgres_url: str,
) -> None:
    execute(postgres_url, *OUTBOX["postgres"])
    with closing(open_track(postgres_url, "outbox")) as track, ExitStack() as sessions:
        track.open()
        early, late = (sessions.enter_context(closing(track.writer())) for _ in range(2))
        naive, ours = (sessions.enter_context(closing(one)) for one in (track.naive(), track.ours()))
        for session, mark in ((early, ("b", 0)), (late, ("a", 0)), (early, ("a", 1))):
            session.write([mark])
            session.commit()
        assert naive.poll() == [("b", 0), ("a", 1), ("a", 0)]
        assert ours.poll() == [("b", 0), ("a", 0), ("a", 1)]


def test_a_race_that_is_terminated_tells_what_it_found_and_leaves_nothing_behind(tmp_path: Path) -> None:
    insurer = make_insurer(tmp_path / "project", {}, size=5)
    before = tables(insurer.legacy)
    with insurer.running("doctor", "race", "--seconds", "60", "--writers", "2", "--write") as child:
        wait_until(lambda: TABLE in tables(insurer.legacy), what="the race to begin")
        assert child.terminate() == 0
    assert "not yet marked" in child.output
    assert tables(insurer.legacy) == before


def test_a_race_loses_nothing_of_ours_and_leaves_nothing_behind(
    url: str, opened: Callable[..., SqlTrack]
) -> None:
    before = tables(url)
    track = opened(url, "outbox")
    outcome = race(track, writers=4, seconds=1.5)
    assert outcome.committed > 20
    assert outcome.rolled_back > 0
    assert (outcome.ours.lost, outcome.ours.out_of_order, outcome.ours.twice) == (0, 0, 0)
    assert outcome.ours.seen == outcome.committed
    if url.startswith("sqlite"):
        assert (outcome.naive.lost, outcome.naive.out_of_order) == (0, 0)
        assert "one writer at a time" in outcome.meaning
    track.close()
    assert tables(url) == before


def test_the_outbox_itself_is_never_written_to(url: str, opened: Callable[..., SqlTrack]) -> None:
    race(opened(url, "outbox"), writers=2, seconds=0.3)
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar() == 0
        if engine.dialect.name == "postgresql":
            drawn = connection.exec_driver_sql("SELECT is_called FROM outbox_numbers").scalar()
            assert drawn is False


def test_rows_carry_a_type_of_their_own(url: str, opened: Callable[..., SqlTrack]) -> None:
    track = opened(url, "outbox")
    with closing(track.writer()) as writer:
        writer.write([("a", 0)])
        writer.commit()
    with create_engine(url, poolclass=NullPool).connect() as connection:
        kinds = connection.exec_driver_sql(f"SELECT aggregatetype FROM {TABLE}").scalars().all()
    assert kinds == ["strangler.race"]


def test_a_failure_and_an_interruption_leave_nothing_behind(url: str) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    before = tables(url)
    with closing(open_track(url, "outbox", writers=2)) as track:
        track.open()
        with pytest.raises(KeyboardInterrupt):
            race(track, writers=2, seconds=5, pause=interrupted)
    assert tables(url) == before


def test_a_table_that_was_left_behind_is_not_dropped_unasked(
    url: str, opened: Callable[..., SqlTrack]
) -> None:
    opened(url)
    second = open_track(url)
    with pytest.raises(Refused, match="DROP TABLE"):
        second.open()
    second.close()
    assert TABLE in tables(url)


def test_a_table_that_is_not_there_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="there is no table outboxes"):
        open_track(url, "outboxes")


def test_an_outbox_with_random_ids_is_given_a_number_to_poll_by(postgres_url: str) -> None:
    execute(
        postgres_url,
        "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text NOT NULL, payload jsonb NOT NULL)",
    )
    with closing(open_track(postgres_url, "outbox", writers=2)) as track:
        track.open()
        assert track.settings["ordered_by"] == "strangler_number"
        outcome = race(track, writers=2, seconds=0.3)
    assert outcome.ours.lost == 0
    assert outcome.committed > 0


def test_settings_of_the_sequence_are_shown(postgres_url: str) -> None:
    execute(postgres_url, *OUTBOX["postgres"])
    with closing(open_track(postgres_url, "outbox")) as track:
        assert (track.settings["ordered_by"], track.settings["cache"]) == ("id", 5)


def test_lost_and_disordered_rows_are_counted_per_subject() -> None:
    committed = {"a": [0, 1, 2], "b": [0, 1]}
    standing = judge("p", committed, [("a", 1), ("b", 0), ("a", 0), ("b", 0)])
    assert (standing.committed, standing.seen, standing.lost) == (5, 3, 2)
    assert (standing.out_of_order, standing.twice) == (1, 1)
    assert standing.subjects == ("a", "b")
    clean = judge("p", {"a": [0, 1]}, [("a", 0), ("a", 1)])
    assert (clean.lost, clean.out_of_order, clean.twice, clean.subjects) == (0, 0, 0, ())
    assert "loses 40.0 %" in meaning(standing, clean, {})
    assert "must not be" in meaning(clean, standing, {})
    assert "proves nothing" in meaning(clean, clean, {})


def test_a_plan_repeats_itself_and_rolls_back_some() -> None:
    first, again = attempts(3), attempts(3)
    plan = [next(first) for _ in range(200)]
    assert plan == [next(again) for _ in range(200)]
    assert any(not one.commits for one in plan)
    assert any(one.hold > 0.05 for one in plan)
