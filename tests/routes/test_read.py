"""A read goes where its route says, never worse than legacy could answer, and says what it is worth."""

import datetime as dt
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.routes.estate import SECOND, TOPIC, Estate
from tests.routes.now import NOW
from toolkit.core.errors import BadValue, Infrastructure, ReadTimeout, Refused, UsageError
from toolkit.core.evidence import Waiver
from toolkit.core.freshness import Confidence, ReadClass
from toolkit.core.routes import Side, Stage
from toolkit.router.read import Reading


@pytest.fixture
def estate(tmp_path: Path, sqlite_state: Engine) -> Callable[..., Estate]:
    return lambda **options: Estate(tmp_path, sqlite_state, **options)


Make = Callable[..., Estate]


def test_a_capability_that_never_moved_is_answered_by_legacy_with_authority(estate: Make) -> None:
    at = estate()
    reading = at.read()
    assert reading.rows[0]["status"] == "active"
    assert (reading.served_by, reading.confidence) == (Side.LEGACY, Confidence.AUTHORITATIVE)
    assert reading.as_of == NOW + at.legacy.ahead
    assert reading.context == "customer-records"
    assert at.legacy.clock_calls == 0


def test_a_projections_answer_says_how_old_it_is_where_it_stands_and_whose_words_it_speaks(
    estate: Make,
) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    reading = at.read()
    assert reading.rows[0]["status"] == "in_force"
    assert reading.served_by is Side.PROJECTION
    assert reading.as_of == NOW + at.legacy.ahead - 10 * SECOND
    assert reading.lag == 10 * SECOND
    assert reading.position == {TOPIC: {0: 7, 1: 4}}
    assert reading.context == "customer-service"
    assert reading.read_class is ReadClass.OPERATIONAL
    assert reading.confidence is Confidence.FRESH
    assert reading.versions == {"policy": 1}
    assert reading.warnings == ()


def test_each_subject_keeps_its_side_while_the_canary_grows(estate: Make) -> None:
    at = estate()
    served: set[str] = set()
    for share in (100, 2_000, 5_000, 10_000):
        at.route(Stage.CANARY, share)
        at.wall.seconds += 2
        at.views.as_of(at.wall() + at.legacy.ahead)
        now = {f"P{n}" for n in range(40) if at.read(f"P{n}").served_by is Side.PROJECTION}
        assert served <= now
        served = now
    assert len(served) == 40


def test_a_consumer_with_its_own_route_does_not_follow_the_others(estate: Make) -> None:
    at = estate()
    at.route(Stage.SHADOW)
    at.route(Stage.CANARY, 10_000, consumer="web")
    assert at.read(consumer="web").served_by is Side.PROJECTION
    assert at.read(consumer="phone").served_by is Side.LEGACY


def test_both_sides_get_key_parameters_and_the_same_day(estate: Make) -> None:
    at = estate()
    row = at.read(parameters={"tongue": "de"}, today=dt.date(2026, 4, 1)).rows[0]
    assert (row["today"], row["tongue"]) == ("2026-04-01", "de")
    assert at.read().rows[0]["today"] == "2026-03-01"
    at.route(Stage.PROJECTION)
    at.wall.seconds += 2
    assert at.read({"policy_no": "P1"}).rows[0]["tongue"] == "en"


def test_both_sides_get_what_a_caller_means_whatever_type_it_has(estate: Make) -> None:
    class Policy(str, Enum):  # noqa: UP042 - as it was spelled before StrEnum; its text is another one
        FIRST = "P1"

    at = estate()
    asked = at.reader.paths("portal").asked(Policy.FIRST, {"tongue": Policy.FIRST}, today=dt.date(2026, 4, 1))
    assert (asked.subject, asked.key) == ("P1", {"policy_no": "P1"})
    assert {type(value) for value in asked.parameters.values()} == {str}
    assert at.read(Policy.FIRST).rows == at.read("P1").rows


@pytest.mark.parametrize("key", [{"policy": "P1"}, {"policy_no": "P1", "x": 1}, {}])
def test_a_key_that_does_not_fit_is_said_with_the_columns_it_needs(estate: Make, key: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="portal is asked with policy_no"):
        estate().read(key)


# --- when the view is old -----------------------------------------------------------------------


def stale(at: Estate) -> Estate:
    at.route(Stage.PROJECTION)
    at.views.as_of(NOW + at.legacy.ahead - 45 * SECOND)
    return at


def test_a_stale_view_that_may_be_served_says_that_it_is_stale(estate: Make) -> None:
    reading = stale(estate(when_stale="serve")).read()
    assert (reading.served_by, reading.confidence) == (Side.PROJECTION, Confidence.STALE)


def test_a_stale_view_with_a_warning_says_by_how_much(estate: Make) -> None:
    reading = stale(estate(when_stale="warn")).read()
    assert reading.served_by is Side.PROJECTION
    assert reading.warnings == ("the view is 45.0 s behind the legacy source (objective 30s)",)


def test_a_stale_view_falls_back_to_legacy_and_says_why(estate: Make) -> None:
    reading = stale(estate(when_stale="legacy")).read()
    assert (reading.served_by, reading.confidence) == (Side.LEGACY, Confidence.AUTHORITATIVE)
    assert "45.0 s behind" in reading.warnings[0]


def test_a_stale_view_is_refused_with_its_lag_and_its_objective(estate: Make) -> None:
    with pytest.raises(Refused, match=r"45\.0 s behind the legacy source \(objective 30s\)"):
        stale(estate(when_stale="refuse")).read()


def test_a_view_that_may_not_be_shown_stale_is_not_shown_when_legacy_is_down_too(estate: Make) -> None:
    at = stale(estate(when_stale="legacy"))
    at.read()
    at.legacy.broken = Infrastructure("connection refused")
    with pytest.raises(Infrastructure, match=r"(?s)connection refused.*45\.0 s behind"):
        at.read()


def test_a_partition_without_a_watermark_promises_nothing(estate: Make) -> None:
    at = estate(when_stale="legacy")
    at.route(Stage.PROJECTION)
    at.views.as_of(None)
    reading = at.read()
    assert reading.served_by is Side.LEGACY
    assert "no watermark" in reading.warnings[0]


def test_a_held_subject_is_unknown_and_treated_like_stale_and_the_others_are_fresh(estate: Make) -> None:
    at = estate(when_stale="legacy")
    at.route(Stage.PROJECTION)
    at.views.held = ["P1"]
    assert at.read("P1").served_by is Side.LEGACY
    assert "events of P1 are parked" in at.read("P1").warnings[0]
    assert at.read("P2").confidence is Confidence.FRESH


def test_a_list_is_doubtful_when_one_of_its_rows_is_held_and_only_then(estate: Make) -> None:
    at = estate()
    at.route(Stage.PROJECTION, capability="book")
    at.views.held = ["P99"]
    assert at.reader.read("book", "in_force").confidence is Confidence.FRESH
    at.views.held = ["P99", "P7"]
    reading = at.reader.read("book", "in_force")
    assert (reading.confidence, reading.held) == (Confidence.UNKNOWN, ("P7",))


def test_an_empty_answer_is_doubtful_while_anything_is_held_of_which_nothing_is_known(estate: Make) -> None:
    at = estate()
    at.route(Stage.PROJECTION, capability="book")
    at.views.held = ["P99"]
    reading = at.reader.read("book", "cancelled")
    assert (reading.rows, reading.confidence) == ([], Confidence.UNKNOWN)


def test_a_total_over_held_keys_warns_but_one_poisoned_event_does_not_make_all_totals_doubtful(
    estate: Make,
) -> None:
    at = estate()
    at.route(Stage.PROJECTION, capability="total")
    at.views.held = ["P99"]
    reading = at.reader.read("total", "in_force")
    assert reading.confidence is Confidence.FRESH
    assert reading.warnings == (
        "1 key of policy held back by parked events: this answer may lack their effect",
    )


def test_a_subject_whose_legacy_change_could_not_be_translated_is_unknown_and_the_others_are_fresh(
    estate: Make,
) -> None:
    at = estate(parked=lambda: {"P1": None}, when_stale="legacy")
    at.route(Stage.PROJECTION)
    at.route(Stage.PROJECTION, capability="book")
    reading = at.read("P1")
    assert (reading.served_by, reading.confidence) == (Side.LEGACY, Confidence.AUTHORITATIVE)
    assert "of P1 are parked" in reading.warnings[0]
    assert at.read("P2").confidence is Confidence.FRESH
    assert at.reader.read("book", "in_force").held == ("P1",)


def test_a_total_warns_of_subjects_whose_legacy_changes_wait(estate: Make) -> None:
    at = estate(parked=lambda: {"P1": None})
    at.route(Stage.PROJECTION, capability="total")
    assert len(at.reader.read("total", "in_force").warnings) == 1


def test_a_row_that_is_not_keyed_by_the_subject_warns_of_those_that_wait(
    estate: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = estate(parked=lambda: {"1234": None})
    at.route(Stage.PROJECTION)
    assert at.read("P1").warnings == ()
    assert at.read("P99").confidence is Confidence.FRESH, "there is none, and 1234 is another policy"
    monkeypatch.setattr("toolkit.router.paths.subject_at", lambda *_: None)
    assert len(at.read("P1").warnings) == 1
    assert at.read("P99").confidence is Confidence.UNKNOWN, (
        "1234 may be of any row, and of one that is not there"
    )


def test_a_change_that_can_become_no_event_of_a_view_makes_none_of_its_answers_doubtful(estate: Make) -> None:
    at = estate(parked=lambda: {"P1": frozenset({"BrokerNamed"}), "P2": frozenset({"PolicyIssued"})})
    at.route(Stage.PROJECTION)
    at.route(Stage.PROJECTION, capability="book")
    assert (at.read("P1").confidence, at.read("P2").confidence) == (Confidence.FRESH, Confidence.UNKNOWN)
    assert at.reader.read("book", "cancelled").held == ("P2",)


def test_that_nobody_knows_what_is_parked_is_said(estate: Make) -> None:
    def away() -> dict[str, None]:
        raise Infrastructure("the state database is away")

    at = estate(parked=away)
    at.route(Stage.PROJECTION)
    assert "the state database is away" in at.read("P1").warnings[0]


# --- when a side fails --------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [ReadTimeout("5 s"), Infrastructure("gone"), ZeroDivisionError("bug")])
def test_what_legacy_can_answer_is_never_an_error_of_the_projection(estate: Make, problem: Exception) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    at.views.broken = problem
    reading = at.read()
    assert (reading.served_by, reading.stage) == (Side.LEGACY, Stage.PROJECTION)
    assert type(problem).__name__ in reading.warnings[0]


def test_a_retired_capability_has_no_legacy_to_fall_back_to(estate: Make) -> None:
    at = estate(when_stale="legacy")
    at.route(Stage.RETIRED)
    at.views.broken = Infrastructure("gone")
    with pytest.raises(Infrastructure, match="portal is retired"):
        at.read()
    at.views.broken = None
    at.views.as_of(NOW - dt.timedelta(days=1))
    with pytest.raises(Refused):
        at.read()
    assert at.legacy.queries == 0


@pytest.mark.parametrize("problem", [Infrastructure("gone"), OSError("no route to host")])
def test_a_legacy_failure_is_an_infrastructure_error(estate: Make, problem: Exception) -> None:
    at = estate()
    at.legacy.broken = problem
    with pytest.raises(Infrastructure, match=str(problem)):
        at.read()


def test_a_key_that_the_database_refuses_is_the_callers_fault_and_named(estate: Make) -> None:
    at = estate()
    at.legacy.broken = BadValue('invalid input syntax for type integer: "P1"')
    with pytest.raises(UsageError, match=r'policy_no of this key does not fit: .*"P1"'):
        at.read("P1")
    at.legacy.broken = BadValue('invalid input syntax for type integer: "A"')  # the statement's own
    with pytest.raises(Infrastructure, match="legacy read path failed"):
        at.read("P1")


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (
            BadValue('invalid input syntax for type integer: "P1"'),
            'policy_no of this key does not fit: .*"P1"',
        ),
        (BadValue('invalid input syntax for type integer: "A"'), 'portal is retired, and .*"A"'),
        (UsageError("the read SQL cannot be run"), "portal is retired, and .* cannot be run"),
    ],
)
def test_what_a_retired_capability_cannot_be_asked_is_a_fault_of_the_question_not_of_a_server(
    estate: Make, problem: Exception, says: str
) -> None:
    at = estate()
    at.route(Stage.RETIRED)
    at.views.broken = problem
    with pytest.raises(UsageError, match=says):
        at.read("P1")


# --- authority ----------------------------------------------------------------------------------


def test_an_authoritative_read_stays_on_legacy_whatever_its_route_says(estate: Make) -> None:
    at = estate(read_class="authoritative")
    at.route(Stage.PROJECTION)
    reading = at.read()
    assert reading.served_by is Side.LEGACY
    assert "authoritative and has no waiver" in reading.warnings[0]


def test_a_waiver_lets_an_authoritative_read_move_until_it_expires(estate: Make) -> None:
    at = estate(read_class="authoritative")
    at.route(Stage.PROJECTION)
    expires = NOW + dt.timedelta(hours=1)
    at.granted = [
        Waiver(capability="portal", gate="authority", owner="ada", reason="pilot", expires_at=expires)
    ]
    assert at.read().served_by is Side.PROJECTION
    at.wall.seconds = 3600
    assert at.read().served_by is Side.LEGACY


# --- what a read costs --------------------------------------------------------------------------


def test_the_legacy_clock_is_asked_now_and_then_and_not_on_every_read(estate: Make) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    for _ in range(50):
        at.read()
    assert at.legacy.clock_calls == 1
    at.wall.seconds += 10
    reading = at.read()
    assert at.legacy.clock_calls == 2
    assert reading.lag == 20 * SECOND


def test_a_legacy_source_that_is_down_does_not_stop_projection_reads_nor_the_growth_of_their_lag(
    estate: Make,
) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    at.read()
    at.legacy.broken = Infrastructure("down for maintenance")
    at.wall.seconds += 600
    reading = at.read()
    assert (reading.served_by, reading.lag) == (Side.PROJECTION, 610 * SECOND)
    assert reading.confidence is Confidence.STALE


def test_without_any_reading_of_the_legacy_clock_the_confidence_is_unknown(estate: Make) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    at.legacy.broken = Infrastructure("down")
    reading = at.read()
    assert (reading.confidence, reading.lag) == (Confidence.UNKNOWN, None)
    assert "clock could not be had" in reading.warnings[0]


def test_an_offset_that_is_too_old_is_not_trusted(estate: Make) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    at.read()
    at.legacy.broken = Infrastructure("down")
    at.wall.seconds += 3600
    assert at.read().confidence is Confidence.UNKNOWN


def test_a_rollback_is_obeyed_within_a_second(estate: Make) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    assert at.read().served_by is Side.PROJECTION
    at.route(Stage.LEGACY)
    at.wall.seconds += 1
    assert at.read().served_by is Side.LEGACY


def test_reads_go_on_by_the_last_known_route_while_the_state_database_is_away(
    estate: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = estate()
    at.route(Stage.PROJECTION)
    at.read()

    def away() -> None:
        raise Infrastructure("state is away")

    monkeypatch.setattr(at.routes, "all", away)
    at.wall.seconds += 20
    at.views.as_of(at.wall() + at.legacy.ahead)
    reading = at.read()
    assert reading.served_by is Side.PROJECTION
    assert reading.warnings == ("the route is 20 s old: state is away",)


# --- the observer -------------------------------------------------------------------------------


class Harm(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("harm", [ValueError("comparator bug"), SystemExit(3), Harm(), GeneratorExit()])
def test_no_failure_of_the_observer_reaches_the_caller(estate: Make, harm: BaseException) -> None:
    def observe(capability: str, key: dict[str, object], reading: Reading) -> None:
        raise harm

    at = estate(observe=observe)
    assert at.read().rows[0]["status"] == "active"
    assert at.reader.observer_failures == {type(harm).__name__: 1}


def test_an_interrupt_stays_an_interrupt(estate: Make) -> None:
    def observe(capability: str, key: dict[str, object], reading: Reading) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estate(observe=observe).read()


def test_an_observer_that_changes_what_it_sees_does_not_change_the_answer(estate: Make) -> None:
    def observe(capability: str, key: dict[str, object], reading: Reading) -> None:
        reading.rows[0].clear()
        key.clear()

    assert estate(observe=observe).read().rows[0]["status"] == "active"


def test_the_observer_sees_what_the_caller_gets(estate: Make) -> None:
    seen: list[tuple[str, dict[str, object], Reading]] = []
    at = estate(observe=lambda *what: seen.append(what))
    reading = at.read()
    assert seen == [("portal", {"policy_no": "P1"}, reading)]
