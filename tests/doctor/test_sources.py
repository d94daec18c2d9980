"""A whole project on PostgreSQL: what its sources and databases tell of themselves through their own guarded sessions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.doctor.world import execute
from tests.support.flowing import prepare
from tests.support.insurer import make_insurer, opened
from tests.support.legacy import ENGINES, POLICY, Legacy, policy
from toolkit.core.ailments import Severity
from toolkit.diagnosis import Check, Diagnosis, Limits, Patient
from toolkit.questions.doctor import run


def test_a_healthy_project_gives_none_and_a_disabled_trigger_is_found(
    tmp_path: Path, postgres_url: str
) -> None:
    environment = {"LEGACY_URL": postgres_url, "READ_STORE_URL": postgres_url}
    insurer = make_insurer(tmp_path / "project", environment, size=20)
    with opened(insurer) as app:
        prepare(app)
        result = app.examined()
        assert [one for one in result.findings if one.severity is not Severity.HINT] == []
        names = {check.split(": ")[1] for check in result.checks}
        assert {"pooler", "long transactions", "replication slots", "plan of the read", "positions"} <= names
        execute(postgres_url, "ALTER TABLE polmast DISABLE TRIGGER strangler_capture")
        (broken,) = [one for one in app.examined().findings if one.severity is Severity.BROKEN]
        assert (broken.where, broken.what) == (
            "legacy.policy_admin, POLMAST",
            "the trigger strangler_capture is disabled",
        )


@pytest.mark.parametrize("legacy_url", ENGINES, indirect=True)
def test_captured_changes_that_wait_are_counted_with_the_age_of_the_oldest(captured: Legacy) -> None:
    captured.run(policy(1), policy(2))
    source = captured.source
    assert isinstance(source, Diagnosis)
    patient = Patient(
        where="here",
        capture="trigger",
        tables=(POLICY,),
        own=("strangler.strangler_change", "strangler.strangler_captured"),
        limits=Limits(waiting=dt.timedelta(seconds=-1)),
    )
    findings = run(source.checks(patient)).findings
    (one,) = [one for one in findings if one.severity is not Severity.HINT]
    assert (one.evidence["waiting"], one.next) == (2, "strangler relay")
    assert 0 <= float(one.evidence["oldest_seconds"] or 0) < 3600


@pytest.mark.parametrize("legacy_url", ENGINES, indirect=True)
def test_the_sessions_of_a_diagnosis_cannot_write(legacy: Legacy) -> None:
    source = legacy.source
    assert isinstance(source, Diagnosis)
    patient = Patient(where="here")
    assert run(source.checks(patient)).unreachable == []

    def writes() -> list[object]:
        return list(source.query("DELETE FROM polmast", {}, timeout=dt.timedelta(seconds=5)).rows)

    result = run([Check(where="here", name="first", ask=list), Check(where="here", name="w", ask=writes)])  # type: ignore[arg-type]
    assert "could not be checked" in result.findings[0].what
