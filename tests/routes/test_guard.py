"""The guard moves a route back by itself, only when it must, and never to a legacy that is dead."""

from typing import Any

import msgspec
import pytest

from tests.routes.facts import HOUR, facts, finding, fresh, route_at, run
from tests.routes.now import NOW
from toolkit.core.freshness import Freshness
from toolkit.core.routes import Action, Stage, moved
from toolkit.cutover.guard import guard_step, watch

WRONG: dict[str, Any] = {"run": run(mismatched=5, errors=2), "freshness": fresh(331)}


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.PROJECTION])
@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"run": run(mismatched=5)}, "5 of 400 pairs differ (1.25%); 1.00% are allowed (run run-1)"),
        ({"run": run(errors=1)}, "1 pairs failed on the projection's side; 0 are allowed"),
        (
            {"freshness": fresh(331)},
            "the view is 331.0 s behind; 330 s are allowed (objective and guard_overdue)",
        ),
        ({"freshness": Freshness(as_of=None, now=NOW, objective=HOUR)}, "promises nothing"),
    ],
)
def test_a_budget_that_is_passed_moves_the_route_back(stage: Stage, broken: dict[str, Any], why: str) -> None:
    route = route_at(stage, 500)
    move = guard_step(facts(route=route, **broken), route)
    assert move is not None
    assert (move.action, move.who) == (Action.ROLLBACK, "guard")
    assert why in move.why
    assert move.becomes == moved(route, "*", Stage.SHADOW, 0)


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.PROJECTION])
@pytest.mark.parametrize("kept", [{"run": run(mismatched=4)}, {"freshness": fresh(330)}, {"run": None}, {}])
def test_a_budget_that_is_kept_moves_nothing(stage: Stage, kept: dict[str, Any]) -> None:
    route = route_at(stage, 500)
    assert guard_step(facts(route=route, **kept), route) is None


@pytest.mark.parametrize("stage", [Stage.LEGACY, Stage.RETIRED])
def test_where_there_is_nothing_to_move_back_to_the_guard_does_nothing(stage: Stage) -> None:
    route = route_at(stage)
    assert guard_step(facts(route=route, **WRONG), route) is None


def test_differences_and_lag_are_what_shadow_is_for_and_only_errors_end_it() -> None:
    route = route_at(Stage.SHADOW)
    assert guard_step(facts(route=route, run=run(mismatched=50), freshness=fresh(900)), route) is None
    move = guard_step(facts(route=route, run=run(errors=1)), route)
    assert move is not None
    assert move.becomes.stage is Stage.LEGACY


def test_nobody_is_moved_back_to_a_legacy_that_does_not_answer() -> None:
    route = route_at(Stage.PROJECTION)
    seen = watch(facts(route=route, legacy_answers=False, **WRONG), route)
    assert seen.move is None
    assert len(seen.reasons) == 3
    assert "legacy does not answer" in seen.held


@pytest.mark.parametrize("old", [{"ended_at": NOW - 2 * HOUR}, {"versions": {"policy": 1}}])
def test_a_run_from_before_the_move_or_of_another_version_was_judged_already(old: dict[str, Any]) -> None:
    route = route_at(Stage.CANARY, 500)
    assert guard_step(facts(route=route, run=run(mismatched=50, **old)), route) is None


def test_a_clock_that_cannot_be_read_is_no_staleness() -> None:
    route = route_at(Stage.CANARY, 500)
    unknown = facts(route=route, freshness=None, problems={"freshness": "connection refused"})
    assert guard_step(unknown, route) is None
    assert watch(unknown, route).untold == ("freshness: connection refused",)
    assert watch(unknown, route_at(Stage.SHADOW)).untold == ()
    assert guard_step(msgspec.structs.replace(unknown, problems={}), route) is not None


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.PROJECTION])
def test_a_route_that_holds_names_the_differences_that_nobody_answers_for(stage: Stage) -> None:
    route = route_at(stage, 500)

    def noted(**changes: Any) -> str:
        seen = watch(facts(route=route, run=run(**changes)), route)
        assert seen.move is None
        return " ".join(seen.noted)

    assert noted(mismatched=3, findings=(finding(),)) == (
        "nobody answers for semantic status (3 keys, f00): 3 of 400 pairs differ, within the budget "
        "(1.00% are allowed) (run run-1; next: strangler repair show portal)"
    )
    assert noted(findings=(finding(accepted=True),)) == ""
    before = noted(mismatched=50, findings=(finding(),), ended_at=NOW - 2 * HOUR)
    assert "semantic status (3 keys, f00): the run is from before the latest move" in before


def test_a_route_that_is_moved_back_names_its_differences_and_one_in_shadow_need_not() -> None:
    bad = run(mismatched=5, findings=(finding(),))
    moving = watch(facts(route=route_at(Stage.CANARY, 500), run=bad), route_at(Stage.CANARY, 500))
    assert moving.move is not None
    assert "past the budget" in moving.noted[0]
    assert watch(facts(route=route_at(Stage.SHADOW), run=bad), route_at(Stage.SHADOW)).noted == ()
