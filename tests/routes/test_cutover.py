"""Moves: planned, gated, written once, taken back at any time, and the same after a crash at any step."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from adapters.engines import open_engine
from adapters.state.routes import SqlRoutes
from migrations.schema import state
from tests.routes.estate import Estate, Notes
from tests.routes.facts import HOUR, Blown, Fuse, facts, run
from tests.routes.now import NOW
from toolkit.core.errors import Infrastructure, Refused, UsageError
from toolkit.core.freshness import ReadClass
from toolkit.core.routes import (
    BUCKETS,
    REHEARSAL_CONSUMER,
    Action,
    Route,
    Side,
    Stage,
    default_route,
    legal,
    legal_back,
    moved,
)
from toolkit.cutover.facts import moved_at, since
from toolkit.cutover.gates import evaluate
from toolkit.cutover.moves import (
    PLAN_VALID,
    Force,
    Plan,
    Rehearsing,
    apply,
    plan,
    rehearse,
    rollback,
    rollback_everyone,
)

FORCE = Force(owner="grace", reason="the auditors are waiting")


def planned(store: SqlRoutes, stage: Stage, share: int = 0, *, consumer: str = "*", **changes: Any) -> Plan:
    route = store.get("portal", consumer)
    checklist = evaluate(facts(route=route, consumer=consumer, **changes), stage, share)
    return plan(route, stage, share, checklist, consumer=consumer, who="ada", why="week 12")


def advance(store: SqlRoutes, *steps: tuple[Stage, int], consumer: str = "*") -> Route:
    for stage, share in steps:
        apply(planned(store, stage, share, consumer=consumer), store, NOW)
    return store.get("portal", consumer)


TO_SHADOW = (Stage.SHADOW, 0)
TO_CANARY = (Stage.CANARY, 500)
TO_PROJECTION = (Stage.PROJECTION, 0)


def test_a_plan_says_what_apply_does(routes: SqlRoutes) -> None:
    advance(routes, TO_SHADOW)
    assert planned(routes, *TO_CANARY).effects == (
        "portal for *: shadow -> canary 5 %",
        "subjects whose place in the ramp is below 500 of 10,000 are answered by the projection, the others by legacy",
        "the history gets revision 2",
    )


def test_apply_makes_the_planned_move_and_keeps_its_evidence(routes: SqlRoutes) -> None:
    made = planned(routes, *TO_SHADOW)
    assert apply(made, routes, NOW) == made.becomes == routes.get("portal")
    [line] = routes.history("portal")
    assert (line.move.action, line.move.who, line.move.why) == (Action.FORWARD, "ada", "week 12")
    assert line.move.config_hash == "cfg"
    gates: Any = line.move.evidence["gates"]
    assert [gate["name"] for gate in gates] == ["order", "authority", "capture", "backfill"]


def test_a_move_is_refused_with_every_reason_at_once(routes: SqlRoutes) -> None:
    advance(routes, TO_SHADOW)
    broken = planned(routes, *TO_CANARY, run=run(judged=3), rehearsal=None, verifications={})
    with pytest.raises(Refused) as refused:
        apply(broken, routes, NOW)
    assert [reason.split()[0] for reason in refused.value.reasons] == ["shadow", "determinism", "way_back"]
    assert routes.get("portal").stage is Stage.SHADOW


def test_stages_are_taken_one_at_a_time_even_by_force(routes: SqlRoutes) -> None:
    for force in (None, FORCE):
        with pytest.raises(Refused, match="one at a time"):
            apply(planned(routes, *TO_PROJECTION), routes, NOW, force)


def test_a_forced_move_is_made_and_its_owner_reason_and_open_gates_stay_in_the_history(
    routes: SqlRoutes,
) -> None:
    advance(routes, TO_SHADOW)
    apply(planned(routes, *TO_CANARY, rehearsal=None), routes, NOW, FORCE)
    latest = routes.history("portal")[0].move
    assert (latest.action, latest.who, latest.why) == (Action.FORCED, "grace", "the auditors are waiting")
    forced: Any = latest.evidence["forced"]
    assert forced["against"][0].startswith("way_back insufficient")


def test_force_that_was_not_needed_is_no_forced_move(routes: SqlRoutes) -> None:
    apply(planned(routes, *TO_SHADOW), routes, NOW, FORCE)
    assert routes.history("portal")[0].move.action is Action.FORWARD


@pytest.mark.parametrize("force", [Force(owner=" ", reason="x"), Force(owner="x", reason="")])
def test_nobody_forces_anonymously_or_without_a_reason(routes: SqlRoutes, force: Force) -> None:
    with pytest.raises(UsageError):
        apply(planned(routes, *TO_SHADOW), routes, NOW, force)


def test_a_plan_whose_checklist_is_old_is_not_applied(routes: SqlRoutes) -> None:
    with pytest.raises(Refused, match="plan again"):
        apply(planned(routes, *TO_SHADOW), routes, NOW + PLAN_VALID * 2)


def test_an_authoritative_capability_refuses_to_move(routes: SqlRoutes) -> None:
    with pytest.raises(
        Refused, match="authority failed: the capability is authoritative: it stays on legacy"
    ):
        apply(planned(routes, *TO_SHADOW, read_class=ReadClass.AUTHORITATIVE), routes, NOW)


def test_a_checklist_of_another_stage_does_not_open_this_one(routes: SqlRoutes) -> None:
    checklist = evaluate(facts(route=routes.get("portal")), Stage.SHADOW)
    with pytest.raises(UsageError, match="another"):
        plan(routes.get("portal"), Stage.CANARY, 100, checklist, consumer="*", who="ada", why="")


def test_history_tells_when_a_stage_began_and_when_the_canary_grew_last(routes: SqlRoutes) -> None:
    for hours, (stage, share) in enumerate(
        [TO_SHADOW, TO_CANARY, (Stage.CANARY, 2_000), (Stage.CANARY, 5_000)]
    ):
        apply(planned(routes, stage, share), routes, NOW + hours * HOUR / 60)
    advance(routes, TO_PROJECTION, consumer="web")
    history, route = routes.history("portal"), routes.get("portal")
    assert since(history, route) == NOW + HOUR / 60
    assert moved_at(history, route) == NOW + 3 * HOUR / 60
    assert since(history, default_route("portal")) is None


# --- the way back -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.LEGACY, Stage.SHADOW, Stage.CANARY])
def test_a_rollback_goes_to_any_former_stage_without_a_gate(routes: SqlRoutes, stage: Stage) -> None:
    advance(routes, TO_SHADOW, TO_CANARY, TO_PROJECTION)
    back = rollback(routes, "portal", stage, share=100, who="ada", why="phones ring", now=NOW)
    assert back.stage is stage
    assert routes.history("portal")[0].move.action is Action.ROLLBACK


def test_a_canary_can_be_made_smaller_by_rollback_only(routes: SqlRoutes) -> None:
    advance(routes, TO_SHADOW, TO_CANARY)
    with pytest.raises(Refused, match="that is a rollback"):
        apply(planned(routes, Stage.CANARY, 100), routes, NOW, FORCE)
    assert rollback(routes, "portal", Stage.CANARY, share=100, who="a", why="b", now=NOW).share == 100


@pytest.mark.parametrize("back_to", [Stage.LEGACY, Stage.SHADOW])
def test_a_consumer_that_nobody_routed_is_told_and_not_taken_for_moved(
    routes: SqlRoutes, back_to: Stage
) -> None:
    advance(routes, TO_SHADOW, TO_CANARY, consumer="desk-app")
    with pytest.raises(UsageError, match=r"never routed for desk-ap: .*there are: desk-app"):
        rollback(routes, "portal", back_to, consumer="desk-ap", who="a", why="b", now=NOW)
    assert (
        rollback(routes, "portal", back_to, consumer="desk-app", who="a", why="b", now=NOW).stage is back_to
    )
    assert rollback(routes, "portal", Stage.LEGACY, who="a", why="b", now=NOW).consumer == "*"


def test_a_consumer_that_follows_everybody_is_moved_back_alone(routes: SqlRoutes) -> None:
    advance(routes, TO_SHADOW, TO_CANARY)
    back = rollback(routes, "portal", Stage.LEGACY, consumer="desk", who="a", why="b", now=NOW)
    assert (back.consumer, back.stage) == ("desk", Stage.LEGACY)
    assert routes.get("portal").stage is Stage.CANARY


def test_there_is_no_way_back_from_retired(routes: SqlRoutes) -> None:
    advance(routes, TO_SHADOW, TO_CANARY, TO_PROJECTION)
    apply(planned(routes, Stage.RETIRED), routes, NOW, FORCE)
    with pytest.raises(Refused, match="the way back"):
        rollback(routes, "portal", Stage.LEGACY, who="a", why="b", now=NOW)


def test_everybody_can_be_moved_back_at_once(routes: SqlRoutes) -> None:
    advance(routes, TO_SHADOW)
    advance(routes, TO_CANARY, consumer="web")
    advance(routes, TO_CANARY, TO_PROJECTION, consumer="phone")
    rollback_everyone(routes, "portal", Stage.SHADOW, who="ada", why="fire", now=NOW)
    assert {route.stage for route in routes.all()} == {Stage.SHADOW}


# --- a crash at any step and a second run converge (R9) -----------------------------------------


Prepared = tuple[Any, Callable[[Any], object]]
Prepare = Callable[[int], Prepared]


def crash_everywhere(prepare: Prepare, check: Callable[[Any], None]) -> int:
    """Prepare afresh for every store call there is; die there, before it and after it, run again whole, and check.

    `prepare` gives a store and the work to be done with it. Returns how many crashes there were.
    """
    crashes, runs = 0, itertools.count()
    for after in (False, True):
        for at in range(1, 100):
            store, work = prepare(next(runs))
            try:
                work(Fuse(store, at, after=after))
            except Blown:
                crashes += 1
                work(store)
                check(store)
            else:
                break
    return crashes


def fresh_store(folder: Path) -> SqlRoutes:
    folder.mkdir()
    engine = open_engine(f"sqlite:///{folder}/state.db")
    state.metadata.create_all(engine)
    return SqlRoutes(engine)


def test_apply_that_dies_anywhere_and_runs_again_is_one_move(tmp_path: Path) -> None:
    def prepare(number: int) -> Prepared:
        store = fresh_store(tmp_path / str(number))
        made = planned(store, *TO_SHADOW)
        return store, lambda through: apply(made, through, NOW)

    def check(store: SqlRoutes) -> None:
        assert store.get("portal").stage is Stage.SHADOW
        assert len(store.history("portal")) == 1

    assert crash_everywhere(prepare, check) == 2


def test_rollback_that_dies_anywhere_and_runs_again_is_one_move(tmp_path: Path) -> None:
    def prepare(number: int) -> Prepared:
        store = fresh_store(tmp_path / str(number))
        advance(store, TO_SHADOW, TO_CANARY)
        return store, lambda through: rollback(
            through, "portal", Stage.LEGACY, who="ada", why="fire", now=NOW
        )

    def check(store: SqlRoutes) -> None:
        assert store.get("portal").stage is Stage.LEGACY
        assert [line.move.becomes.revision for line in store.history("portal")] == [3, 2, 1]

    assert crash_everywhere(prepare, check) == 4


def test_moving_everybody_back_that_dies_anywhere_and_runs_again_leaves_nobody_behind(tmp_path: Path) -> None:
    def prepare(number: int) -> Prepared:
        store = fresh_store(tmp_path / str(number))
        advance(store, TO_SHADOW)
        for consumer in ("web", "phone"):
            advance(store, TO_CANARY, consumer=consumer)
        return store, lambda through: rollback_everyone(
            through, "portal", Stage.LEGACY, who="ada", why="fire", now=NOW
        )

    def check(store: SqlRoutes) -> None:
        assert {route.stage for route in store.all()} == {Stage.LEGACY}
        assert len(store.history("portal")) == 6

    assert crash_everywhere(prepare, check) > 10


def test_a_store_that_fails_between_route_and_history_keeps_neither(
    routes: SqlRoutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Blown

    made = planned(routes, *TO_SHADOW)
    monkeypatch.setattr("adapters.state.routes._note", die)
    with pytest.raises(Blown):
        apply(made, routes, NOW)
    assert (routes.all(), routes.history("portal")) == ([], [])
    monkeypatch.undo()
    assert apply(made, routes, NOW) == made.becomes


# --- no legal ramp moves anyone back ------------------------------------------------------------

SUBJECTS = [f"P-{number}" for number in range(300)]
steps = st.tuples(st.sampled_from(Stage), st.integers(0, BUCKETS))


@given(st.lists(steps, max_size=30))
def test_no_legal_ramp_moves_anyone_back(ramp: list[tuple[Stage, int]]) -> None:
    route, served = default_route("portal"), set[str]()
    for stage, share in ramp:
        if legal(route, stage, share):
            continue
        after = moved(route, "*", stage, share)
        assert (after.salt, after.hash_version) == (route.salt, route.hash_version)
        route = after
        now = {subject for subject in SUBJECTS if route.side(subject) is Side.PROJECTION}
        assert served <= now
        served = now


@given(steps, steps)
def test_every_move_is_forward_or_back_or_nothing_and_never_two_of_them(
    here: tuple[Stage, int], there: tuple[Stage, int]
) -> None:
    route = moved(default_route("portal"), "*", *here)
    assert legal(route, *there) is not None or legal_back(route, *there) is not None


def test_the_place_of_a_subject_in_the_ramp_never_changes() -> None:
    route = default_route("portal-policy")
    places = {1: [4676, 9325, 3672], 2: [2737, 7095, 6890]}
    for version, expected in places.items():
        kept = msgspec.structs.replace(route, hash_version=version)
        assert [kept.bucket(subject) for subject in ("P-1", "P-2", "ÄÖÜ")] == expected


def test_a_share_of_numbers_does_not_go_by_their_last_digit() -> None:
    route = moved(default_route("portal"), "*", Stage.CANARY, 5_000)
    served = Counter(number % 10 for number in range(600) if route.side(str(number)) is Side.PROJECTION)
    assert all(15 <= served[digit] <= 45 for digit in range(10)), served


def test_a_share_is_that_part_of_the_subjects() -> None:
    route = moved(default_route("portal"), "*", Stage.CANARY, 2_000)
    served = sum(route.side(f"policy-{number}") is Side.PROJECTION for number in range(20_000))
    assert 3_600 < served < 4_400


# --- the rehearsal ------------------------------------------------------------------------------

KEYS: list[dict[str, object]] = [{"policy_no": f"P{number}"} for number in range(5)]


def rehearsing(tmp_path: Path, engine: Engine, **contract: Any) -> tuple[Estate, Notes, Rehearsing]:
    at, notes = Estate(tmp_path, engine, **contract), Notes()

    def sleep(seconds: float) -> None:
        at.wall.seconds += seconds

    around = Rehearsing(reader=at.reader, store=at.routes, evidence=notes, clock=at.wall, sleep=sleep)
    return at, notes, around


def test_the_way_back_is_walked_on_a_consumer_that_is_nobody(tmp_path: Path, state_engine: Engine) -> None:
    at, notes, around = rehearsing(tmp_path, state_engine)
    at.route(Stage.SHADOW)
    result = rehearse(around, "portal", KEYS, who="ada")
    assert result.passed
    assert result.detail == "5 of 5 keys were on the projection, then all 5 on legacy"
    assert notes.rehearsed == [result]
    assert at.routes.get("portal").stage is Stage.SHADOW
    walked = [line.move.becomes for line in at.routes.history("portal")][:2]
    assert [(one.consumer, one.stage) for one in walked] == [
        (REHEARSAL_CONSUMER, Stage.LEGACY),
        (REHEARSAL_CONSUMER, Stage.CANARY),
    ]


def test_a_way_back_that_leads_to_a_dead_legacy_is_no_way_back(tmp_path: Path, sqlite_state: Engine) -> None:
    at, _notes, around = rehearsing(tmp_path, sqlite_state)
    at.legacy.broken = Infrastructure("connection refused")
    result = rehearse(around, "portal", KEYS, who="ada")
    assert not result.passed
    assert "legacy does not answer for {'policy_no': 'P0'}" in result.detail


def test_a_reader_that_does_not_follow_the_rollback_fails_the_rehearsal(
    tmp_path: Path, sqlite_state: Engine
) -> None:
    at, _notes, around = rehearsing(tmp_path, sqlite_state)
    frozen = at.reader.route

    def stuck(capability: str, consumer: str) -> tuple[Route, list[str]]:
        return moved(frozen(capability, consumer)[0], consumer, Stage.CANARY, BUCKETS), []

    at.reader.route = stuck  # type: ignore[method-assign]
    result = rehearse(around, "portal", KEYS, who="ada")
    assert not result.passed
    assert "has not seen the move to legacy within 10 s" in result.detail


def test_a_rehearsal_without_keys_proves_nothing(tmp_path: Path, sqlite_state: Engine) -> None:
    _at, _notes, around = rehearsing(tmp_path, sqlite_state)
    assert not rehearse(around, "portal", [], who="ada").passed


def test_a_stale_view_does_not_spoil_the_rehearsal_of_the_way_back(
    tmp_path: Path, sqlite_state: Engine
) -> None:
    at, _notes, around = rehearsing(tmp_path, sqlite_state, when_stale="refuse")
    at.views.as_of(NOW - 9 * HOUR)
    result = rehearse(around, "portal", KEYS, who="ada")
    assert result.passed
    assert result.detail.startswith("0 of 5 keys were on the projection")


def test_a_rehearsal_that_dies_anywhere_and_runs_again_ends_on_legacy(tmp_path: Path) -> None:
    def prepare(number: int) -> Prepared:
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = open_engine(f"sqlite:///{folder}/state.db")
        state.metadata.create_all(engine)
        at, _notes, around = rehearsing(folder, engine)

        def walk(through: Any) -> None:
            assert rehearse(replace(around, store=through), "portal", KEYS, who="ada").passed

        return at.routes, walk

    def check(store: SqlRoutes) -> None:
        assert store.get("portal", REHEARSAL_CONSUMER).stage is Stage.LEGACY
        assert store.get("portal").stage is Stage.LEGACY

    assert crash_everywhere(prepare, check) == 10
