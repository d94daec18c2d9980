"""Routes move by compare-and-set, and every move is in the history."""

import threading

import msgspec
import pytest
from sqlalchemy import Engine, insert

from adapters.state.routes import SqlRoutes, _stored, _told
from migrations.schema import state
from tests.routes.now import NOW
from toolkit.core.errors import Refused, UsageError
from toolkit.core.routes import Action, Move, Route, Stage, default_route, moved


def step(was: Route, stage: Stage, share: int = 0, *, consumer: str = "*", who: str = "ada") -> Move:
    return Move(
        action=Action.FORWARD,
        was=was,
        becomes=moved(was, consumer, stage, share),
        who=who,
        why="time has come",
        evidence={"gates": ["capture"]},
        config_hash="abc",
    )


def test_a_capability_that_never_moved_is_at_legacy_with_its_name_as_salt(routes: SqlRoutes) -> None:
    assert routes.get("portal", "web") == Route(capability="portal", salt="portal")


def test_a_move_is_read_back_with_who_why_and_evidence(routes: SqlRoutes) -> None:
    move = step(routes.get("portal"), Stage.SHADOW)
    routes.apply(move, NOW)
    assert routes.get("portal").stage is Stage.SHADOW
    [line] = routes.history("portal")
    assert line.at == NOW
    assert line.move == move


def test_a_consumer_follows_the_star_until_it_has_a_route_of_its_own(routes: SqlRoutes) -> None:
    routes.apply(step(routes.get("portal"), Stage.SHADOW), NOW)
    routes.apply(step(routes.get("portal", "web"), Stage.CANARY, 500, consumer="web"), NOW)
    assert routes.get("portal", "phone").stage is Stage.SHADOW
    assert routes.get("portal", "web").label == "canary 5 %"
    assert routes.get("portal", "web").salt == "portal"
    assert [route.consumer for route in routes.all()] == ["*", "web"]


def test_a_move_that_was_planned_on_another_revision_is_refused(routes: SqlRoutes) -> None:
    stale = routes.get("portal")
    routes.apply(step(stale, Stage.SHADOW), NOW)
    with pytest.raises(Refused, match="has moved since this was planned"):
        routes.apply(step(stale, Stage.SHADOW, who="bob"), NOW)
    assert len(routes.history("portal")) == 1


def test_a_consumers_first_move_is_refused_when_the_star_moved_meanwhile(routes: SqlRoutes) -> None:
    routes.apply(step(routes.get("portal"), Stage.SHADOW), NOW)
    planned = step(routes.get("portal", "web"), Stage.CANARY, 100, consumer="web")
    routes.apply(step(routes.get("portal"), Stage.LEGACY), NOW)
    with pytest.raises(Refused):
        routes.apply(planned, NOW)


def test_the_same_move_applied_twice_is_one_move(routes: SqlRoutes) -> None:
    move = step(routes.get("portal"), Stage.SHADOW)
    assert routes.apply(move, NOW) == routes.apply(move, NOW)
    assert len(routes.history("portal")) == 1


def test_of_many_who_move_at_once_one_wins_and_the_others_hear_of_it(routes: SqlRoutes) -> None:
    found = routes.get("portal")
    gate = threading.Barrier(6)
    outcomes: list[str] = []

    def race(who: str) -> None:
        gate.wait()
        try:
            routes.apply(step(found, Stage.SHADOW, who=who), NOW)
            outcomes.append("won")
        except Refused:
            outcomes.append("refused")

    racers = [threading.Thread(target=race, args=(f"person {number}",)) for number in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["won"]
    assert len(routes.history("portal")) == 1


def test_history_shows_the_newest_first_and_only_so_many(routes: SqlRoutes) -> None:
    for stage in (Stage.SHADOW, Stage.LEGACY, Stage.SHADOW):
        routes.apply(step(routes.get("portal"), stage), NOW)
    assert [line.move.becomes.revision for line in routes.history("portal", limit=2)] == [3, 2]


def test_a_route_of_a_newer_toolkit_is_not_guessed_at(routes: SqlRoutes, state_engine: Engine) -> None:
    with state_engine.begin() as connection:
        connection.execute(
            insert(state.route).values(
                capability="portal",
                consumer="*",
                stage="canary",
                share=1,
                salt="s",
                hash_version=3,
                revision=1,
            )
        )
    with pytest.raises(UsageError, match="hash version 3"):
        routes.all()


def test_a_share_is_called_by_its_unit_where_machines_read_it_and_a_history_of_any_age_is_read() -> None:
    route = moved(default_route("portal"), "*", Stage.CANARY, 5000)
    assert b'"share_bp":5000' in msgspec.json.encode(route)
    assert _stored(route)["share"] == 5000
    assert _told(_stored(route)) == route
