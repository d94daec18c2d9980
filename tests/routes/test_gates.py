"""Gates say passed, failed, insufficient or waived, with evidence and what to do next."""

import datetime as dt
from typing import Any

import msgspec
import pytest

from tests.routes.facts import DAY, HOUR, facts, finding, fresh, rehearsal, route_at, run, verification
from tests.routes.now import NOW
from toolkit.core.changes import Op
from toolkit.core.evidence import Waiver, upper_bound
from toolkit.core.freshness import Freshness, ReadClass, WhenStale
from toolkit.core.routes import Stage, default_route
from toolkit.core.unclassified import Shape, Unclassified
from toolkit.cutover.gates import JUDGES, NEEDED, Gate, Outcome, Parked, evaluate, faults_of
from toolkit.ports import Hole


def gate(name: str, stage: Stage = Stage.CANARY, **changes: Any) -> Gate:
    return next(one for one in evaluate(facts(**changes), stage).gates if one.name == name)


def test_when_everything_holds_the_checklist_passes() -> None:
    checklist = evaluate(facts(), Stage.CANARY, 500)
    assert checklist.passed
    assert checklist.reasons == ()


def test_every_gate_that_a_stage_needs_is_there_and_serving_needs_more_than_comparing() -> None:
    assert set(NEEDED[Stage.SHADOW]) < set(NEEDED[Stage.CANARY]) < set(NEEDED[Stage.RETIRED])
    assert set(NEEDED[Stage.RETIRED]) == set(JUDGES)


BROKEN: list[tuple[str, Outcome, dict[str, Any]]] = [
    ("order", Outcome.FAILED, {"route": default_route("portal")}),
    ("authority", Outcome.FAILED, {"read_class": ReadClass.AUTHORITATIVE}),
    ("capture", Outcome.FAILED, {"uncaptured": ("POLICY",)}),
    ("capture", Outcome.FAILED, {"holes": (Hole(where="POLICY", what="trigger disabled", next="enable"),)}),
    ("capture", Outcome.INSUFFICIENT, {"problems": {"capture": "connection refused"}}),
    ("backfill", Outcome.FAILED, {"backfill": {"POLICY": True, "CUSTOMER": False}}),
    ("backfill", Outcome.INSUFFICIENT, {"backfill": {}}),
    ("parked", Outcome.FAILED, {"parked": (Parked(where="events of policy v2", count=3, reason="no zone"),)}),
    ("freshness", Outcome.FAILED, {"freshness": fresh(31)}),
    ("freshness", Outcome.INSUFFICIENT, {"freshness": None}),
    ("freshness", Outcome.INSUFFICIENT, {"freshness": Freshness(as_of=None, now=NOW, objective=HOUR)}),
    ("shadow", Outcome.INSUFFICIENT, {"run": None}),
    ("shadow", Outcome.INSUFFICIENT, {"run": run(config_hash="another")}),
    ("shadow", Outcome.INSUFFICIENT, {"run": run(versions={"policy": 1})}),
    ("shadow", Outcome.INSUFFICIENT, {"run": run(ended_at=NOW - 2 * HOUR)}),
    ("shadow", Outcome.INSUFFICIENT, {"installation": "since then"}),
    ("fingerprints", Outcome.INSUFFICIENT, {"installation": "since then"}),
    ("shadow", Outcome.INSUFFICIENT, {"run": run(judged=299)}),
    ("shadow", Outcome.INSUFFICIENT, {"run": run(judged=400, mismatched=1)}),
    ("shadow", Outcome.FAILED, {"run": run(mismatched=5)}),
    ("shadow", Outcome.FAILED, {"run": run(errors=1)}),
    ("fingerprints", Outcome.FAILED, {"run": run(findings=(finding(), finding(accepted=True)))}),
    ("fingerprints", Outcome.INSUFFICIENT, {"run": run(versions={"policy": 1})}),
    ("determinism", Outcome.INSUFFICIENT, {"verifications": {}}),
    ("determinism", Outcome.INSUFFICIENT, {"versions": {}, "run": run(versions={})}),
    ("determinism", Outcome.FAILED, {"verifications": {"policy": verification(deterministic=False)}}),
    ("determinism", Outcome.FAILED, {"verifications": {"policy": verification(drifted=True)}}),
    ("determinism", Outcome.INSUFFICIENT, {"verifications": {"policy": verification(at=NOW - 8 * DAY)}}),
    ("determinism", Outcome.INSUFFICIENT, {"code_hashes": {"policy": "edited"}}),
    ("determinism", Outcome.INSUFFICIENT, {"upcaster_hashes": {"policy": "another step"}}),
    ("coverage", Outcome.FAILED, {"uncovered": ("PolicyIssued v1 m1: no upcaster from version 1 to 2",)}),
    ("way_back", Outcome.INSUFFICIENT, {"rehearsal": None}),
    ("way_back", Outcome.FAILED, {"rehearsal": rehearsal(passed=False, detail="legacy did not answer")}),
    ("way_back", Outcome.INSUFFICIENT, {"rehearsal": rehearsal(at=NOW - 31 * DAY)}),
]


@pytest.mark.parametrize(("name", "outcome", "broken"), BROKEN)
def test_a_gate_that_does_not_hold_stops_the_checklist(
    name: str, outcome: Outcome, broken: dict[str, Any]
) -> None:
    found = gate(name, **broken)
    assert found.outcome is outcome
    assert found.evidence
    assert not evaluate(facts(**broken), Stage.CANARY).passed


def test_an_insufficient_gate_is_no_pass_and_says_what_to_run() -> None:
    found = gate("shadow", run=run(judged=10))
    assert not found.open
    assert found.next == "strangler shadow run portal"
    assert found.age == HOUR / 2


def test_an_accepted_fingerprint_opens_the_canary_and_blocks_retirement() -> None:
    accepted = run(findings=(finding(accepted=True),))
    assert gate("fingerprints", run=accepted).outcome is Outcome.PASSED
    assert gate("accepted", Stage.RETIRED, run=accepted).outcome is Outcome.FAILED


def retiring(**changes: Any) -> dict[str, Any]:
    return {"route": route_at(Stage.PROJECTION), "since": NOW - 15 * DAY, **changes}


def test_legacy_goes_only_when_everybody_has_left_it_for_long_and_nothing_falls_back_to_it() -> None:
    assert evaluate(facts(**retiring()), Stage.RETIRED).passed
    for name, broken in (
        ("tenure", {"since": NOW - 13 * DAY}),
        ("tenure", {"since": None}),
        ("consumers", {"others": (route_at(Stage.CANARY, 100),)}),
        ("fallback", {"when_stale": WhenStale.LEGACY}),
    ):
        assert gate(name, Stage.RETIRED, **retiring(**broken)).outcome is Outcome.FAILED


def waiver(name: str, *, days: int = 1) -> Waiver:
    expires = NOW + days * DAY
    return Waiver(capability="portal", gate=name, owner="ada", reason="pilot", expires_at=expires)


def test_a_waiver_opens_its_gate_and_is_shown_with_its_owner() -> None:
    found = gate("authority", read_class=ReadClass.AUTHORITATIVE, waivers=(waiver("authority"),))
    assert found.outcome is Outcome.WAIVED
    assert "ada answers for it" in found.evidence


@pytest.mark.parametrize("granted", [waiver("authority", days=-1), waiver("parked")])
def test_a_waiver_that_expired_or_is_for_another_gate_opens_nothing(granted: Waiver) -> None:
    assert not gate("authority", read_class=ReadClass.AUTHORITATIVE, waivers=(granted,)).open


def test_a_waiver_of_holes_covers_those_that_were_there_and_no_later_one() -> None:
    cascade, gone = (
        Hole(where="DEPT", what=what, next="mend it") for what in ("cascades", "trigger is gone")
    )
    granted = msgspec.structs.replace(waiver("capture"), covers=faults_of(facts(holes=(cascade,)), "capture"))

    assert gate("capture", holes=(cascade,), waivers=(granted,)).outcome is Outcome.WAIVED
    later = gate("capture", holes=(cascade, gone), waivers=(granted,))
    assert later.outcome is Outcome.FAILED
    assert "does not cover: DEPT: trigger is gone" in later.evidence


def test_a_waiver_of_unclassified_changes_covers_the_kinds_that_were_there() -> None:
    granted = msgspec.structs.replace(waiver("unclassified"), covers=("POLMAST delete",))
    known, other = (
        Unclassified(
            source="s",
            shape=Shape(table="POLMAST", op=op),
            count=1,
            subject="P-1",
            position="change:1",
            first_at=NOW,
            last_at=NOW,
        )
        for op in (Op.DELETE, Op.INSERT)
    )

    assert gate("unclassified", unclassified=(known,), waivers=(granted,)).outcome is Outcome.WAIVED
    assert not gate("unclassified", unclassified=(known, other), waivers=(granted,)).open


def test_a_skipped_event_closes_its_gate_until_a_waiver_names_it_and_the_next_one_closes_it_again() -> None:
    skipped = facts(skipped={"policy": ("e1",)}, verifications={"policy": verification(skipped=["e1"])})
    assert (
        evaluate(skipped, Stage.CANARY)
        .reasons[0]
        .startswith("skipped failed: 1 events were skipped: policy: e1")
    )
    granted = Waiver(
        capability="portal",
        gate="skipped",
        owner="ada",
        reason="test bookings",
        expires_at=NOW + HOUR,
        covers=faults_of(skipped, "skipped"),
    )
    assert evaluate(msgspec.structs.replace(skipped, waivers=(granted,)), Stage.CANARY).passed
    more = facts(
        skipped={"policy": ("e1", "e2")},
        waivers=(granted,),
        verifications={"policy": verification(skipped=["e1", "e2"])},
    )
    assert "does not cover: policy: e2" in evaluate(more, Stage.CANARY).reasons[0]


def test_a_verification_from_before_an_event_was_skipped_says_nothing() -> None:
    (reason,) = evaluate(facts(skipped={"policy": ("e1",)}), Stage.CANARY).reasons[1:]
    assert "determinism insufficient: events of policy v2 were skipped since it was verified" in reason


def test_a_gate_names_a_few_things_and_how_many_there_are_besides() -> None:
    holes = tuple(Hole(where=f"T{at}", what="its trigger is gone", next="") for at in range(60))
    (reason,) = evaluate(facts(holes=holes), Stage.SHADOW).reasons[1:]
    assert "T2: its trigger is gone; and 57 more: strangler capture status" in reason
    assert "T3" not in reason
    assert len(faults_of(facts(holes=holes), "capture")) == 60, "a waiver still covers each of them"


def test_the_order_of_the_stages_cannot_be_waived() -> None:
    assert not gate("order", route=default_route("portal"), waivers=(waiver("order"),)).open


def test_nothing_can_be_waived_before_retirement_for_a_waiver_ends_and_retirement_does_not() -> None:
    changes = retiring(read_class=ReadClass.AUTHORITATIVE, waivers=(waiver("authority"),))
    assert not gate("authority", Stage.RETIRED, **changes).open


def test_nothing_found_in_300_pairs_leaves_one_percent() -> None:
    assert upper_bound(0, 300) == pytest.approx(0.01, rel=0.01)
    assert upper_bound(0, 299) > upper_bound(0, 300)
    assert upper_bound(3, 1000) == pytest.approx(0.00773, rel=0.01)
    assert upper_bound(0, 0) == 1.0
    assert upper_bound(5, 5) == 1.0


def test_more_pairs_never_loosen_and_more_mismatches_never_tighten_the_bound() -> None:
    bounds = [upper_bound(mismatches, 500) for mismatches in range(20)]
    assert bounds == sorted(bounds)
    assert upper_bound(2, 500) > upper_bound(2, 5000)


def test_a_gate_reads_as_one_line() -> None:
    text = str(gate("freshness", freshness=fresh(45)))
    assert text == "freshness failed: 45.0 s behind, objective 30.0 s (next: strangler freshness portal)"
    assert dt.timedelta() == gate("freshness").age
