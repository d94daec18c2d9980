"""The whole examination: nothing hides anything, the ending says how bad it is, and what stands still is found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.doctor.mariadb import MariaDbDoctor
from adapters.doctor.postgresql import PostgresDoctor
from adapters.doctor.sqlite import SqliteDoctor
from tests.support.flowing import prepare
from tests.support.insurer import Insurer, make_insurer, opened
from toolkit.app import App
from toolkit.core.ailments import Ailment, Severity
from toolkit.core.errors import Infrastructure, ReadTimeout, UsageError
from toolkit.diagnosis import Check, Diagnosis, Limits, Patient
from toolkit.loops.relay import Relay
from toolkit.questions.doctor import Examined, run
from toolkit.questions.doctor.clocks import skew

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def fails(error: Exception) -> Any:
    def ask() -> list[Ailment]:
        raise error

    return ask


def says(severity: Severity) -> Any:
    return lambda: [Ailment(where="x", what="w", next="n", severity=severity)]


def check(where: str, name: str, ask: Any, needs: str = "") -> Check:
    return Check(where=where, name=name, ask=ask, needs=needs)


def test_hints_end_clean_findings_with_one_and_an_unreachable_server_with_three() -> None:
    assert run([check("a", "1", says(Severity.HINT))]).ending == 0
    assert run([check("a", "1", says(Severity.RISK))]).ending == 1
    assert run([check("a", "1", says(Severity.BROKEN))]).ending == 1
    down = run([check("a", "1", fails(Infrastructure("no route"))), check("b", "1", says(Severity.RISK))])
    assert (down.ending, down.unreachable, len(down.findings)) == (3, ["a"], 2)


def test_whom_the_first_question_does_not_reach_is_asked_no_other() -> None:
    result = run(
        [
            check("a", "1", fails(Infrastructure("no route"))),
            check("a, part", "2", fails(AssertionError("asked"))),
            check("b", "1", says(Severity.HINT)),
        ]
    )
    assert result.checks == ["a: 1", "b: 1"]
    assert "cannot be reached: no route" in result.findings[0].what


def test_a_question_that_fails_is_a_finding_with_its_right_and_hides_no_other() -> None:
    result = run(
        [
            check("a", "1", says(Severity.HINT)),
            check("a", "2", fails(UsageError("permission denied")), "GRANT x"),
            check("a", "3", fails(ReadTimeout("too long"))),
            check("a", "4", fails(KeyError("bug"))),
            check("a", "5", says(Severity.BROKEN)),
        ]
    )
    assert len(result.checks) == 5
    assert [one.severity for one in result.findings] == ["broken", "risk", "risk", "risk", "hint"]
    assert result.findings[1].next == "GRANT x"
    assert "KeyError" in result.findings[3].what
    assert not result.unreachable


@pytest.mark.parametrize(
    ("ahead", "severity"),
    [
        (0, None),
        (2, None),
        (5, Severity.HINT),
        (-5, Severity.HINT),
        (31, Severity.RISK),
        (-90, Severity.RISK),
    ],
)
def test_a_clock_is_judged_by_the_shortest_objective(ahead: int, severity: Severity | None) -> None:
    found = list(skew("a", lambda: NOW + ahead * SECOND, lambda: NOW, 30 * SECOND))
    assert [one.severity for one in found] == ([severity] if severity else [])
    if found:
        assert found[0].evidence["skew_seconds"] == ahead
        assert ("ahead of" if ahead > 0 else "behind") in found[0].what


def test_a_clock_that_was_asked_for_a_long_time_is_not_accused() -> None:
    times = iter([NOW, NOW + 60 * SECOND])
    assert not list(skew("a", lambda: NOW + 1 * SECOND, lambda: next(times), 30 * SECOND))


@pytest.fixture
def insurer(tmp_path: Path) -> Insurer:
    return make_insurer(tmp_path / "project", {}, size=20)


@pytest.fixture
def app(insurer: Insurer) -> Iterator[App]:
    with opened(insurer) as app:
        yield app


def found(result: Examined, words: str) -> Ailment:
    some = [one for one in result.findings if words in one.what]
    assert len(some) == 1, result.findings
    return some[0]


def test_a_project_that_was_never_set_up_is_told_what_to_do_first(app: App) -> None:
    result = app.examined()
    assert result.ending == 1
    assert "strangler setup" in {one.next for one in result.findings}
    assert found(result, "not captured").next == "strangler capture install"


def test_a_relay_that_stands_still_is_told_with_its_leader_and_what_waits(app: App) -> None:
    prepare(app)
    healthy = app.examined()
    assert [one for one in healthy.findings if one.severity is not Severity.HINT] == []
    strict = app.examined(Limits(waiting=dt.timedelta()))
    one = found(strict, "the last watermark of insurer.policy_admin is")
    assert (one.severity, one.next.split(" (")[0]) == (Severity.RISK, "strangler relay")
    assert one.evidence["lease"] == "relay:policy_admin"
    assert "nobody leads" in one.what
    with app.legacy("policy_admin").capture._engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("UPDATE POLMAST SET STAT_CD = STAT_CD")
    waiting = found(app.examined(Limits(waiting=dt.timedelta())), "captured changes wait")
    assert waiting.evidence["waiting"] == 20


def test_a_disabled_trigger_is_found_through_the_holes_of_capture(app: App) -> None:
    prepare(app)
    with app.legacy("policy_admin").capture._engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("DROP TRIGGER strangler_polmast_update")
    one = found(app.examined(), "the trigger strangler_polmast_update is gone")
    assert (one.severity, one.where) == (Severity.BROKEN, "legacy.policy_admin, POLMAST")


def test_a_file_that_is_not_there_is_unreachable_and_the_rest_is_examined(insurer: Insurer) -> None:
    Path(insurer.legacy.removeprefix("sqlite:///")).unlink()
    with opened(insurer) as app:
        result = app.examined()
    assert (result.ending, result.unreachable) == (3, ["legacy.policy_admin"])
    assert "strangler setup" in {one.next for one in result.findings}


def test_a_version_whose_position_the_log_has_lost_is_told(app: App) -> None:
    prepare(app)
    for definition in app.running_versions():
        app.store.create(definition, app.project.topics, app.clock())
    with app.store.engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql(
            "UPDATE strangler_checkpoint SET next_offset = 999 WHERE projection = 'customer_policy' AND partition = 0"
        )
    one = found(app.examined(), "was the topic made anew?")
    assert one.evidence["next_offset"] == 999
    assert one.severity is Severity.BROKEN


def test_a_clock_that_is_wrong_is_told_for_each_database(app: App) -> None:
    prepare(app)
    app.clock = lambda: dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    away = [one for one in app.examined().findings if "its clock is" in one.what]
    assert {one.where for one in away} == {"legacy.policy_admin", "state and read store"}


def test_what_is_parked_is_told(app: App) -> None:
    prepare(app)
    with app.legacy("policy_admin").capture._engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql(
            "UPDATE POLMAST SET STAT_CD = '?' WHERE POL_NO = (SELECT min(POL_NO) FROM POLMAST)"
        )
    translation = app.translation("policy_admin")
    relay: Relay = app.relay("policy_admin", translation)
    relay.lead()
    relay.drain()
    relay.resign()
    one = found(app.examined(), "are parked")
    assert one.next == "strangler repair changes policy_admin"
    assert one.evidence["parked"] == 1


def test_what_is_found_is_one_json_document(app: App) -> None:
    document = msgspec.json.decode(msgspec.json.encode(app.examined()))
    assert {"findings", "unreachable", "checks"} == set(document)
    assert {"where", "what", "next", "severity", "evidence"} == set(document["findings"][0])


def test_every_check_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    doctors: list[Diagnosis] = [
        PostgresDoctor(_nobody),
        MariaDbDoctor(_nobody),
        SqliteDoctor(_nobody, Path("x")),
    ]
    names = {one.name for doctor in doctors for one in doctor.checks(Patient(where="x", capture="wal"))}
    assert len(names) > 15
    assert [name for name in names if f"| `{name}` |" not in document] == []


def _nobody(sql: str, parameters: object) -> list[dict[str, object]]:
    raise AssertionError("making checks asks nothing")


def test_shards_that_nobody_leads_are_told_beside_those_that_are_led(app: App) -> None:
    prepare(app)
    legacy = app.project.settings.legacy
    legacy["policy_admin"] = msgspec.structs.replace(legacy["policy_admin"], shards=2)
    mine, _ = app.shards("policy_admin")
    leader = app.relay("policy_admin", app.translation("policy_admin", mine), mine)
    leader.lead()
    told = found(
        app.examined(Limits(waiting=dt.timedelta())), "the last watermark of insurer.policy_admin is"
    )
    leader.resign()
    assert "nobody leads relay:policy_admin:1/2; " in told.what
    assert f"{app.owner} leads relay:policy_admin:0/2 until" in told.what
    assert told.evidence["leaderless"] == "relay:policy_admin:1/2"
