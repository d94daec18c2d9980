"""Read-your-writes: a read waits until the view has what its caller committed, or says what is lacking."""

import datetime as dt
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.routes.estate import SECOND, TOPIC, Estate
from tests.routes.now import NOW
from tests.routes.world import World
from toolkit.core.errors import Infrastructure, NotYet, UsageError
from toolkit.core.freshness import Token
from toolkit.core.routes import Side, Stage
from toolkit.router.read import Reader
from toolkit.router.waiting import Waiting

Make = Callable[..., World]
NOTHING = dt.timedelta()


@pytest.fixture
def estate(tmp_path: Path, sqlite_state: Engine) -> Callable[..., Estate]:
    return lambda **options: Estate(tmp_path, sqlite_state, **options)


def moved(make_world: Make, **contract: str) -> tuple[World, Reader]:
    """A world whose reads are on the projection, with one policy in the view."""
    world = make_world(**contract)
    world.capture()
    world.backfilled()
    world.commit("P1")
    world.relay()
    world.project_all()
    for stage in (Stage.SHADOW, Stage.CANARY, Stage.PROJECTION):
        world.route(stage, 500)
    return world, Reader(
        world.project, {"crm": world.legacy}, world.store, world.routes, world.clock, waivers=world.evidence
    )


def test_a_writer_reads_what_it_wrote_as_soon_as_the_view_has_it(make_world: Make) -> None:
    world, reader = moved(make_world)
    world.commit("P2")
    token = Token(source="crm", instant=world.legacy.clock())
    assert reader.read("portal", "P2").rows == [], "without a token the view answers as it is"

    def follow() -> None:
        world.relay()
        world.project_all()

    with ThreadPoolExecutor(1) as meanwhile:
        done = meanwhile.submit(follow)
        reading = reader.read("portal", "P2", not_before=token, timeout=30 * SECOND)
        done.result()
    assert (reading.served_by, reading.rows[0]["status"]) == (Side.PROJECTION, "in_force")
    assert reading.as_of is not None
    assert reading.as_of > token.instant


def test_when_the_time_is_over_nothing_stale_is_shown_and_it_says_what_is_lacking(make_world: Make) -> None:
    world, reader = moved(make_world, when_stale="serve")
    instant = world.legacy.clock()
    with pytest.raises(NotYet, match="all that crm had committed by") as error:
        reader.read("portal", "P1", not_before=instant, timeout=NOTHING)
    assert "s are lacking" in error.value.reasons[0]
    assert "strangler freshness portal" in error.value.reasons[1]


def test_a_capability_that_falls_back_is_answered_by_legacy_instead(make_world: Make) -> None:
    world, reader = moved(make_world, when_stale="legacy")
    world.commit("P2")
    reading = reader.read("portal", "P2", not_before=world.legacy.clock(), timeout=NOTHING)
    assert (reading.served_by, reading.rows[0]["status"]) == (Side.LEGACY, "active")
    assert "s are lacking" in reading.warnings[0]


def test_a_commit_of_the_very_instant_of_the_watermark_is_not_taken_to_be_in_the_view(
    estate: Callable[..., Estate],
) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    as_of = at.views.marks[0].as_of
    assert as_of is not None
    assert at.reader.read("portal", "P1", not_before=as_of - SECOND, timeout=NOTHING).rows
    with pytest.raises(NotYet):
        at.reader.read("portal", "P1", not_before=as_of, timeout=NOTHING)


def test_a_replica_that_answers_for_legacy_is_not_believed_either(estate: Callable[..., Estate]) -> None:
    at = estate()
    behind = NOW + at.legacy.ahead + SECOND
    with pytest.raises(NotYet):
        at.reader.read("portal", "P1", not_before=behind, timeout=NOTHING)


def test_a_token_of_an_unknown_source_is_a_bad_question(estate: Callable[..., Estate]) -> None:
    with pytest.raises(UsageError, match="no legacy source billing; it has crm"):
        estate().reader.read("portal", "P1", not_before=Token(source="billing", instant=NOW))


def test_many_who_wait_share_one_look() -> None:
    looks, out = 0, threading.Event()
    seen: dict[str, dt.datetime | None] = {TOPIC: NOW}

    def look() -> dict[str, dt.datetime | None]:
        nonlocal looks
        looks += 1
        assert not out.is_set(), "two look at once"
        out.set()
        if looks == 5:
            seen[TOPIC] = NOW + SECOND
        out.clear()
        return dict(seen)

    waiting = Waiting(look, time.monotonic)
    with ThreadPoolExecutor(40) as pool:
        deadline = time.monotonic() + 30
        done = [pool.submit(waiting.until, TOPIC, NOW, deadline) for _ in range(40)]
        assert all(one.result() for one in done)
    assert looks <= 50, "forty that wait cost about as much as one"


def test_a_store_that_is_away_for_a_moment_is_waited_for_and_else_told() -> None:
    away = [Infrastructure("the read store is away")]

    def look() -> dict[str, dt.datetime | None]:
        if away:
            raise away.pop()
        return {TOPIC: NOW + SECOND}

    waiting = Waiting(look, time.monotonic)
    assert not waiting.until(TOPIC, NOW, time.monotonic()), "one look is taken, however short the time"
    assert "away" in str(waiting.error)
    assert waiting.until(TOPIC, NOW, time.monotonic() + 30)
    assert waiting.error is None


def test_a_token_travels_as_text() -> None:
    token = Token(source="crm", instant=NOW)
    assert Token.parse(str(token), "other") == token
    assert Token.parse("2026-06-30T12:00:00Z", "crm").source == "crm"
    with pytest.raises(UsageError, match="needs its zone"):
        Token.parse("2026-06-30T12:00:00", "crm")
    with pytest.raises(UsageError, match="write an instant as"):
        Token.parse("yesterday", "crm")


def test_what_a_route_really_gave_is_counted_by_side_and_confidence(estate: Callable[..., Estate]) -> None:
    at = estate()
    at.read()
    at.route(Stage.PROJECTION)
    at.wall.seconds += 2
    at.read()
    with pytest.raises(NotYet):
        at.read(not_before=NOW + at.legacy.ahead, timeout=NOTHING)
    gave = at.reader.gave("portal")
    assert (dict(gave.readings), gave.refused) == ({"legacy authoritative": 1, "projection fresh": 1}, 1)
    assert gave.lag == 12 * SECOND
