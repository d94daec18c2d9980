"""What is authoritative here, how far behind is the view, how do we repair it: answered on a real little estate."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from tests.routes import estate
from tests.routes.estate import TOPIC
from tests.routes.facts import HOUR, Blown, Fuse
from tests.routes.now import NOW
from tests.routes.world import World
from toolkit.cli.questions import _show_status
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Infrastructure, NotSetUp, StranglerError
from toolkit.core.evidence import Discrepancy, ShadowRun, Verification, Waiver
from toolkit.core.freshness import Confidence
from toolkit.core.routes import Side, Stage
from toolkit.cutover.facts import gather
from toolkit.cutover.gates import Outcome, evaluate
from toolkit.cutover.guard import guard
from toolkit.loops import reaching
from toolkit.ports import Checkpoint, LeaseState, ParkedChange, VersionState
from toolkit.questions.lagging import lagging
from toolkit.questions.leading import Readers
from toolkit.questions.overview import authority, status, status_of_all
from toolkit.questions.parked import lacking
from toolkit.questions.repair import Action, Kind, Loops, execute, plan
from toolkit.questions.stalling import SILENT, Blocker, silence, stalled
from toolkit.router.read import Reader

Make = Callable[..., World]


def running(make_world: Make, **contract: str) -> World:
    """A world in which everything has run once, and nothing is behind."""
    world = make_world(**contract)
    world.capture()
    world.backfilled()
    world.commit("P1", "P2", "P3")
    world.relay()
    world.project_all()
    return world


# --- how far behind -----------------------------------------------------------------------------


def test_a_view_that_has_everything_is_fresh_and_nothing_waits(make_world: Make) -> None:
    world = running(make_world)
    seen = lagging(world.around, "portal")
    assert seen.confidence is Confidence.FRESH
    assert [hop.waiting for hop in seen.hops] == [0, 0, 0, 0]
    assert (seen.causes, seen.problems) == ((), ())
    assert seen.as_of == seen.watermark
    assert [lease.owner for lease in seen.leases] == ["host:1"]


def test_each_hop_counts_what_waits_before_it(make_world: Make) -> None:
    world = running(make_world)
    world.commit("P4", "P5")
    assert [hop.waiting for hop in lagging(world.around, "portal").hops] == [2, 0, 0, 0]
    world._translate(world._leading().epoch, 100)
    assert [hop.waiting for hop in lagging(world.around, "portal").hops] == [0, 0, 2, 2]
    world.relay()
    assert [hop.waiting for hop in lagging(world.around, "portal").hops] == [0, 0, 0, 2]
    world.project_all()
    assert [hop.waiting for hop in lagging(world.around, "portal").hops] == [0, 0, 0, 0]


def test_before_the_first_watermark_nothing_is_promised_and_it_says_who_has_not_run(make_world: Make) -> None:
    world = make_world()
    world.capture()
    world.backfilled()
    seen = lagging(world.around, "portal")
    assert (seen.as_of, seen.confidence) == (None, Confidence.UNKNOWN)
    (cause,) = seen.causes
    assert cause.startswith("no watermark was ever sent: the relay has not run, or not come to an end")
    assert seen.hops[0].next == "strangler doctor", "somebody leads: another relay would stand by"
    world._leading().resign()
    assert lagging(world.around, "portal").hops[0].next == "strangler relay"


def test_before_the_history_is_read_it_says_that_watermarks_wait_for_it(make_world: Make) -> None:
    world = make_world()
    assert lagging(world.around, "portal").hops[0].blocker is Blocker.CAPTURE
    world.capture()
    seen = lagging(world.around, "portal")
    assert "the history of POLICY is not read to its end" in seen.causes[0]
    assert seen.hops[0].next == "strangler backfill"


def test_a_projection_that_failed_says_so_with_its_detail(make_world: Make) -> None:
    world = running(make_world)
    world.fail("policy v1 at P9: no space left on device")
    assert lagging(world.around, "portal").causes == ("failed: policy v1 at P9: no space left on device",)


def test_what_cannot_be_seen_is_a_problem_and_not_an_error(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = running(make_world)

    def dead(*_: object) -> None:
        raise Infrastructure("legacy does not answer")

    monkeypatch.setattr(type(world.legacy), "clock", dead)
    monkeypatch.setattr(type(world.legacy.capture), "horizon", dead)
    seen = lagging(world.around, "portal")
    assert seen.hops[0].waiting is None
    assert seen.problems == ("legacy: legacy does not answer",)
    shown = status(world.around, "portal")
    assert shown.problems["freshness"] == "legacy does not answer"


def test_when_legacy_is_away_the_last_as_of_is_told_with_its_age_and_by_whose_clock(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = running(make_world)
    before = lagging(world.around, "portal")
    assert (before.trusted, before.clock, before.unreachable) == (True, "the clock of crm", False)

    def dead(*_: object) -> None:
        raise Infrastructure("legacy does not answer")

    monkeypatch.setattr(type(world.legacy), "clock", dead)
    world.skew = HOUR
    seen = lagging(world.around, "portal")
    assert (seen.as_of, seen.trusted, seen.unreachable) == (before.as_of, False, True)
    assert seen.lag is not None
    assert HOUR <= seen.lag < HOUR + dt.timedelta(minutes=5)
    assert seen.clock == "this machine's clock: crm does not tell its own"
    assert (seen.confidence, seen.fresh) == (Confidence.UNKNOWN, False)
    assert status(world.around, "portal").unreachable


def test_the_three_legs_and_every_partition_are_told_apart(make_world: Make) -> None:
    world = running(make_world)
    world.route(Stage.SHADOW)
    world.route(Stage.CANARY, 500)
    world.commit("P4", "P5")
    world.relay()
    seen = lagging(world.around, "portal")
    published, projected, given = (leg.behind for leg in seen.legs)
    assert published is not None
    assert projected is not None
    assert given == dt.timedelta()
    assert seen.lag is not None
    assert abs(published + projected + given - seen.lag) < dt.timedelta(seconds=1)
    assert projected == (seen.watermark or NOW) - (seen.as_of or NOW) > dt.timedelta()
    assert {one.partition: one.as_of for one in seen.partitions} == {0: seen.as_of, 1: seen.as_of}
    assert sum(one.waiting or 0 for one in seen.partitions) == 2
    [portal] = seen.served
    assert (portal.side, portal.as_of, portal.how) == (
        Side.PROJECTION,
        seen.as_of,
        "served (fresh), for 5 % of subjects",
    )
    [context] = seen.projected
    assert (context.context, context.projection, context.state) == ("customer-service", "policy", "building")
    assert context.at is not None


def test_a_route_that_falls_back_says_that_legacy_answers(make_world: Make) -> None:
    world = make_world(when_stale="legacy")
    for stage in (Stage.SHADOW, Stage.CANARY, Stage.PROJECTION):
        world.route(stage, 500)
    [portal] = lagging(world.around, "portal").served
    assert (portal.side, portal.how) == (Side.LEGACY, "falls back to legacy (unknown)")


def test_a_route_whose_legacy_is_away_does_not_say_that_legacy_answers(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(when_stale="legacy")
    for stage in (Stage.SHADOW, Stage.CANARY, Stage.PROJECTION):
        world.route(stage, 500)

    def dead(*_: object) -> None:
        raise Infrastructure("legacy does not answer")

    monkeypatch.setattr(type(world.legacy), "clock", dead)
    [portal] = lagging(world.around, "portal").served
    assert portal.how == "cannot be judged, and legacy, which would answer, does not (unknown)"


def test_what_is_parked_is_named_with_its_event_its_place_and_its_reason(make_world: Make) -> None:
    world = make_world()
    world.capture()
    world.backfilled()
    world.commit("P1")
    world.relay()
    world.project_all(park="P1")
    hop = lagging(world.around, "portal").hops[3]
    event = world.store.parked("policy", 1)[0].record
    assert hop.blocker is Blocker.PARKED
    assert f"PolicyIssued of P1 ({event.envelope.id}, {TOPIC}[{event.partition}] event 1)" in hop.cause
    assert hop.cause.endswith("no branch has this code")


def test_a_change_that_no_translator_could_translate_is_told_with_its_reason_and_what_to_do(
    make_world: Make,
) -> None:
    world = running(make_world)
    world.commit("P4")
    world.park_change("P4", "unknown code Q")
    seen = lagging(world.around, "portal")
    hop = next(one for one in seen.hops if one.blocker is Blocker.PARKED)
    assert (hop.name, hop.waiting) == ("parked changes of crm -> archived", 1)
    assert hop.cause.endswith("the view may lack their effect; the first: unknown code Q")
    assert hop.next.startswith("strangler repair parked; mend the rule, then restart the relay")
    assert hop.cause in seen.causes
    assert [(one.projection, one.parked_changes, one.parked_events) for one in seen.projected] == [
        ("policy", 1, 0)
    ]
    assert [(one.where, one.count) for one in status(world.around, "portal").parked] == [
        ("changes of crm", 1)
    ]


def test_parked_changes_and_the_rules_for_their_tables_are_read_once_for_all_capabilities(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = running(make_world)
    world.commit("P4")
    world.park_change("P4", "unknown code Q")
    each = [status(world.around, name) for name in world.project.settings.capability]
    asked: list[str] = []

    def counted(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            asked.append(name)
            return original(*given, **named)

        return call

    archive = type(world.around.archive)
    monkeypatch.setattr(archive, "parked", counted("changes", archive.parked))
    monkeypatch.setattr(reaching, "events_of", counted("rules", reaching.events_of))
    found = status_of_all(world.around)
    assert asked == ["changes", "rules"]
    assert [one.parked for one in found] == [one.parked for one in each]
    assert [one.lag.causes for one in found] == [one.lag.causes for one in each]
    assert len(found) == 3
    world.commit("P5")
    world.park_change("P5", "unknown code R")
    assert [one.parked[0].count for one in status_of_all(world.around)] == [2, 2, 2], "read anew each time"


ERP = """
erp = Translators("erp")
erp.aggregate("policy", {"CONTRACT": "NO"})
erp.aggregate("person", {"PERSON": "NO"})

@erp.table("CONTRACT")
def contract(change):
    yield PolicyIssued(policy_no=change.text("NO"))

@underwriting.event(subject="no", means="Somebody.")
class PersonKnown(Event):
    no: str

@erp.table("PERSON")
def person(change):
    yield PersonKnown(no=change.text("NO"))
"""


def test_what_a_view_may_lack_of_another_source_is_told_and_what_it_cannot_read_is_not(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = '[legacy.erp]\nurl = "{legacy_url}"\ncontext = "erp"\ntables = ["CONTRACT", "PERSON"]\n[log]\n'
    settings = estate.SETTINGS.replace("[log]\n", other)
    settings = settings.replace('projection = "policy"\n', 'projection = "policy"\nlegacy = "crm"\n')
    monkeypatch.setattr(estate, "SETTINGS", settings)
    monkeypatch.setitem(estate.FILES, "model.py", estate.MODEL + ERP)
    world = running(make_world)
    epoch = world.state.leases.acquire("relay:erp", "t", HOUR, world.clock())

    def park(table: str) -> None:
        change = Change(
            source="erp",
            table=table,
            op=Op.INSERT,
            subject="7",
            position=f"change:{table}",
            captured_at=world.clock(),
            after={"NO": "7"},
        )
        one = ParkedChange(source="erp", change=change, reason=table, held=False, parked_at=world.clock())
        world.state.archive.append("erp", "estate.erp", [], partitions=2, epoch=epoch, parked=[one])

    park("PERSON")
    assert lagging(world.around, "portal").causes == ()
    park("CONTRACT")
    (hop,) = (one for one in lagging(world.around, "portal").hops if one.blocker is Blocker.PARKED)
    assert (hop.name, hop.waiting) == ("parked changes of erp -> archived", 1)
    assert [one.where for one in gather(world.around, "portal").parked if one.count] == ["changes of erp"]
    assert [one.target for one in plan(world.around, "portal")] == ["erp"]


def test_a_reader_is_told_which_subjects_have_parked_changes_and_which_events_they_may_become(
    make_world: Make,
) -> None:
    world = running(make_world)
    look = lacking(world.project, lambda: world.state.archive)
    assert look() == {}
    world.commit("P4")
    world.park_change("P4", "unknown code Q")
    assert look() == {"P4": frozenset({"PolicyIssued"})}


def lease(seconds: int) -> LeaseState:
    expires = NOW + dt.timedelta(seconds=seconds)
    return LeaseState(name="relay:crm", owner="host:1", epoch=4, expires_at=expires)


def test_each_partition_is_told_with_the_process_that_reads_it(make_world: Make) -> None:
    world = running(make_world)
    hour, now = dt.timedelta(hours=1), world.clock()
    read = {one.partition: one.reader for one in lagging(world.around, "portal").partitions}
    assert read == {0: "", 1: ""}, "nobody reads now"
    world.state.leases.acquire("projector:policy:1", "host:7", hour, now)
    alone = lagging(world.around, "portal").partitions
    assert {one.reader for one in alone} == {"host:7"}
    world.project.settings.read_store.shared.append("policy")
    parts = [LeaseState(name=f"projector:policy:1:{TOPIC}:0", owner="host:8", epoch=1, expires_at=now + hour)]
    assert [Readers(world.around, parts).of("policy", 1, TOPIC, at) for at in (0, 1)] == ["host:8", ""]
    ended = [msgspec.structs.replace(one, expires_at=now - hour) for one in parts]
    assert Readers(world.around, ended).of("policy", 1, TOPIC, 0) == ""


def test_silence_is_told_with_its_length_and_who_leads() -> None:
    old = NOW - dt.timedelta(minutes=3)
    assert silence(NOW - SILENT, NOW, NOW, []) == ""
    assert silence(old, NOW, NOW, [lease(-5)]) == (
        "no watermark for 180 s: the relay is not running (nobody leads)"
    )
    assert "although host:1 leads until 12:00:05Z" in silence(old, NOW, NOW, [lease(5)])


def test_a_shard_that_nobody_leads_is_told_with_those_who_lead_the_others() -> None:
    old = NOW - dt.timedelta(minutes=3)
    led = [
        LeaseState(name=f"relay:crm:{shard}/2", owner="host:1", epoch=4, expires_at=NOW + wait)
        for shard, wait in enumerate([dt.timedelta(seconds=5), -dt.timedelta(seconds=5)])
    ]
    assert silence(old, NOW, NOW, led, ["relay:crm:1/2"]) == (
        "no watermark for 180 s: nobody leads relay:crm:1/2 (host:1 leads relay:crm:0/2 until 12:00:05Z)"
    )


STATE = VersionState(projection="policy", version=1, serving=True, epoch=1, state="running", updated_at=NOW)


def at(offset: int, sequence: int, as_of: dt.datetime | None = NOW) -> list[Checkpoint]:
    return [Checkpoint(topic="t", partition=0, next_offset=offset, sequence=sequence, as_of=as_of)]


@pytest.mark.parametrize(
    ("checkpoints", "published", "bounds", "cause"),
    [
        (at(5, 5), {}, {0: (0, 5)}, ""),
        (at(5, 5), {0: 5}, {0: (0, 7)}, ""),
        (
            at(5, 5),
            {0: 6},
            {0: (0, 5)},
            "sequence 6 of partition 0 has not come: the log got it at offset 6, and ends before it, at 5",
        ),
        (at(5, 5), {0: 9}, {0: (7, 10)}, "the log no longer has offset 5: rebuild from the archive"),
        (at(5, 5, None), {}, {0: (0, 5)}, "a partition has seen no watermark"),
        (
            at(5, 5, NOW - HOUR),
            {},
            {0: (0, 5)},
            "3600 s behind the last watermark: the projector is slow or not",
        ),
    ],
)
def test_a_projection_that_does_not_follow_says_what_it_waits_for(
    checkpoints: list[Checkpoint],
    published: dict[int, int],
    bounds: dict[int, tuple[int, int]],
    cause: str,
) -> None:
    found = stalled(STATE, checkpoints, published, bounds, NOW)
    assert cause in (found.cause if found is not None else "")
    assert (found is not None) == bool(cause)


def test_events_on_their_way_to_the_log_are_counted_and_are_no_obstacle_while_a_relay_gets_on(
    make_world: Make,
) -> None:
    world = running(make_world)
    world.commit("P4", "P5")
    world._translate(world._leading().epoch, 100)
    seen = lagging(world.around, "portal")
    publishing = seen.hops[2]
    assert (publishing.waiting, seen.causes) == (2, ())
    assert publishing.oldest is not None
    assert publishing.oldest > (seen.watermark or NOW)


def unpublished(world: World, wait: dt.timedelta) -> tuple[str, Blocker | None, str]:
    """What is said of two events that wait to be published, so long after the last watermark."""
    world.commit("P4", "P5")
    world._translate(world._leading().epoch, 100)
    archive = world.around.archive
    as_of = archive.last_watermark(TOPIC) or NOW
    epoch = world._leading().epoch
    archive.watermarked(TOPIC, as_of - wait, source="crm", epoch=epoch)
    _, _, publishing, projecting = lagging(world.around, "portal").hops
    assert projecting.cause == ""
    oldest = f"{publishing.oldest:%Y-%m-%d %H:%M:%S}Z"
    return publishing.cause.replace(oldest, "T"), publishing.blocker, publishing.next


def test_events_that_nobody_publishes_are_told_with_the_oldest_and_the_relay_to_start(
    make_world: Make,
) -> None:
    world = running(make_world)
    world.commit("P4", "P5")
    world._translate(world._leading().epoch, 100)
    world._leading().resign()
    publishing = lagging(world.around, "portal").hops[2]
    assert publishing.cause == (
        f"2 events are archived and not in the log, the oldest of {publishing.oldest:%Y-%m-%d %H:%M:%S}Z: "
        "nobody leads relay:crm, so nobody publishes them"
    )
    assert (publishing.blocker, publishing.next) == (Blocker.RELAY, "strangler relay")


def test_events_that_a_leader_does_not_get_published_are_told_with_the_leader_and_no_other_relay_is_asked_for(
    make_world: Make,
) -> None:
    world = running(make_world)
    cause, blocker, next_step = unpublished(world, dt.timedelta(minutes=3))
    assert cause.startswith(
        "2 events are archived and not in the log, the oldest of T, although host:1 leads until "
    )
    assert cause.endswith(": it is busy, or the log does not take them")
    assert (blocker, next_step) == (Blocker.RELAY, "strangler doctor")
    seen = lagging(world.around, "portal").hops[0]
    assert "no watermark for 18" in seen.cause
    assert seen.next == "strangler doctor"


def test_what_waits_behind_a_pause_is_told_by_the_pause_alone(make_world: Make) -> None:
    world = running(make_world)
    pauses = world.state.pauses
    pauses.pause("crm", "ada", "month end", world.clock())
    world.around = replace(world.around, pauses=pauses)
    assert unpublished(world, dt.timedelta(minutes=3)) == ("", None, "")
    assert [hop.blocker for hop in lagging(world.around, "portal").hops][:1] == [Blocker.PAUSED]


# --- who is authoritative -----------------------------------------------------------------------


def test_who_answers_is_said_for_each_consumer_and_who_is_right_is_always_legacy(make_world: Make) -> None:
    world = running(make_world)
    world.route(Stage.SHADOW)
    world.route(Stage.CANARY, 500, consumer="web")
    seen = authority(world.around, "portal")
    assert (seen.record, seen.record_context) == ("crm", "customer-records")
    assert seen.answers == {
        "*": "legacy crm, compared with policy v1",
        "web": "policy v1 for 5 % of subjects, legacy crm for the others",
    }


@pytest.mark.parametrize("error", [Infrastructure("the server is away"), NotSetUp("run setup first")])
def test_while_the_read_store_is_away_the_routes_still_tell_who_answers_and_what_could_not_be_told_is_named(
    make_world: Make, monkeypatch: pytest.MonkeyPatch, error: StranglerError
) -> None:
    world = running(make_world)
    world.route(Stage.SHADOW)
    world.route(Stage.CANARY, 500, consumer="web")

    def away(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(world.store), "versions", away)
    seen = authority(replace(world.around, legacy={}), "portal")
    view = "policy (nobody can tell which version)"
    assert (seen.record, seen.record_context) == ("crm", "customer-records")
    assert seen.answers == {
        "*": f"legacy crm, compared with {view}",
        "web": f"{view} for 5 % of subjects, legacy crm for the others",
    }
    assert (seen.contracts, seen.unreachable) == ((), True)
    assert seen.problems == {"read store": str(error)}


def test_while_the_routes_are_away_the_system_of_record_is_told_and_that_nobody_can_say_who_answers(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = running(make_world)

    def away(*_: object) -> None:
        raise Infrastructure("the server is away")

    monkeypatch.setattr(type(world.routes), "all", away)
    seen = authority(world.around, "portal")
    assert (seen.record, seen.answers, seen.problems) == ("crm", {}, {"routes": "the server is away"})
    assert seen.unreachable
    assert [one.projection for one in seen.contracts] == ["policy"]


def test_a_version_that_serves_and_is_not_in_the_code_is_a_problem_of_its_contract_alone(
    make_world: Make,
) -> None:
    world = running(make_world)
    project = replace(world.project, projections={"policy": {}})
    seen = authority(replace(world.around, project=project), "portal")
    assert (seen.answers, seen.contracts) == ({"*": "legacy crm"}, ())
    assert list(seen.problems) == ["policy v1"]
    assert not seen.unreachable


def test_the_contract_tells_columns_vocabulary_and_what_the_events_mean(make_world: Make) -> None:
    [contract] = authority(running(make_world).around, "portal").contracts
    assert (contract.projection, contract.version, contract.context) == ("policy", 1, "customer-service")
    assert {one.name: one.vocabulary for one in contract.columns}["status"] == ("in_force", "cancelled")
    assert [(one.name, one.means) for one in contract.events] == [("PolicyIssued", "Cover begins.")]


def test_an_authoritative_capability_says_that_it_stays_until_somebody_answers_for_it(
    make_world: Make,
) -> None:
    world = running(make_world, read_class="authoritative")
    world.route(Stage.PROJECTION)
    assert authority(world.around, "portal").answers == {"*": "legacy crm"}
    expires = world.clock() + HOUR
    waiver = Waiver(capability="portal", gate="authority", owner="ada", reason="pilot", expires_at=expires)
    world.evidence.grant(waiver, world.clock())
    assert authority(world.around, "portal").answers == {"*": "policy v1, compared with legacy crm"}


def test_every_value_can_be_printed_as_json(make_world: Make) -> None:
    world = running(make_world)
    for value in (
        authority(world.around, "portal"),
        status_of_all(world.around),
        plan(world.around, "portal"),
    ):
        assert msgspec.json.encode(value)


# --- the same facts for gates, guard and reads --------------------------------------------------


def test_the_gates_see_the_real_estate(make_world: Make) -> None:
    world = make_world()
    outcomes = {
        gate.name: gate.outcome for gate in evaluate(gather(world.around, "portal"), Stage.SHADOW).gates
    }
    assert outcomes["capture"] is Outcome.FAILED
    assert outcomes["backfill"] is Outcome.FAILED
    world.capture()
    world.backfilled()
    world.relay()
    assert evaluate(gather(world.around, "portal"), Stage.SHADOW).passed


def test_the_guard_moves_the_real_route_back_and_signs_for_it(make_world: Make) -> None:
    world = running(make_world)
    for step in (Stage.SHADOW, Stage.CANARY, Stage.PROJECTION):
        world.route(step, 500)
    [quiet] = guard(world.around, "portal")
    assert quiet.reasons == ()
    world.skew = dt.timedelta(minutes=1)
    world.evidence.save_run(bad_run(world), [])
    [seen] = guard(world.around, "portal")
    assert "30 of 400 pairs differ" in seen.reasons[0]
    assert world.routes.get("portal").stage is Stage.SHADOW
    assert world.routes.history("portal")[0].move.who == "guard"
    assert guard(world.around, "portal")[0].move is None


def bad_run(world: World) -> ShadowRun:
    return ShadowRun(
        id="run-9",
        capability="portal",
        config_hash=world.project.config_hash("portal"),
        versions={"policy": 1},
        started_at=world.clock(),
        ended_at=world.clock(),
        verdict="mismatch",
        judged=400,
        confirmed=((("f00",), 30),),
    )


def test_a_read_of_the_real_estate_is_fresh_or_falls_back_for_a_parked_subject(make_world: Make) -> None:
    world = make_world(when_stale="legacy")
    world.capture()
    world.commit("P1", "P2")
    world.relay()
    world.project_all(park="P2")
    world.route(Stage.PROJECTION)
    reader = Reader(
        world.project, {"crm": world.legacy}, world.store, world.routes, world.clock, waivers=world.evidence
    )
    fresh, held = reader.read("portal", "P1"), reader.read("portal", "P2")
    assert (fresh.served_by, fresh.confidence) == (Side.PROJECTION, Confidence.FRESH)
    assert fresh.rows[0]["status"] == "in_force"
    assert (held.served_by, held.rows[0]["status"]) == (Side.LEGACY, "active")
    assert "events of P2 are parked" in held.warnings[0]
    assert reader.paths("portal").keys(dt.date(2026, 3, 1)) == [{"policy_no": "P1"}, {"policy_no": "P2"}]


# --- how to repair ------------------------------------------------------------------------------


def test_where_nothing_is_wrong_there_is_nothing_to_repair(make_world: Make) -> None:
    assert plan(running(make_world).around, "portal") == []


@pytest.mark.parametrize(
    ("found", "then"),
    [
        ({"drifted": True}, "strangler repair key policy KEY"),
        ({"deterministic": False}, "mend what makes it depend"),
    ],
)
def test_what_a_verification_found_is_told_until_the_version_was_built_anew(
    make_world: Make, found: dict[str, bool], then: str
) -> None:
    world = running(make_world)
    one = Verification(
        projection="policy",
        version=1,
        at=world.clock(),
        deterministic=True,
        code_hash="c",
        upcaster_hash="u",
        detail="drifted: P1",
    )
    world.evidence.save_verification(msgspec.structs.replace(one, **found))
    (action,) = plan(world.around, "portal")
    assert action.why.endswith("Z: drifted: P1")
    assert action.command.startswith(then)
    built = world.store.seize("policy", 1)
    world.store.set_state("policy", 1, "running", "", epoch=built, now=world.clock())
    assert plan(world.around, "portal") == [], "that was of a table that is gone"
    assert gather(world.around, "portal").verifications == {}


def test_what_is_parked_is_replayed_changes_before_events(make_world: Make) -> None:
    world = make_world()
    world.capture()
    world.commit("P1", "P2")
    world.relay()
    world.project_all(park="P2")
    world.commit("P3")
    world.park_change("P3", "unknown code Q")
    running = plan(world.around, "portal")[0].command
    assert running.startswith("restart the relay with it (host:1 leads"), "a command would be refused"
    world.skew = HOUR  # its lease has run out
    actions = plan(world.around, "portal")
    assert [(one.kind, one.command) for one in actions] == [
        (Kind.REPLAY_CHANGES, "strangler repair changes crm"),
        (Kind.REPLAY_EVENTS, "strangler repair events policy"),
    ]
    assert actions[0].why == "1 changes are parked, first: unknown code Q"
    assert actions[1].why == "1 events are parked, first: no branch has this code"


def test_rows_that_are_missing_are_folded_again(make_world: Make) -> None:
    world = running(make_world)
    lost = Discrepancy(
        run_id="r", capability="portal", fingerprint="f", key="P2", kind="mechanical", path="", detail={}
    )
    [action] = plan(world.around, "portal", [lost, lost])
    assert (action.kind, action.target, action.version, action.keys) == (Kind.REPROJECT, "policy", 1, ("P2",))


def test_one_repair_that_fails_does_not_stop_the_next() -> None:
    def fail(source: str) -> int:
        raise Infrastructure("legacy is away")

    loops = Loops(
        replay_changes=fail,
        replay_events=lambda projection, version: 3,
        reproject=lambda projection, version, keys: len(keys),
        rebuild=lambda projection, version: version,
    )
    kinds = (Kind.REPLAY_CHANGES, Kind.REPLAY_EVENTS, Kind.REPROJECT, Kind.REBUILD, Kind.MEND)
    actions = [
        Action(kind=kind, target="x", version=7, keys=("a", "b"), why="", command="") for kind in kinds
    ]
    done = execute(actions, loops)
    assert [(one.settled, one.problem) for one in done] == [(0, "legacy is away"), (3, ""), (2, ""), (7, "")]


def test_a_guard_that_dies_anywhere_and_runs_again_moves_the_route_back_once(make_world: Make) -> None:
    world = running(make_world)
    crashes = 0
    for after in (False, True):
        for at_call in range(1, 50):
            before = len(world.routes.history("portal", 1_000))
            for step in (Stage.SHADOW, Stage.CANARY, Stage.PROJECTION):
                world.route(step, 500)
            world.skew += dt.timedelta(minutes=1)
            world.evidence.save_run(bad_run(world), [])
            try:
                guard(replace(world.around, routes=Fuse(world.routes, at_call, after=after)), "portal")
            except Blown:
                crashes += 1
            else:
                break
            finally:
                guard(world.around, "portal")
                assert world.routes.get("portal").stage is Stage.SHADOW
                assert len(world.routes.history("portal", 1_000)) == before + 4
                world.route(Stage.LEGACY)
    assert crashes == 10


def test_the_status_counts_the_holes_of_each_source_and_says_who_tells_them(
    make_world: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    world = running(make_world)
    assert not status(world.around, "portal").holes
    world._execute("ALTER TABLE POLICY ADD COLUMN NOTED VARCHAR(10)")
    assert status(world.around, "portal").holes == {"crm": 1}
    _show_status(status_of_all(world.around))
    said = capsys.readouterr().out
    assert said.count("crm: 1 hole ") == 1
    assert "strangler capture status" in said
